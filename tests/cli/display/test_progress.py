"""Progress: lines in a pipe, a bar in a terminal."""

import pytest

from vfm.cli.display import progress as progress_module
from vfm.cli.display.progress import BarProgress, LineProgress, make_progress


def test_lines_come_when_there_is_something_to_tell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now_s)
    progress = make_progress()
    assert isinstance(progress, LineProgress)
    progress.start(100, "videos")
    progress.advance(ok=1, num_frames=4)
    assert capsys.readouterr().err == ""
    now_s = 105.0
    progress.advance(ok=18, rejected=1, num_frames=16)
    assert capsys.readouterr().err == "20 of 100 videos, 1 rejected, 20 frames, 0:00:20 left\n"
    progress.advance(partial=1, note="look here")
    assert capsys.readouterr().err == "note: look here\n"
    progress.finish()
    assert capsys.readouterr().err.startswith("21 of 100 videos, 1 partial, 1 rejected, 20 frames")


def test_bar_counts_and_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    progress = BarProgress()
    progress.start(3, "videos")
    progress.advance(ok=2, num_frames=8, note="[red]\x1b[0m stays text[/red]")
    progress.advance(rejected=1)
    progress.finish()
    told = capsys.readouterr().err
    assert "3/3" in told
    assert "1 rejected, 8 frames" in told
    assert "[red]\\x1b[0m stays text[/red]" in told


def test_figures_are_lines_and_end_the_timed_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now_s)
    progress = LineProgress()
    progress.start(8000, "updates", done=100)
    now_s = 10.0
    progress.advance(ok=10)
    assert capsys.readouterr().err == "110 of 8000 updates, 2:11:30 left\n"
    progress.advance(ok=10)
    now_s = 20.0
    progress.report("loss 6.1")
    assert capsys.readouterr().err == "120 of 8000 updates, loss 6.1, 2:11:20 left\n"
    now_s = 2000.0
    progress.advance(ok=10)
    assert capsys.readouterr().err == ""
    progress.finish()
    assert capsys.readouterr().err.startswith("130 of 8000 updates")


def test_bar_goes_on_from_what_was_done_and_figures_stay_above_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = BarProgress()
    progress.advance(note="before it is drawn")
    progress.start(10, "updates", done=4)
    progress.advance(ok=1)
    progress.report("loss 6.1 [b]")
    progress.advance(ok=1)
    progress.finish()
    told = capsys.readouterr().err
    assert told.startswith("note: before it is drawn\n")
    assert "5 of 10 updates, loss 6.1 [b]\n" in told
    assert "6/10" in told
