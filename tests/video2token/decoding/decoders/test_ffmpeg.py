"""The ffmpeg command under control: hanging, crashing, talking, missing, old; and what it may be told."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.media import number_in
from vfm.shards.errors import MachineError
from vfm.shards.format.plan import Source
from vfm.shards.pixels import jpeg
from vfm.video2token.decoding import ffmpeg_command
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import ffmpeg, pyav
from vfm.video2token.decoding.ffmpeg_command import find_ffmpeg, running
from vfm.video2token.decoding.probe import probe
from vfm.video2token.execution.executor import Reply
from vfm.video2token.execution.executors.processes import ProcessExecutor
from vfm.video2token.execution.exit_status import how_it_ended
from vfm.video2token.jobs.extract.video_task import task_of
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import VideoRejected

pytestmark = pytest.mark.needs("imageio_ffmpeg")

Film = Callable[..., Path]
OPTIONS = ExtractOptions(fps=2.0, size_px=48, quality=95, decoder="ffmpeg")
ANSWERS = """case "$*" in
*-version*) echo "ffmpeg version {version} Copyright"; exit 0;;
*-decoders*) echo " VFS..D {decoder}   a decoder"; exit 0;;
esac
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that puts a shell script in the place of ffmpeg."""
    real = find_ffmpeg().path

    def write(body: str, *, version: str = "7.1", decoder: str = "h264") -> Path:
        path = tmp_path / "bin" / "ffmpeg"
        path.parent.mkdir(exist_ok=True)
        answers = ANSWERS.format(version=version, decoder=decoder)
        path.write_text(f"#!/bin/sh\nREAL={real}\nHERE={tmp_path}\n{answers}{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("VFM_FFMPEG", str(path))
        return path

    return write


def numbers(video: DecodedVideo) -> list[int]:
    return [number_in(jpeg.decode(data)) for data in video.jpegs]


def work(paths: list[Path], *, timeout_s: float = 60.0) -> list[Reply]:
    sources = [
        Source(key=f"k{index}", identity="k", path=str(path), size_bytes=-1, mtime_ns=0)
        for index, path in enumerate(paths)
    ]
    with ProcessExecutor(
        "vfm.video2token.jobs.extract.video_task:extract_one",
        num_workers=1,
        timeout_s=timeout_s,
        memory_bytes=4 << 30,
    ) as pool:
        return list(pool.run(task_of(source, OPTIONS) for source in sources))


def has_ended(pid: int, *, within_s: float) -> bool:
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("hang", ["exec sleep 600", "kill -STOP $$; exec sleep 600"])
def test_a_command_that_hangs_is_killed_with_its_worker_and_the_next_video_is_done(
    film: Film, stub: Callable[..., Path], hang: str
) -> None:
    stub(f'case "$*" in *bad*) echo $$ > $HERE/pid; {hang};; esac; exec $REAL "$@"')
    bad, good = film("bad.mp4"), film("good.mp4")
    begun_s = time.monotonic()
    first, second = work([bad, good], timeout_s=3.0)
    assert first.failure == "timeout"
    assert second.head["sizes"]
    assert time.monotonic() - begun_s < 30
    assert has_ended(int((bad.parent / "pid").read_text()), within_s=2)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("exit 139", "SIGSEGV"),
        ("exit 137", "SIGKILL"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("kill -KILL $$", "SIGKILL"),
    ],
)
def test_a_command_that_crashes_costs_its_video_alone(
    film: Film, stub: Callable[..., Path], end: str, told: str
) -> None:
    stub(f'case "$*" in *bad*) {end};; esac; exec $REAL "$@"')
    replies = work([film("a.mp4"), film("bad.mp4"), film("c.mp4")])
    assert replies[1].head == {"reason": "crash", "message": f"Its ffmpeg process was ended by {told}."}
    assert [len(replies[index].head["sizes"]) for index in (0, 2)] == [4, 4]


def test_a_crash_on_the_way_is_no_whole_video(film: Film, stub: Callable[..., Path]) -> None:
    stub('$REAL "$@" | head -c 9000; exit 139')
    with pytest.raises(VideoRejected) as caught:
        ffmpeg.decode(str(film()), OPTIONS)
    assert caught.value.reason == "crash"


def test_a_megabyte_of_complaints_blocks_nothing_and_is_counted(
    film: Film, stub: Callable[..., Path]
) -> None:
    stub('head -c 1048576 /dev/zero | tr "\\0" "\\n" >&2; exec $REAL "$@"')
    video = ffmpeg.decode(str(film()), OPTIONS)
    assert numbers(video) == [0, 12, 25, 37]
    assert video.num_decode_errors == 1 << 20
    assert video.damage == ("Faults that the decoder reported: 1048576.",)
    stub('head -c 1048576 /dev/zero | tr "\\0" "x" >&2; exit 1')
    with pytest.raises(VideoRejected, match=r"ffmpeg gave no frame of it \(status 1\)"):
        ffmpeg.decode(str(film()), OPTIONS)


def test_want_of_memory_is_no_damage(film: Film, stub: Callable[..., Path]) -> None:
    stub('$REAL "$@"; echo "[h264 @ 0x1] Cannot allocate memory" >&2')
    (reply,) = work([film()])
    assert reply.head["reason"] == "memory"


def test_output_that_is_no_picture_is_a_fault_of_the_video(film: Film, stub: Callable[..., Path]) -> None:
    stub("head -c 100000 /dev/zero")
    with pytest.raises(VideoRejected, match="No frame of the video"):
        ffmpeg.decode(str(film()), OPTIONS)


def test_a_codec_without_a_decoder_is_named_with_the_way_out(film: Film, stub: Callable[..., Path]) -> None:
    stub('echo "Decoding requested, but no decoder found for: h264" >&2; exit 1')
    with pytest.raises(VideoRejected, match=r"has no decoder for h264: use --decoder pyav\.") as caught:
        ffmpeg.decode(str(film()), OPTIONS)
    assert caught.value.reason == "unsupported"


def test_the_command_dies_with_its_parent_however_that_ends(
    tmp_path: Path, stub: Callable[..., Path]
) -> None:
    path = stub(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    code = (
        "import sys; from vfm.video2token.decoding.ffmpeg_command import running\n"
        "with running([sys.argv[1]]) as run: run.stdout.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(path)])
    until_s = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < until_s
        time.sleep(0.02)
    os.kill(parent.pid, signal.SIGKILL)  # the parent alone, not its group
    parent.wait()
    assert has_ended(int((tmp_path / "pid").read_text()), within_s=2)


def test_leaving_early_ends_the_command(stub: Callable[..., Path]) -> None:
    path = stub("exec sleep 600")
    begun_s = time.monotonic()
    with pytest.raises(KeyError), running([str(path)]) as run:
        raise KeyError
    assert run.returncode == -signal.SIGKILL
    assert time.monotonic() - begun_s < 10


def test_no_command_at_all_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VFM_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MachineError, match=r"^No ffmpeg command was found: install .*vfm\[ffmpeg\].*\.$"):
        find_ffmpeg()


def test_the_one_on_the_path_comes_before_the_one_in_the_wheel(
    monkeypatch: pytest.MonkeyPatch, stub: Callable[..., Path]
) -> None:
    path = stub("", version="6.0.1-static")
    monkeypatch.delenv("VFM_FFMPEG")
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    found = find_ffmpeg()
    assert (found.path, found.version, found.number) == (str(path), "6.0.1-static", (6, 0))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5.1.9-0+deb12u1", (5, 1)),
        ("n9.0.2-17-g2a571b6068", (9, 0)),
        ("N-118000-gabcdef", (999, 0)),
        ("2026-01-02-git-3f1a2b-full_build", (999, 0)),
    ],
)
def test_versions_of_all_kinds_are_read(
    stub: Callable[..., Path], text: str, number: tuple[int, int]
) -> None:
    stub("", version=text)
    assert find_ffmpeg().number == number


@pytest.mark.parametrize(
    ("given", "body", "told"),
    [
        ({"version": "4.4.2-0ubuntu"}, "", "is ffmpeg 4.4.2-0ubuntu, which is too old: install ffmpeg 5.1"),
        ({"version": "of nothing"}, "", "does not call itself ffmpeg"),
        ({"decoder": "wmv3"}, "", "was built without video decoders"),
    ],
)
def test_a_command_that_will_not_do_is_one_sentence(
    stub: Callable[..., Path], given: dict[str, str], body: str, told: str
) -> None:
    stub(body, **given)
    with pytest.raises(MachineError, match=told) as caught:
        find_ffmpeg()
    assert "\n" not in str(caught.value)


def test_a_command_that_cannot_be_run_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VFM_FFMPEG", str(tmp_path / "none"))
    with pytest.raises(MachineError, match=r"none cannot be run \(No such file or directory\): install"):
        find_ffmpeg()
    (tmp_path / "none").write_text("#!/bin/sh\nexit 139\n")
    (tmp_path / "none").chmod(0o755)
    with pytest.raises(MachineError, match=r"-version failed \(ended by SIGSEGV\)"):
        find_ffmpeg()


def test_a_command_that_does_not_answer_is_one_sentence(
    stub: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub("").write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(ffmpeg_command, "_LOOK_LIMIT_S", 0.2)
    with pytest.raises(MachineError, match=r"-version gave no answer in 0\.2 s: install"):
        find_ffmpeg()


def test_exit_statuses_are_told_in_words() -> None:
    assert [how_it_ended(status) for status in (0, 1, 137, 139, -9, 255)] == [
        "status 0", "status 1", "ended by SIGKILL", "ended by SIGSEGV", "ended by SIGKILL", "status 255",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["concat:a.mp4", "-i.mp4", "%03d.mp4", "file:x.mp4", "a\nb.mp4", "\udcff.mp4", "$(touch x).mp4"]
)
def test_names_are_never_read_as_anything_else(film: Film, name: str) -> None:
    path = film("plain.mp4", num_frames=1, first=9).rename(film().parent / name)
    assert numbers(ffmpeg.decode(str(path), OPTIONS)) == [9]
    assert not (path.parent / "x").exists()


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"]
)
def test_a_playlist_is_stopped_by_the_look_and_by_the_command(film: Film, text: str) -> None:
    path = film("secret.mp4").with_name("list.mp4")
    path.write_text(text)
    with pytest.raises(VideoRejected) as caught:
        ffmpeg.decode(str(path), OPTIONS)
    assert caught.value.reason == "playlist"
    time_base = probe(str(path.with_name("secret.mp4")), size_px=48).time_base
    line = ffmpeg.command_line(
        find_ffmpeg().path, str(path), stream_index=0, time_base=time_base, filters={"filter:v": "null"}
    )
    with running(line) as run:
        assert run.stdout.read() == b""
    assert run.returncode


def test_a_long_choice_is_handed_over_in_a_file(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(film())
    plain = ffmpeg.decode(path, OPTIONS)
    monkeypatch.setattr(ffmpeg, "_MAX_INLINE_BYTES", 0)
    assert ffmpeg.decode(path, OPTIONS).jpegs == plain.jpegs


def test_the_choice_is_true_for_the_wanted_frames_alone() -> None:
    rng = np.random.default_rng(0)
    marks = [int(mark) for mark in rng.choice(10_000, size=300, replace=False)]
    marks.sort()
    for num_wanted in (1, 2, 37, 299, 300):
        wanted = sorted(int(place) for place in rng.choice(300, size=num_wanted, replace=False))
        text = ffmpeg.selection(ffmpeg.runs_of(marks, wanted), by="pts")
        rules: dict[str, Any] = {
            "between": lambda value, low, high: low <= value <= high,
            "lt": lambda value, limit: value < limit,
            "choose": lambda is_so, then, other: then if is_so else other,
        }
        code = compile(text.replace("if(", "choose("), "selection", "eval")
        chosen = [place for place, mark in enumerate(marks) if eval(code, rules | {"pts": mark})]
        assert chosen == wanted


def test_runs_of_wanted_frames_are_written_once() -> None:
    assert ffmpeg.runs_of([0, 40, 90, 120, 160], [0, 1, 3, 4]) == [(0, 40), (120, 160)]
    assert ffmpeg.selection([(0, 40), (120, 160)], by="pts") == (
        "if(lt(pts,120),between(pts,0,40),between(pts,120,160))"
    )


def test_damage_is_counted_and_frames_are_chosen_from_those_that_come(film: Film) -> None:
    path = film(num_frames=100, size=(320, 240))
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    start, end = data.index(b"mdat") + 1200, data.index(b"moov")
    for at in rng.integers(start, end, size=30):
        data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    ours, default = ffmpeg.decode(str(path), OPTIONS), pyav.decode(str(path), OPTIONS)
    assert ours.num_decode_errors > 0
    assert ours.damage
    # Which times the frames after a loss have, each reader guesses: here one in eight differs by two frames.
    assert len(ours.pts_s) == len(default.pts_s) == 8
    assert sum(mine == theirs for mine, theirs in zip(ours.pts_s, default.pts_s, strict=True)) == 7


def test_h264_with_b_frames_in_avi_is_taken_by_the_order_of_its_frames(film: Film) -> None:
    path = film("a.avi", options={"bf": "2", "g": "12"})
    assert numbers(ffmpeg.decode(str(path), OPTIONS)) == [0, 12, 25, 37]


@pytest.mark.parametrize(
    "rule",
    [
        {"fps": None, "sampling": "native"},
        {"fps": None, "sampling": "uniform", "num_frames": 5},
        {"fps": 7.0, "sampling": "ffmpeg-fps-filter"},
        {"fps": 7.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("segment", [{}, {"start_s": 0.5, "end_s": 1.5}], ids=["whole", "segment"])
def test_every_rule_takes_the_frames_that_pyav_takes(
    film: Film, rule: dict[str, Any], segment: dict[str, float]
) -> None:
    path, options = str(film()), replace(OPTIONS, **rule)
    ours, default = ffmpeg.decode(path, options, **segment), pyav.decode(path, options, **segment)
    for name in ("pts_s", "copy_times_s", "last_s", "jpegs", "source_duration_s"):
        assert getattr(ours, name) == getattr(default, name), name


def test_a_segment_has_a_grid_of_its_own(film: Film) -> None:
    video = ffmpeg.decode(str(film()), OPTIONS, start_s=0.5, end_s=1.5)
    assert numbers(video) == [12, 25]
    assert video.pts_s == pytest.approx((0.48, 1.0))
    with pytest.raises(VideoRejected) as caught:
        ffmpeg.decode(str(film()), OPTIONS, start_s=9.0)
    assert caught.value.reason == "empty_segment"


def test_the_arguments_are_the_safe_ones(film: Film) -> None:
    info = probe(str(film()), size_px=48)
    line = ffmpeg.command_line(
        "/x/ffmpeg", "/a b/c.mp4", stream_index=0, time_base=info.time_base, filters={"filter:v": "null"}
    )
    assert line[:5] == ["/x/ffmpeg", "-nostdin", "-hide_banner", "-v", "error"]
    assert line[line.index("-protocol_whitelist") + 1] == "file"
    assert "hls" not in line[line.index("-format_whitelist") + 1].split(",")
    assert line[line.index("-i") + 1] == "file:/a b/c.mp4"
    assert line.index("-format_whitelist") < line.index("-i") < line.index("-map")
    assert line[-1] == "pipe:1"
