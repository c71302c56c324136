"""What is kept of a video while it is decoded: JPEGs and times, damage, and what is special about it."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from vfm.video2token.container.demuxer import MAX_SOURCE_PIXELS, OpenedVideo
from vfm.video2token.container.file_check import FileFacts
from vfm.video2token.container.packets import NO_TIME, Packets
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.full import FullDecoder
from vfm.video2token.picture.converter import PictureConverter
from vfm.video2token.picture.jpegs import JpegSink
from vfm.video2token.picture.options import PictureOptions
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.clock import ShownSpan
from vfm.video2token.sampling.copy_times import copy_times
from vfm.video2token.sampling.rule import SamplingRule
from vfm.video2token.sampling.sampler import Sampler, TickFrame

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MAX_LIE = 0.1  # of the longer one; durations that differ by less are rounded, or count the sound
_MAX_LIE_S = 1


class FrameRecorder:
    """Takes the wanted frames one after the other and describes the video in the end."""

    def __init__(
        self,
        opened: OpenedVideo,
        *,
        rule: SamplingRule,
        picture: PictureOptions,
        packets: Packets,
        decoding: str,
        facts: FileFacts,
    ) -> None:
        self._container, self._stream = opened
        self._rule = rule
        self._packets = packets
        self._decoding = decoding
        self._told_s = facts.header_duration_s
        self._sink = JpegSink(quality=picture.quality)
        self._size_px = picture.size_px
        self._converter: PictureConverter | None = None
        self._pts_s: list[float] = []
        self._copy_times_s: tuple[float, ...] = ()
        self._duration_s = self._end_s = self._last_s = 0.0
        self._num_errors = 0
        self._damage: list[str] = []
        self._size: tuple[int, int] | None = None
        self._flags = set(facts.flags)

    def observe(self, frame: "VideoFrame") -> None:
        """Take note of a decoded frame, wanted or not."""
        size = (frame.width, frame.height)
        if self._size not in {None, size}:
            self._flags.add("size_change")
        self._size = size

    def store(self, ticks: "list[TickFrame[VideoFrame]]") -> None:
        """Store the frames of these ticks; all of them show the same frame."""
        for index, shown in enumerate(ticks):
            if index == 0:
                self._converter = self._converter or PictureConverter(
                    shown.frame, stream=self._stream, size_px=self._size_px
                )
                self._sink.add(self._converter.to_rgb(shown.frame))
            else:
                self._sink.repeat()
            time_s = shown.pts * self._rule.time_base if shown.tick_s is None else shown.tick_s
            self._pts_s.append(round(float(time_s), 6))

    def judge(self, decoding: FullDecoder, *, num_backward: int) -> None:
        """Put each kind of damage into a sentence."""
        # Where recordings were joined, the container takes the joint itself for lost data.
        num_corrupt = len(self._packets.corrupt_at) - decoding.num_concatenations
        self._num_errors = self._packets.num_errors + decoding.num_errors + max(0, num_corrupt)
        if decoding.num_concatenations:
            self._flags.add("joined")
        counts = {
            "Packets read or decoded with errors": self._num_errors,
            "Packets with runs of zeros that their codec forbids": self._packets.zeros.num_zeroed,
            "Packets before the first keyframe, which are lost": self._packets.num_before_keyframe,
            "Frames left out because their times run backwards": num_backward,
            "Times that its timestamps restart": decoding.num_restarts,
        }
        self._damage += [f"{what}: {count}." for what, count in counts.items() if count]
        if self._packets.num_missing:
            promised, num_missing = self._stream.frames, self._packets.num_missing
            self._damage.append(f"The container lists {promised} packets and has {promised - num_missing}.")

    def finish(self, sampler: Sampler[Any]) -> None:
        """Take note of the times, after the last frame.

        Raises:
            VideoRejected: nothing was kept.
        """
        if self._converter is None:
            raise self._nothing(sampler)
        span: Sampler[Any] = sampler
        if sampler.is_done and NO_TIME not in self._packets.pts:
            span = _shown_span(self._packets, time_base=self._rule.time_base)
        self._duration_s = float((span.end_pts - span.first_pts) * self._rule.time_base)
        if not self._packets.is_whole:
            self._duration_s = self._told_duration_s() or self._duration_s
        self._end_s = float(span.end_pts * self._rule.time_base)
        step_s = sampler.step_s
        self._last_s = self._typical_s() if step_s is None else float(step_s)
        self._copy_times_s = copy_times(self._pts_s, sampler)
        if self._duration_lies():
            self._flags.add("duration_lies")

    def result(self) -> DecodedVideo:
        """Return everything, after ``finish``."""
        converter, context, rate = self._converter, self._stream.codec_context, self._stream.average_rate
        assert converter is not None, "finish raises where nothing was kept"
        return DecodedVideo(
            jpegs=self._sink.jpegs,
            pts_s=tuple(self._pts_s),
            last_s=self._last_s,
            width_px=converter.width_px,
            height_px=converter.height_px,
            source_width_px=converter.source_width_px,
            source_height_px=converter.source_height_px,
            source_fps=round(float(rate), 6) if rate else None,
            source_duration_s=round(self._duration_s, 6),
            codec=context.codec.canonical_name,
            pix_fmt=converter.pix_fmt,
            container=self._container.format.name,
            rotation_deg=converter.orientation.rotation_deg,
            sample_aspect_ratio=f"{converter.aspect.numerator}:{converter.aspect.denominator}",
            color=converter.color,
            num_decode_errors=self._num_errors,
            flags=tuple(sorted(self._flags | set(converter.flags))),
            decoding=self._decoding,
            damage=tuple(self._damage),
            copy_times_s=self._copy_times_s,
        )

    def _told_duration_s(self) -> float:
        """Return the container's duration, where the packets were not read to their end; 0 when unknown."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._rule.time_base)
        return (self._container.duration or 0) / 1_000_000

    def _typical_s(self) -> float:
        rate = self._stream.average_rate
        return float(1 / rate) if rate else 0.04

    def _duration_lies(self) -> bool:
        """Whether the container gives a duration that its packets are far from."""
        stream, container = self._stream, self._container
        if NO_TIME in self._packets.pts or "joined" in self._flags:  # FFmpeg's own guess
            return False
        if not self._packets.is_whole:
            return False
        if self._told_s is not None and container.duration is not None:
            tracks_s = [
                float(other.duration * other.time_base)
                for other in container.streams
                if other.duration and other.time_base
            ]
            return _is_lie(self._told_s, [container.duration / 1_000_000, *tracks_s])
        if stream.duration is not None:
            told_s = float(stream.duration * self._rule.time_base)
        elif container.duration is not None and len(container.streams) == 1:  # else it may be the sound's
            told_s = container.duration / 1_000_000
        else:
            return False
        # Some count from the first frame, some from zero.
        return _is_lie(told_s, [self._duration_s, self._end_s])

    def _nothing(self, sampler: Sampler[Any]) -> VideoRejected:
        context = self._stream.codec_context
        if context.width * context.height > MAX_SOURCE_PIXELS:
            return VideoRejected(
                RejectReason.TOO_LARGE, f"Its frames have {context.width} x {context.height} pixels."
            )
        if not self._packets.num_counted:
            return VideoRejected(RejectReason.NO_VIDEO, "Its video stream is empty.")
        if sampler.has_frames:
            told = f"It has no frame from {self._rule.start_s or 0} s to {self._rule.end_s or 'its end'}"
            return VideoRejected(
                RejectReason.EMPTY_SEGMENT, f"{told}: its video is {self._seen_s(sampler):g} s long."
            )
        return VideoRejected(RejectReason.DECODE_ERROR, "No frame of the video could be decoded.")

    def _seen_s(self, sampler: Sampler[Any]) -> float:
        return round(float((sampler.end_pts - sampler.first_pts) * self._rule.time_base), 3)


def _is_lie(told_s: float, true_s: list[float]) -> bool:
    return all(abs(told_s - value) > max(_MAX_LIE_S, _MAX_LIE * min(told_s, value)) for value in true_s)


def _shown_span(packets: Packets, *, time_base: Fraction) -> ShownSpan:
    """Return the span of a video whose frames were not all decoded."""
    is_shown = ~np.frombuffer(packets.is_dropped, bool)
    times = np.array([packets.pts, packets.duration])[:, is_shown]
    span = ShownSpan(time_base)
    for pts, duration in times[:, np.argsort(times[0])].T.tolist():
        span.push(None, pts=pts, duration=duration)
    return span
