"""Motion JPEG in MP4: JPEGs become packets of a video unchanged, so that an index can point at each."""

from collections.abc import Sequence
from fractions import Fraction

import av
import simplejpeg  # type: ignore[import-untyped]  # it ships no types

from vfm.shards.io.spool import Payload, Spool

_HEAD_BYTES = 1 << 10  # more than stands before the first packet of an MP4
_TIME_BASE = Fraction(1, 90_000)  # exact for 24, 25, 29.97, 30, 50 and 60 fps


def mux(
    jpegs: Sequence[bytes], *, times_s: Sequence[float], last_s: float
) -> tuple[Payload, list[int], list[int]]:
    """Return an MP4 that shows each JPEG at its time, and where each of them lies in it.

    The same JPEGs and times give the same bytes: no date and no version is written.

    Args:
        jpegs: at least one, all of one size.
        times_s: when each appears, ascending from 0, rounded to 1/90000 s; at most 6 hours apart.
        last_s: how long the last one is shown.

    Returns:
        The file, and the offset in it and the length of every JPEG, bytes.
    """
    assert len(jpegs) == len(times_s) > 0, "one time for each JPEG, and at least one"
    ticks = _ascending(times_s)
    spool = Spool()
    with av.open(spool.file, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        height, width, *_ = simplejpeg.decode_jpeg_header(jpegs[0])
        stream = container.add_mux_stream("mjpeg", width=width, height=height)
        stream.time_base = _TIME_BASE
        for jpeg, tick, end in zip(jpegs, ticks, [*ticks[1:], ticks[-1] + _units(last_s)], strict=True):
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base, packet.is_keyframe = stream, _TIME_BASE, True
            packet.pts = packet.dts = tick
            packet.duration = end - tick
            container.mux(packet)
    return spool.payload(), *_located(spool, jpegs)


def _units(seconds: float) -> int:
    return max(1, round(seconds / _TIME_BASE))


def _ascending(times_s: Sequence[float]) -> list[int]:
    """Return times in units of the time base; two that round to the same unit are put one unit apart."""
    ticks: list[int] = []
    for time in times_s:
        tick = round(time / _TIME_BASE)
        ticks.append(max(tick, ticks[-1] + 1) if ticks else tick)
    return ticks


def _located(spool: Spool, jpegs: Sequence[bytes]) -> tuple[list[int], list[int]]:
    """Return offset and length of every JPEG; the first lies behind the file's head, all others in a row."""
    sizes = [len(jpeg) for jpeg in jpegs]
    offset = spool.read(0, _HEAD_BYTES + sizes[0]).index(jpegs[0])
    offsets = []
    for jpeg, size in zip(jpegs, sizes, strict=True):
        assert spool.read(offset, size) == jpeg, "the muxer changed a JPEG or its place"
        offsets.append(offset)
        offset += size
    return offsets, sizes
