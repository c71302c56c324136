"""Decoding with a backend that is asked for frames by their times: choose, ask, make upright, store."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import av
import numpy as np

from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.probe import Outline
from vfm.video2token.options import ExtractOptions
from vfm.video2token.picture.converter import Look
from vfm.video2token.picture.jpegs import JpegSink
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.rule import Rule
from vfm.video2token.sampling.selection import Choice, choose
from vfm.video2token.sampling.timeline import FrameTimes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class Backend(Protocol):
    """What can decode frames of one video.

    Attributes:
        decoding: how it goes about it, for the record of the sample.
        num_errors: faults that it has reported.
    """

    decoding: str
    num_errors: int

    def times(self) -> FrameTimes:
        """Return the times of all frames that can be decoded, found by decoding them."""
        ...

    def frames(self, times: FrameTimes, wanted: Sequence[int]) -> "Iterator[tuple[int, VideoFrame]]":
        """Yield frames with their places in ``times``, in that order, without those that cannot be decoded.

        Args:
            times: of all frames.
            wanted: places in it, ascending.
        """
        ...


def decode_chosen(
    outline: Outline,
    backend: Backend,
    options: ExtractOptions,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
) -> DecodedVideo:
    """Return the frames of a video by the rule of ``options``, decoded by a backend.

    Where frames that the packets promise do not come, the times are asked of the backend and the frames are
    chosen anew: a frame that cannot be decoded was never shown.

    Raises:
        VideoRejected: with the reason.
    """
    if not outline.has_one_clock:
        raise VideoRejected(RejectReason.UNSUPPORTED, "Its clock starts anew on the way: use --decoder pyav.")
    work = _Work(outline=outline, backend=backend, quality=options.quality)
    rule = Rule(
        options=options.sampling_options,
        time_base=outline.time_base,
        origin=outline.origin,
        start_s=start_s,
        end_s=end_s,
    )
    times = outline.times or backend.times()
    try:
        return work.run(times, choose(times, rule))
    except _FramesMissingError:
        times = backend.times()
    if not times.pts:
        raise VideoRejected(RejectReason.DECODE_ERROR, "Not one frame of the video could be decoded.")
    try:
        return work.run(times, choose(times, rule))
    except _FramesMissingError:
        raise VideoRejected(
            RejectReason.DECODE_ERROR, "Its frames decode in one pass and not in another."
        ) from None


class _FramesMissingError(Exception):
    """Frames that were asked for did not come."""


class _Work:
    """Stores the chosen frames of one video."""

    def __init__(self, *, outline: Outline, backend: Backend, quality: int) -> None:
        self._outline = outline
        self._backend = backend
        self._quality = quality

    def run(self, times: FrameTimes, choice: Choice) -> DecodedVideo:
        """Return the chosen frames, or raise when one of them does not come."""
        sink = JpegSink(quality=self._quality)
        num_ticks = Counter(choice.ticks)
        wanted = sorted(num_ticks)
        arrived = []
        for index, frame in self._backend.frames(times, wanted):
            sink.add(self._outline.look.upright_rgb(frame))
            for _ in range(num_ticks[index] - 1):
                sink.repeat()
            arrived.append(index)
        if arrived != wanted:
            raise _FramesMissingError
        return self._result(choice, sink)

    def _result(self, choice: Choice, sink: JpegSink) -> DecodedVideo:
        outline, look = self._outline, self._outline.look
        return DecodedVideo(
            jpegs=sink.jpegs,
            pts_s=choice.pts_s,
            copy_times_s=choice.copy_times_s,
            last_s=choice.step_s or 1 / (outline.source_fps or 25),
            width_px=look.width_px,
            height_px=look.height_px,
            source_width_px=look.source_width_px,
            source_height_px=look.source_height_px,
            source_fps=outline.source_fps,
            source_duration_s=round(choice.duration_s, 6),
            codec=outline.codec,
            pix_fmt=look.pix_fmt,
            container=outline.container,
            rotation_deg=look.orientation.rotation_deg,
            sample_aspect_ratio=f"{look.aspect.numerator}:{look.aspect.denominator}",
            color=look.color,
            num_decode_errors=self._backend.num_errors,
            flags=tuple(sorted({*outline.file_flags, *look.flags})),
            decoding=self._backend.decoding,
            damage=(*outline.damage, *self._told()),
        )

    def _told(self) -> list[str]:
        num_errors = self._backend.num_errors
        return [f"Faults that the decoder reported: {num_errors}."] if num_errors else []


def rgb_frame(pixels: np.ndarray, *, look: Look) -> "VideoFrame":
    """Return RGB pixels as a frame in the orientation of the coded picture, as ``Look`` takes it.

    Args:
        pixels: uint8 [H,W,3]; upright, as libraries give them that heed the display matrix.
        look: of the video; not mirrored.
    """
    turned = look.orientation
    pixels = pixels[:: -1 if turned.flip_y else 1, :: -1 if turned.flip_x else 1]
    if turned.transpose:
        pixels = pixels.swapaxes(0, 1)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
