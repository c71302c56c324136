"""Decoding with a backend that is asked for frames by their times: choose, ask, make upright, store."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import av
import numpy as np

from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.probe import VideoInfo
from vfm.video2token.options import ExtractOptions
from vfm.video2token.picture.converter import PictureConverter
from vfm.video2token.picture.jpegs import JpegSink
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.rule import SamplingRule
from vfm.video2token.sampling.selection import FrameSelection, select_frames
from vfm.video2token.sampling.timeline import FrameTimes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_CHUNK_BYTES = 64 << 20  # of frames that a library hands out at once


class TimeIndexedDecoder(Protocol):
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


def decode_by_time(
    info: VideoInfo,
    backend: TimeIndexedDecoder,
    options: ExtractOptions,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
) -> DecodedVideo:
    """Return the frames of a video by the rule of ``options``, decoded by a backend.

    Where frames that the packets promise do not come, the times are asked of the backend and the frames are
    chosen again: a frame that cannot be decoded was never shown.

    Raises:
        VideoRejected: with the reason.
    """
    if not info.has_one_clock:
        raise VideoRejected(RejectReason.UNSUPPORTED, "Its timestamps restart midway: use --decoder pyav.")
    if info.is_packed and not info.is_unpacked_by_libav:
        raise _not_unpacked()
    work = _Work(info=info, backend=backend, quality=options.quality)
    rule = SamplingRule(
        options=options.sampling_options,
        time_base=info.time_base,
        origin=info.origin,
        start_s=start_s,
        end_s=end_s,
    )
    times = info.times or backend.times()
    try:
        return work.run(times, select_frames(times, rule))
    except _FramesMissingError:
        if info.is_packed and not info.damage:
            raise _not_unpacked() from None
        times = backend.times()
    if not times.pts:
        raise VideoRejected(RejectReason.DECODE_ERROR, "No frame of the video could be decoded.")
    try:
        return work.run(times, select_frames(times, rule))
    except _FramesMissingError:
        raise VideoRejected(
            RejectReason.DECODE_ERROR, "Its frames decode in one pass and not in another."
        ) from None


def _not_unpacked() -> VideoRejected:
    return VideoRejected(
        RejectReason.UNSUPPORTED, "Its packed B-frames would not all be decoded: use --decoder pyav."
    )


class _FramesMissingError(Exception):
    """Frames that were asked for did not come."""


class _Work:
    """Stores the chosen frames of one video."""

    def __init__(self, *, info: VideoInfo, backend: TimeIndexedDecoder, quality: int) -> None:
        self._info = info
        self._backend = backend
        self._quality = quality

    def run(self, times: FrameTimes, selection: FrameSelection) -> DecodedVideo:
        """Return the chosen frames, or raise when one of them does not come."""
        sink = JpegSink(quality=self._quality)
        num_ticks = Counter(selection.ticks)
        wanted = sorted(num_ticks)
        arrived = []
        for index, frame in self._backend.frames(times, wanted):
            sink.add(self._info.converter.to_rgb(frame))
            for _ in range(num_ticks[index] - 1):
                sink.repeat()
            arrived.append(index)
        if arrived != wanted:
            raise _FramesMissingError
        return self._result(selection, sink)

    def _result(self, selection: FrameSelection, sink: JpegSink) -> DecodedVideo:
        info, converter = self._info, self._info.converter
        return DecodedVideo(
            jpegs=sink.jpegs,
            pts_s=selection.pts_s,
            copy_times_s=selection.copy_times_s,
            last_s=selection.step_s or 1 / (info.source_fps or 25),
            width_px=converter.width_px,
            height_px=converter.height_px,
            source_width_px=converter.source_width_px,
            source_height_px=converter.source_height_px,
            source_fps=info.source_fps,
            source_duration_s=round(selection.duration_s, 6),
            codec=info.codec,
            pix_fmt=converter.pix_fmt,
            container=info.container,
            rotation_deg=converter.orientation.rotation_deg,
            sample_aspect_ratio=f"{converter.aspect.numerator}:{converter.aspect.denominator}",
            color=converter.color,
            num_decode_errors=self._backend.num_errors,
            flags=tuple(sorted({*info.file_flags, *converter.flags})),
            decoding=self._backend.decoding,
            damage=(*info.damage, *self._told()),
        )

    def _told(self) -> list[str]:
        num_errors = self._backend.num_errors
        return [f"Faults that the decoder reported: {num_errors}."] if num_errors else []


def chunks(wanted: Sequence[int], *, converter: PictureConverter) -> list[Sequence[int]]:
    """Cut places of frames so that the RGB pixels of each part take at most 64 MiB, or are of one frame."""
    size = _CHUNK_BYTES // (converter.source_width_px * converter.source_height_px * 3) or 1
    return [wanted[begin : begin + size] for begin in range(0, len(wanted), size)]


def rgb_frame(pixels: np.ndarray, *, converter: PictureConverter) -> "VideoFrame":
    """Return RGB pixels as a frame in the orientation of the coded picture, as ``PictureConverter`` takes it.

    Args:
        pixels: uint8 [H,W,3]; upright, as libraries give them that heed the display matrix.
        converter: of the video; not mirrored.
    """
    turned = converter.orientation
    pixels = pixels[:: -1 if turned.flip_y else 1, :: -1 if turned.flip_x else 1]
    if turned.transpose:
        pixels = pixels.swapaxes(0, 1)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
