"""A video before its frames are decoded for good: its looks, and when each of its frames is shown.

The decoders that cannot be fed packet by packet (a command, a library with a file name) learn from here which
frames exist, so that the frames they are asked for are chosen by one rule.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from vfm.video2token.container.bitstream.codecs import reader_for
from vfm.video2token.container.bitstream.facts import NotSelectableError, Reader
from vfm.video2token.container.bitstream.zeros import ZeroCount
from vfm.video2token.container.demuxer import MAX_SOURCE_PIXELS, capture_log, choose_stream, open_video
from vfm.video2token.container.empty_chunks import num_missing
from vfm.video2token.container.file_check import check_file
from vfm.video2token.container.packed import Unpacker
from vfm.video2token.picture.converter import PictureConverter
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.timeline import FrameTimes

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# AVI has no presentation times, only places at a constant rate; each reader derives times of its own.
_TIMELESS = {"avi"}
_NO_TIME = -(1 << 63)  # FFmpeg's own mark of a time that is not there
_MAX_DISORDER = 8  # frames; further back, the timestamps restarted


@dataclass(slots=True, kw_only=True)
class _Packets:
    """The times and flags of all packets in the order of decoding; in arrays, a day of video has millions."""

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    durations: "array[int]" = field(default_factory=lambda: array("q"))
    is_keyframe: bytearray = field(default_factory=bytearray)
    is_discard: bytearray = field(default_factory=bytearray)
    zeros: ZeroCount
    unpacker: Unpacker
    reader: Reader | None  # tells pictures that are not coded, and not shown
    num_counted: int = 0  # as the container counts them
    num_missing: int = 0
    is_whole: bool = True  # could be read to the end

    def __len__(self) -> int:
        return len(self.pts)

    def counted(self, packets: "Iterable[Packet[VideoStream]]") -> "Iterator[Packet[VideoStream]]":
        """Yield those that are not empty."""
        for packet in packets:
            if packet.size:
                self.num_counted += 1
                yield packet

    def add(self, packet: "Packet[VideoStream]") -> None:
        self.pts.append(_NO_TIME if packet.pts is None else packet.pts)
        self.dts.append(_NO_TIME if packet.dts is None else packet.dts)
        self.durations.append(packet.duration or 0)
        self.is_keyframe.append(packet.is_keyframe)
        self.is_discard.append(packet.is_discard or not self._is_shown(packet))
        self.zeros.take(packet)

    def _is_shown(self, packet: "Packet[VideoStream]") -> bool:
        try:
            return self.reader is None or self.reader(bytes(packet)).is_shown
        except (NotSelectableError, IndexError):
            return True

    @property
    def begin(self) -> int:
        """Place of the first keyframe, 0 when there is none: what comes before is lost."""
        return max(0, self.is_keyframe.find(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What PyAV tells of a video after one pass over its packets and one decoded frame.

    Attributes:
        converter: how its frames are to be seen.
        first: its first frame, whose colour codes hold for all.
        times: of its frames; None where the packets do not say when each is shown.
        has_one_clock: whether its times only ever run on.
        stream_index: of the video stream in the file.
        time_base: seconds per unit of a time.
        origin: the container's start in these units, where FFmpeg's filter ``fps`` counts from.
        damage: sentences about packets that are missing or cannot be decoded.
        file_flags: what the bytes of the file say before it is opened, such as ``trailing_data``.
        is_packed: some packets hold several pictures.
        is_unpacked_by_libav: libavcodec gives all of them.
    """

    converter: PictureConverter
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
    file_flags: tuple[str, ...]
    is_packed: bool = False
    is_unpacked_by_libav: bool = True


def probe(path: str, *, size_px: int, size_bytes: int = -1) -> VideoInfo:
    """Return what is known of a video.

    Args:
        path: absolute.
        size_px: short side of the stored frames.
        size_bytes: size of the file that the plan counted with, -1 when it is not to be compared.

    Raises:
        VideoRejected: with the reason.
    """
    facts = check_file(path, size_bytes=size_bytes)
    with capture_log() as log, open_video(path, facts=facts, log=log) as container:
        stream, time_base = choose_stream(container)
        first, packets = _read(container, stream)
        if first is None:
            raise _nothing(stream, num_packets=len(packets))
        first.make_writable()
        unpacker = packets.unpacker
        rate = stream.average_rate
        return VideoInfo(
            converter=PictureConverter(first, stream=stream, size_px=size_px),
            first=first,
            times=_times(packets, is_counted=unpacker.is_packed or container.format.name in _TIMELESS),
            has_one_clock=_has_one_clock(packets, stream=stream, time_base=time_base),
            stream_index=stream.index,
            time_base=time_base,
            origin=round(Fraction(container.start_time or 0, av.time_base) / time_base),
            codec=stream.codec_context.codec.canonical_name,
            container=container.format.name,
            source_fps=round(float(rate), 6) if rate else None,
            damage=_damage(packets, promised=stream.frames),
            file_flags=facts.flags,
            is_packed=unpacker.is_packed,
            is_unpacked_by_libav=unpacker.is_marked and unpacker.is_regular,
        )


def _read(container: "InputContainer", stream: "VideoStream") -> "tuple[VideoFrame | None, _Packets]":
    """Return the first frame and what all packets say of themselves."""
    first: VideoFrame | None = None
    context = stream.codec_context
    codec, extradata = context.codec.canonical_name, bytes(context.extradata or b"")
    packets = _Packets(
        zeros=ZeroCount(codec, extradata),
        unpacker=Unpacker(stream),
        reader=reader_for(codec, extradata) if codec == "mpeg4" else None,
    )
    try:
        for packet in packets.unpacker(packets.counted(container.demux(stream))):
            packets.add(packet)
            first = first or _first_frame(stream, packet)
    except av.FFmpegError:
        packets.is_whole = False
    packets.num_missing = num_missing(container, stream, num_packets=packets.num_counted)
    return first or _first_frame(stream, None), packets


def _first_frame(stream: "VideoStream", packet: "Packet[VideoStream] | None") -> "VideoFrame | None":
    try:
        return next(iter(stream.codec_context.decode(packet)), None)
    except (av.FFmpegError, ValueError):
        return None


def _times(packets: _Packets, *, is_counted: bool) -> FrameTimes | None:
    """Return the times that the packets promise, or None when one has none or two have the same."""
    is_shown = ~np.frombuffer(packets.is_discard, bool)
    is_shown[: packets.begin] = False
    pts = np.frombuffer(packets.pts, np.int64)[is_shown]
    order = np.argsort(pts, kind="stable")
    ascending = pts[order]
    if not len(pts) or ascending[0] == _NO_TIME or (np.diff(ascending) == 0).any():
        return None
    durations = np.frombuffer(packets.durations, np.int64)[is_shown][order]
    return FrameTimes(
        pts=array("q", ascending.tobytes()), durations=array("q", durations.tobytes()), is_counted=is_counted
    )


def _has_one_clock(packets: _Packets, *, stream: "VideoStream", time_base: Fraction) -> bool:
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    dts = np.frombuffer(packets.dts, np.int64)
    steps = np.diff(dts[dts != _NO_TIME])
    return bool((steps > -_MAX_DISORDER / float(rate * time_base)).all())


def _damage(packets: _Packets, *, promised: int) -> tuple[str, ...]:
    damage = []
    if packets.begin:
        damage.append(f"Packets before the first keyframe, which are lost: {packets.begin}.")
    if packets.zeros.num_zeroed:
        damage.append(f"Packets with runs of zeros that their codec forbids: {packets.zeros.num_zeroed}.")
    if packets.num_missing:
        damage.append(f"The container lists {promised} packets and has {promised - packets.num_missing}.")
    if not packets.is_whole:
        damage.append(f"The file can be read up to packet {len(packets)} only.")
    return tuple(damage)


def _nothing(stream: "VideoStream", *, num_packets: int) -> VideoRejected:
    context = stream.codec_context
    if context.width * context.height > MAX_SOURCE_PIXELS:
        return VideoRejected(
            RejectReason.TOO_LARGE, f"Its frames have {context.width} x {context.height} pixels."
        )
    if not num_packets:
        return VideoRejected(RejectReason.NO_VIDEO, "Its video stream is empty.")
    return VideoRejected(RejectReason.DECODE_ERROR, "No frame of the video could be decoded.")
