"""Decodes with PyAV, which brings FFmpeg's libraries in its wheel: the default decoder."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from vfm.video2token.container import Log, choose_stream, listening, open_video, raise_memory_error
from vfm.video2token.decoders._base import (
    MAX_SOURCE_PIXELS,
    DecodedVideo,
    DecoderRejected,
    ExtractOptions,
    JpegSink,
)
from vfm.video2token.picture import Look
from vfm.video2token.sampling import GridSampler, Shown, TooManyFramesError
from vfm.video2token.sniff import look_at

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

_MAX_DISORDER = 8  # frames; a time further back is no disorder but a clock that starts anew
_MAX_READ_FAILURES = 16  # in a row; a demuxer that fails at one packet often finds the next


def decode(path: str, options: ExtractOptions, *, size_bytes: int = -1) -> DecodedVideo:
    """Return the frames of a video at the ticks of its grid.

    Takes the stream that FFmpeg ranks best (default first, then by size), never a cover picture. Colour is
    converted by the matrix and range that the stream states, BT.601 limited where it states none, as
    FFmpeg does. Transparency is dropped, interlaced fields stay woven, HDR is not tone-mapped: ``color``
    records its transfer.

    Args:
        path: absolute.
        options: its limits on time and memory are for the caller to enforce.
        size_bytes: size of the file that the plan counted with, -1 when it is not to be compared.

    Raises:
        DecoderRejected: with the reason.
    """
    facts = look_at(path, size_bytes=size_bytes)
    with listening() as log:
        try:
            with open_video(path, facts=facts, log=log) as container:
                decoded = _Decoding(container, options=options, log=log).run()
                return replace(decoded, flags=tuple(sorted({*decoded.flags, *facts.flags})))
        except MemoryError:
            limit = options.memory_bytes >> 20
            raise DecoderRejected("memory", f"Decoding it takes more than {limit} MiB of memory.") from None


def version() -> dict[str, str]:
    """Return the versions that the pixels follow from."""
    return {"pyav": av.__version__, "ffmpeg": str(av.ffmpeg_version_info)}


class _Decoding:
    """One pass over one video."""

    def __init__(self, container: "InputContainer", *, options: ExtractOptions, log: Log) -> None:
        self._container = container
        self._options = options
        self._log = log
        self._stream, self._time_base = choose_stream(container)
        self._sink = JpegSink(quality=options.quality)
        self._pts_s: list[float] = []
        self._damage: list[str] = []
        self._num_errors = 0
        self._num_packets = 0
        self._num_before_keyframe = 0
        self._num_restarts = 0

    def run(self) -> DecodedVideo:
        """Decode the stream to its end."""
        sampler = GridSampler["VideoFrame"](
            fps=self._options.exact_fps, time_base=self._time_base, max_frames=self._options.max_frames
        )
        look = None
        try:
            for frame, pts in self._timed_frames():
                look = look or Look(frame, stream=self._stream, size_px=self._options.size_px)
                self._keep(sampler.push(frame, pts=pts, duration=frame.duration or 0), look=look)
            if look is not None:
                self._keep(sampler.finish(), look=look)
        except TooManyFramesError:
            raise self._too_long() from None
        if look is None:
            raise self._nothing()
        self._judge(num_backward=sampler.num_backward)
        duration_s = float((sampler.end_pts - sampler.first_pts) * self._time_base)
        return self._result(look, duration_s=duration_s)

    def _keep(self, ticks: "list[Shown[VideoFrame]]", *, look: "Look") -> None:
        for index, shown in enumerate(ticks):
            if index == 0:
                self._sink.add(look.upright_rgb(shown.frame))
            else:
                self._sink.repeat()
            self._pts_s.append(round(float(shown.pts * self._time_base), 6))

    def _timed_frames(self) -> "Iterator[tuple[VideoFrame, int]]":
        """Yield frames with their presentation times.

        A frame without a time follows the one before. A clock that jumps back, as where two recordings were
        joined, goes on from where it was.
        """
        rate = self._stream.guessed_rate or self._stream.average_rate or Fraction(25)
        step = max(1, round(1 / (rate * self._time_base)))
        shift, expected = 0, 0
        for index, frame in enumerate(self._frames()):
            pts = expected if frame.pts is None else frame.pts + shift
            if index and pts < expected - _MAX_DISORDER * step:
                shift += expected - pts
                self._num_restarts += 1
                pts = expected
            expected = pts + (frame.duration or step)
            yield frame, pts

    def _frames(self) -> "Iterator[VideoFrame]":
        seen_keyframe = False
        for packet in self._packets():
            seen_keyframe = seen_keyframe or packet.is_keyframe
            self._num_before_keyframe += not seen_keyframe
            yield from self._decode(packet)
        yield from self._decode(None)

    def _packets(self) -> Iterator[Any]:
        num_failures = 0
        # What decoders said while probing they say again; what the demuxer said of the head it says once.
        self._log[:] = [said for said in self._log if said[1] == self._container.format.name]
        while num_failures < _MAX_READ_FAILURES:
            try:
                for packet in self._container.demux(self._stream):
                    num_failures = 0
                    self._num_packets += packet.pts is not None or packet.size > 0
                    if packet.size:  # an empty packet would end the decoding
                        yield packet
                return
            except av.FFmpegError:
                num_failures += 1
                self._num_errors += 1
                self._log.clear()

    def _decode(self, packet: Any) -> "list[VideoFrame]":
        """Return the frames a packet completes; an error costs the packet, not the video."""
        frames: list[VideoFrame] = []
        try:
            frames = self._stream.codec_context.decode(packet)
            is_damaged = bool(self._log) or (packet is not None and packet.is_corrupt)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError):
            is_damaged = True
        raise_memory_error(self._log)
        self._num_errors += is_damaged or any(frame.is_corrupt for frame in frames)
        self._log.clear()
        return frames

    def _too_long(self) -> DecoderRejected:
        return DecoderRejected(
            "too_long",
            f"It gives more than {self._options.max_frames} frames at {self._options.fps} fps "
            "(--max-frames allows no more).",
        )

    def _nothing(self) -> DecoderRejected:
        context = self._stream.codec_context
        if context.width * context.height > MAX_SOURCE_PIXELS:
            return DecoderRejected("too_large", f"Its frames have {context.width} x {context.height} pixels.")
        if not self._num_packets:
            return DecoderRejected("no_video", "Its video stream is empty.")
        return DecoderRejected("decode_error", "Not one frame of the video could be decoded.")

    def _judge(self, *, num_backward: int) -> None:
        """Put each kind of damage into a sentence."""
        promised = self._stream.frames
        counts = {
            "Packets read or decoded with errors": self._num_errors,
            "Packets before the first keyframe, which are lost": self._num_before_keyframe,
            "Frames left out because their times run backwards": num_backward,
            "Times that the clock starts anew": self._num_restarts,
        }
        self._damage += [f"{what}: {count}." for what, count in counts.items() if count]
        if promised > self._num_packets:
            self._damage.append(f"The container promises {promised} packets and has {self._num_packets}.")

    def _result(self, look: "Look", *, duration_s: float) -> DecodedVideo:
        context = self._stream.codec_context
        rate = self._stream.average_rate
        return DecodedVideo(
            jpegs=tuple(self._sink.jpegs),
            pts_s=tuple(self._pts_s),
            last_s=1 / self._options.fps,
            width_px=look.width_px,
            height_px=look.height_px,
            source_width_px=look.source_width_px,
            source_height_px=look.source_height_px,
            source_fps=round(float(rate), 6) if rate else None,
            source_duration_s=round(duration_s, 6),
            codec=context.codec.canonical_name,
            pix_fmt=look.pix_fmt,
            container=self._container.format.name,
            rotation_deg=look.orientation.rotation_deg,
            sample_aspect_ratio=f"{look.aspect.numerator}:{look.aspect.denominator}",
            color=look.color,
            num_decode_errors=self._num_errors,
            flags=(),
            decoding="full",
            damage=tuple(self._damage),
        )
