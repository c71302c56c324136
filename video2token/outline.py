"""A video before its frames are decoded for good: its looks, and when each of its frames is shown.

The decoders that cannot be fed packet by packet (a command, a library with a file name) learn from here which
frames exist, so that the frames they are asked for are chosen by one rule.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import av

from vfm.video2token.container import choose_stream, listening, open_video
from vfm.video2token.decoders._base import MAX_SOURCE_PIXELS, DecoderRejected
from vfm.video2token.picture import Look
from vfm.video2token.sniff import look_at

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# AVI has no presentation times, only places at a constant rate; each reader derives times of its own.
_TIMELESS = {"avi"}
_MAX_DISORDER = 8  # frames; a decoding time further back is a clock that starts anew


class _Packet(NamedTuple):
    """The times and flags of a packet, without its data."""

    pts: int | None
    dts: int | None
    duration: int
    is_keyframe: bool
    is_discard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimes:
    """When the frames of a video are shown, in the order of their showing.

    Attributes:
        pts: strictly increasing, in units of the stream's time base.
        durations: how long each says it is shown, in the same units; 0 when it does not say.
        is_counted: whether a decoder may give its frames other times, so that only their order tells them.
    """

    pts: tuple[int, ...]
    durations: tuple[int, ...]
    is_counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What PyAV tells of a video after one pass over its packets and one decoded frame.

    Attributes:
        look: how its frames are to be seen.
        first: its first frame, whose colour codes hold for all.
        times: of its frames; None where the packets do not say when each is shown.
        has_one_clock: whether its times only ever run on.
        stream_index: of the video stream in the file.
        time_base: seconds per unit of a time.
        origin: the container's start in these units, where FFmpeg's filter ``fps`` counts from.
        damage: sentences about packets that are missing or cannot be decoded.
    """

    look: Look
    first: "VideoFrame"
    times: FrameTimes | None
    has_one_clock: bool
    stream_index: int
    time_base: Fraction
    origin: int
    codec: str
    container: str
    source_fps: float | None
    damage: tuple[str, ...]


def outline_of(path: str, *, size_px: int, size_bytes: int = -1) -> Outline:
    """Return the outline of a video.

    Args:
        path: absolute.
        size_px: short side of the stored frames.
        size_bytes: size of the file that the plan counted with, -1 when it is not to be compared.

    Raises:
        DecoderRejected: with the reason.
    """
    facts = look_at(path, size_bytes=size_bytes)
    with listening() as log, open_video(path, facts=facts, log=log) as container:
        stream, time_base = choose_stream(container)
        first, packets, is_whole = _read(container, stream)
        if first is None:
            raise _nothing(stream, num_packets=len(packets))
        first.make_writable()
        rate = stream.average_rate
        return Outline(
            look=Look(first, stream=stream, size_px=size_px),
            first=first,
            times=_times(packets, is_counted=container.format.name in _TIMELESS),
            has_one_clock=_has_one_clock(packets, stream=stream, time_base=time_base),
            stream_index=stream.index,
            time_base=time_base,
            origin=round(Fraction(container.start_time or 0, av.time_base) / time_base),
            codec=stream.codec_context.codec.canonical_name,
            container=container.format.name,
            source_fps=round(float(rate), 6) if rate else None,
            damage=_damage(promised=stream.frames, packets=packets, is_whole=is_whole),
        )


def _read(
    container: "InputContainer", stream: "VideoStream"
) -> "tuple[VideoFrame | None, list[_Packet], bool]":
    """Return the first frame, all packets, and whether they could be read to the end."""
    first: VideoFrame | None = None
    packets: list[_Packet] = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                packets.append(
                    _Packet(
                        packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, packet.is_discard
                    )
                )
            if first is None:
                first = _first_frame(stream, packet)
    except av.FFmpegError:
        return first, packets, False
    return first, packets, True


def _first_frame(stream: "VideoStream", packet: Any) -> "VideoFrame | None":
    try:
        return next(iter(stream.codec_context.decode(packet)), None)
    except (av.FFmpegError, ValueError):
        return None


def _times(packets: list[_Packet], *, is_counted: bool) -> FrameTimes | None:
    """Return the times that the packets promise, or None when one has none or two have the same."""
    begin = next((index for index, packet in enumerate(packets) if packet.is_keyframe), 0)
    shown = [packet for packet in packets[begin:] if not packet.is_discard]
    timed = sorted((packet.pts, packet.duration) for packet in shown if packet.pts is not None)
    if not timed or len({pts for pts, _ in timed}) < len(shown):
        return None
    return FrameTimes(
        pts=tuple(pts for pts, _ in timed),
        durations=tuple(length for _, length in timed),
        is_counted=is_counted,
    )


def _has_one_clock(packets: list[_Packet], *, stream: "VideoStream", time_base: Fraction) -> bool:
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    disorder = _MAX_DISORDER / (rate * time_base)
    dts = [packet.dts for packet in packets if packet.dts is not None]
    return all(after > before - disorder for before, after in zip(dts, dts[1:], strict=False))


def _damage(*, promised: int, packets: list[_Packet], is_whole: bool) -> tuple[str, ...]:
    damage = []
    lost = next((index for index, packet in enumerate(packets) if packet.is_keyframe), 0)
    if lost:
        damage.append(f"Packets before the first keyframe, which are lost: {lost}.")
    if promised > len(packets):
        damage.append(f"The container promises {promised} packets and has {len(packets)}.")
    if not is_whole:
        damage.append(f"The file can be read up to packet {len(packets)} only.")
    return tuple(damage)


def _nothing(stream: "VideoStream", *, num_packets: int) -> DecoderRejected:
    context = stream.codec_context
    if context.width * context.height > MAX_SOURCE_PIXELS:
        return DecoderRejected("too_large", f"Its frames have {context.width} x {context.height} pixels.")
    if not num_packets:
        return DecoderRejected("no_video", "Its video stream is empty.")
    return DecoderRejected("decode_error", "Not one frame of the video could be decoded.")
