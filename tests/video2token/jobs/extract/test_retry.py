"""Sources that were rejected are tried again: what is made anew, what stays, and what is never lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.plan import build_plan
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify
from vfm.video2token.execution.executor import Reply
from vfm.video2token.jobs.extract import extract as module
from vfm.video2token.jobs.extract import job
from vfm.video2token.jobs.extract.extract import ExtractResult, extract_sources
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources

Film = Callable[..., Path]
OPTIONS = ExtractOptions(fps=5.0, size_px=48)
NUM = 7


@pytest.fixture
def listed(films: Film, tmp_path: Path) -> Path:
    """A list of seven videos, labelled and captioned, in three shards of three."""
    root = films(NUM)
    rows = [f"{path.relative_to(tmp_path)},run,text {path.stem}" for path in sorted(root.rglob("*.mp4"))]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,caption", *rows]))
    return tmp_path / "list.csv"


def run(listed: Path, data: Path, **job: Any) -> ExtractResult:
    sources = list_sources([listed], missing="quarantine").sources
    return extract_sources(sources, data, OPTIONS, **{"samples_per_shard": 3, **job})


def order(listed: Path) -> list[Path]:
    """Return the videos in the plan's order: the first three are in the first shard."""
    sources = list_sources([listed], missing="quarantine").sources
    return [Path(source.path) for source in build_plan(sources, samples_per_shard=3).sources]


def stored(data: Path) -> dict[str, bytes]:
    names = ("*.tar", "*.index.parquet", "quarantine.jsonl")
    return {path.name: path.read_bytes() for name in names for path in sorted(data.rglob(name))}


def times(data: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted((data / "frames").glob("*"))}


def report_of(data: Path, shard: str) -> ShardReport:
    report = read_report(data / "frames", shard)
    assert report is not None
    return report


@pytest.fixture
def hidden(listed: Path, tmp_path: Path) -> Callable[..., Callable[[], None]]:
    """Return what takes videos away and returns what brings them back."""

    def hide(*paths: Path) -> Callable[[], None]:
        for path in paths:
            path.rename(tmp_path / f"away-{path.name}")

        def bring_back() -> None:
            for path in paths:
                (tmp_path / f"away-{path.name}").rename(path)

        return bring_back

    return hide


@pytest.mark.parametrize("retry", ["none", "failed", "all"])
def test_a_plan_that_is_gone_is_one_sentence(listed: Path, tmp_path: Path, retry: str) -> None:
    data = tmp_path / "data"
    run(listed, data)
    (data / "plan.parquet").unlink()
    kept = stored(data)
    order(listed)[0].write_bytes(b"other")
    with pytest.raises(DamageError, match=r"data/plan\.parquet is missing: restore it from a copy\.$"):
        run(listed, data, retry=retry)
    assert stored(data) == kept


def test_missing_videos_that_have_come_are_added_and_nothing_else_is_touched(
    listed: Path, hidden: Callable[..., Any], tmp_path: Path
) -> None:
    run(listed, tmp_path / "clean")
    videos = order(listed)
    bring_back = hidden(videos[1], videos[6])
    data = tmp_path / "data"
    assert run(listed, data).rejected_by_reason == {"missing": 2}
    plan, before = (data / "plan.parquet").read_bytes(), times(data)
    bring_back()
    with pytest.raises(UsageError, match=r"size_bytes of .* -1 there, \d+ requested.*with --retry-failed"):
        run(listed, data)
    result = run(listed, data, retry="failed")
    assert (result.num_ok, result.num_rejected, result.num_shards_before) == (NUM, 0, 1)
    assert stored(data) == stored(tmp_path / "clean")
    assert (data / "plan.parquet").read_bytes() == plan
    after = times(data)
    assert {name for name in after if after[name] == before.get(name)} == {
        "000001.tar", "000001.json", "000001.index.parquet", "000001.tar.idx", "000001.idx",
    }  # fmt: skip
    new_sizes = report_of(data, "000000").new_sizes_bytes
    assert list(new_sizes.values()) == [videos[1].stat().st_size]
    assert report_of(data, "000001").new_sizes_bytes == {}
    assert list(verify(data)) == []
    assert len(open_dataset(data)) == NUM


def test_after_a_retry_the_plain_command_finds_all_done(
    listed: Path, hidden: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_back = hidden(order(listed)[0])
    run(listed, tmp_path / "data")
    bring_back()
    run(listed, tmp_path / "data", retry="failed")
    before = times(tmp_path / "data")
    monkeypatch.setattr(job, "ProcessExecutor", None)
    assert run(listed, tmp_path / "data").num_shards_before == 3
    assert run(listed, tmp_path / "data", retry="all").num_shards_before == 3
    assert times(tmp_path / "data") == before


def test_only_what_was_rejected_is_decoded(
    listed: Path, hidden: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = order(listed)
    bring_back = hidden(videos[4])
    run(listed, tmp_path / "data")
    bring_back()
    tasks: list[str] = []
    task_of = job.task_of

    def noted(source, options, **more):
        tasks.append(source.path)
        return task_of(source, options, **more)

    monkeypatch.setattr(job, "task_of", noted)
    run(listed, tmp_path / "data", retry="failed")
    assert tasks == [str(videos[4])]


def test_retry_that_changes_nothing_leaves_every_file(
    listed: Path, hidden: Callable[..., Any], tmp_path: Path
) -> None:
    hidden(order(listed)[2])
    run(listed, tmp_path / "data")
    before = times(tmp_path / "data")
    result = run(listed, tmp_path / "data", retry="all")
    assert (result.num_ok, result.rejected_by_reason) == (NUM - 1, {"missing": 1})
    assert times(tmp_path / "data") == before


def test_samples_survive_when_their_videos_are_gone(
    listed: Path, hidden: Callable[..., Any], tmp_path: Path
) -> None:
    """A disk that is not there must not turn samples into rejections, whatever is asked."""
    data, videos = tmp_path / "data", order(listed)
    bring_back = hidden(videos[0])
    run(listed, data)
    before = stored(data)
    bring_back()
    hidden(videos[1])
    with pytest.raises(UsageError, match=r"size_bytes of .* \d+ there, -1 requested"):
        run(listed, data, retry="all")
    assert stored(data) == before


def test_permanent_rejections_stay_unless_all_are_tried(listed: Path, tmp_path: Path) -> None:
    data, videos = tmp_path / "data", order(listed)
    sound = videos[3].read_bytes()
    videos[3].write_bytes(b"\0" * len(sound))
    assert run(listed, data).rejected_by_reason == {"not_video": 1}
    before = times(data)
    videos[3].write_bytes(sound)
    assert run(listed, data, retry="failed").num_rejected == 1
    assert times(data) == before
    assert report_of(data, "000001").rejected[0].reason == "not_video"
    assert run(listed, data, retry="all").num_rejected == 0
    run(listed, tmp_path / "clean")
    assert stored(data) == stored(tmp_path / "clean")


def test_shard_without_any_sample_gets_some(listed: Path, hidden: Callable[..., Any], tmp_path: Path) -> None:
    videos = order(listed)
    bring_back = hidden(*videos[:3])
    run(listed, tmp_path / "data")
    assert report_of(tmp_path / "data", "000000").sha256 is None
    bring_back()
    assert run(listed, tmp_path / "data", retry="failed").num_ok == NUM
    run(listed, tmp_path / "clean")
    assert stored(tmp_path / "data") == stored(tmp_path / "clean")


def test_lost_workers_are_transient_and_the_reason_is_counted_anew(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejection = job.ExtractJob._rejection

    def lose(self: Any, source: Any, reply: Reply) -> Any:
        lost = Reply(failure="timeout", message="It took longer than 1 s.")
        return rejection(self, source, lost if "001" in source.identity else reply)

    with monkeypatch.context() as patch:
        patch.setattr(job.ExtractJob, "_rejection", lose)
        assert run(listed, tmp_path / "data").rejected_by_reason == {"timeout": 1}
    line = json.loads((tmp_path / "data" / "quarantine.jsonl").read_text())
    assert (line["reason"], line["source"]) == ("timeout", "films/b/001.mp4")
    assert run(listed, tmp_path / "data", retry="failed").num_ok == NUM
    assert (tmp_path / "data" / "quarantine.jsonl").read_bytes() == b""


def test_killed_in_the_middle_of_a_retry(listed: Path, hidden: Callable[..., Any], tmp_path: Path) -> None:
    """The old report is gone and the new one not there: the shard counts as not done, and is made again."""
    bring_back = hidden(order(listed)[0])
    run(listed, tmp_path / "data")
    bring_back()
    (tmp_path / "data" / "frames" / "000000.json").unlink()
    with pytest.raises(UsageError, match="--retry-failed"):
        run(listed, tmp_path / "data")
    assert run(listed, tmp_path / "data", retry="failed").num_ok == NUM
    run(listed, tmp_path / "clean")
    assert stored(tmp_path / "data") == stored(tmp_path / "clean")


def test_tools_of_what_is_kept_and_of_what_is_new_are_both_told(
    listed: Path, hidden: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_back = hidden(order(listed)[0])
    monkeypatch.setattr(module, "tool_versions", lambda _: {"pyav": "18.0"})
    run(listed, tmp_path / "data")
    bring_back()
    monkeypatch.setattr(module, "tool_versions", lambda _: {"pyav": "18.1", "new": "1"})
    run(listed, tmp_path / "data", retry="failed")
    assert report_of(tmp_path / "data", "000000").tools == {"pyav": "18.0; 18.1", "new": "1"}
    assert report_of(tmp_path / "data", "000001").tools == {"pyav": "18.0"}


def test_videos_may_move_between_a_job_and_its_retry(
    listed: Path, hidden: Callable[..., Any], tmp_path: Path
) -> None:
    bring_back = hidden(order(listed)[0])
    run(listed, tmp_path / "data")
    bring_back()
    (tmp_path / "elsewhere").mkdir()
    shutil.move(listed, tmp_path / "elsewhere")
    shutil.move(tmp_path / "films", tmp_path / "elsewhere")
    assert run(tmp_path / "elsewhere" / "list.csv", tmp_path / "data", retry="failed").num_ok == NUM
