import numpy as np
import pytest

from vfm.shards.io.spool import Spool
from vfm.video2token.container.mjpeg import mux
from vfm.video2token.picture.jpegs import JpegSink, SpilledJpegs


def sink_of(*, max_held_bytes: int) -> JpegSink:
    sink = JpegSink(quality=90, max_held_bytes=max_held_bytes)
    rng = np.random.default_rng(0)
    for index in range(9):
        sink.add(rng.integers(0, 256, (16, 24, 3), np.uint8))
        for _ in range(index % 3):
            sink.repeat()
    return sink


@pytest.mark.parametrize("max_held_bytes", [0, 1, 2500, 5000])
def test_a_file_holds_what_memory_would(max_held_bytes: int) -> None:
    held, spilled = sink_of(max_held_bytes=1 << 20).jpegs, sink_of(max_held_bytes=max_held_bytes).jpegs
    assert isinstance(held, tuple)
    assert isinstance(spilled, SpilledJpegs)
    assert len(spilled) == len(held) == 18
    assert tuple(spilled) == held
    assert spilled[-1] == held[-1]
    assert list(spilled[3:6]) == list(held[3:6])


def test_a_repeated_jpeg_takes_no_room() -> None:
    sink = JpegSink(quality=90, max_held_bytes=0)
    sink.add(np.zeros((16, 16, 3), np.uint8))
    size = len(sink.jpegs[0])
    for _ in range(50):
        sink.repeat()
    assert isinstance(sink.jpegs, SpilledJpegs)
    assert len(sink.jpegs) == 51
    assert len(sink.jpegs._spool) == size


def test_the_mp4_is_the_same_bytes_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"times_s": [index / 2 for index in range(18)], "last_s": 0.5}
    held = mux(sink_of(max_held_bytes=1 << 20).jpegs, **times)
    monkeypatch.setattr("vfm.video2token.container.mjpeg.Spool", lambda: Spool(max_held_bytes=100))
    video, offsets, sizes = mux(sink_of(max_held_bytes=0).jpegs, **times)
    assert isinstance(video, Spool)
    assert (b"".join(video.pieces()), offsets, sizes) == held
