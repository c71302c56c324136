"""Decodes with PyAV, which brings FFmpeg's libraries in its wheel: the default decoder.

A first pass reads the packets, and the rule chooses frames by their times. Where the stream allows it, a
second pass decodes only what those depend on; otherwise all of it, and the sample says why.
"""

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING

import av
import numpy as np

from vfm.video2token.container.bitstream.facts import NotSelectableError
from vfm.video2token.container.demuxer import LibavLog, OpenedVideo, capture_log, choose_stream, open_video
from vfm.video2token.container.file_check import FileFacts, check_file
from vfm.video2token.container.packets import Packets, demux, read_packets
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.dependencies import packets_needed, timeline
from vfm.video2token.decoding.full import FullDecoder
from vfm.video2token.decoding.recorder import FrameRecorder
from vfm.video2token.decoding.segment import is_late, read_segment
from vfm.video2token.decoding.selective import wanted_frames
from vfm.video2token.options import ExtractOptions
from vfm.video2token.picture.alpha import announces_alpha
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.rule import SamplingRule, exact
from vfm.video2token.sampling.sampler import TickFrame, TooManyFramesError
from vfm.video2token.sampling.selection import too_long

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream


def decode(
    path: str,
    options: ExtractOptions,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    size_bytes: int = -1,
) -> DecodedVideo:
    """Return the frames of a video or of a segment of it, see ``decoder.Decoder``.

    Takes the stream that FFmpeg ranks best (default first, then by size), never a cover picture. Colour is
    converted by the matrix and range that the stream states, BT.601 limited where it states none, as
    FFmpeg does; ``docs/explanation/picture.md`` has all the rules of the picture.

    Raises:
        VideoRejected: with the reason.
    """
    facts = check_file(path, size_bytes=size_bytes)
    with capture_log() as log, ExitStack() as stack:
        try:
            video = _Video(path, options=options, facts=facts, log=log, stack=stack)
            return video.decode(start_s=start_s, end_s=end_s).result()
        except TooManyFramesError:
            raise too_long(options.sampling_options) from None
        except MemoryError:
            limit = options.memory_bytes >> 20
            raise VideoRejected(
                RejectReason.MEMORY, f"Decoding it takes more than {limit} MiB of memory."
            ) from None


def version() -> dict[str, str]:
    """Return the versions that the pixels follow from."""
    return {"pyav": av.__version__, "ffmpeg": str(av.ffmpeg_version_info)}


class _Video:
    """One video, which is opened again whenever a fresh decoder is needed."""

    def __init__(
        self, path: str, *, options: ExtractOptions, facts: FileFacts, log: LibavLog, stack: ExitStack
    ) -> None:
        self._path = path
        self._options = options
        self._facts = facts
        self._log = log
        self._stack = stack

    def decode(self, *, start_s: float | None, end_s: float | None) -> FrameRecorder:
        """Return the wanted frames: decoded selectively if that is exact, else from all packets."""
        opened, options = self._open(), self._options
        is_fit = options.selective and options.sampling != "ffmpeg-fps-filter"
        if is_fit and start_s and end_s and is_late(*opened, start_s=exact(start_s)):
            with suppress(NotSelectableError):
                return self._late_segment(opened, start_s=start_s, end_s=end_s)
            opened = self._open()
        packets = read_packets(
            opened.container, opened.stream, log=self._log, select=options.selective, end_s=end_s
        )
        rule = self._rule(opened, start_s=start_s, end_s=end_s)
        why = ""
        for num_threads in sorted({1, options.num_threads}, reverse=True):
            # What threads cannot do, by errors or by their memory, one alone decides: always the same.
            try:
                return self._selective(opened, packets=packets, rule=rule, num_threads=num_threads)
            except NotSelectableError as error:
                why = f"full: {error}" if options.selective else "full"
            except MemoryError:
                if num_threads == 1:
                    raise
            if packets.obstacle and packets.cached is not None:
                break  # nothing was decoded yet
            opened = self._open()
        return self._full(opened, packets=packets, rule=rule, decoding=why)

    def _late_segment(self, opened: OpenedVideo, *, start_s: float, end_s: float) -> FrameRecorder:
        """Return the wanted frames of a segment, without a look at what lies between the begin and it."""
        rule = self._rule(opened, start_s=start_s, end_s=end_s)
        packets = read_segment(
            opened.container, opened.stream, log=self._log, start_s=exact(start_s), end_s=end_s
        )
        return self._selective(opened, packets=packets, rule=rule, num_threads=1)

    def _selective(
        self, opened: OpenedVideo, *, packets: Packets, rule: SamplingRule, num_threads: int
    ) -> FrameRecorder:
        if announces_alpha(opened.stream):
            packets.obstacle = packets.obstacle or "its alpha lies beside the pictures"
        if packets.num_missing:
            packets.obstacle = packets.obstacle or "the container lists more packets than it has"
        line = timeline(packets)
        sampler = rule.sampler(line.pairs())
        ticks: list[TickFrame[int]] = []
        for pts, duration in line.pairs():
            ticks += sampler.push(pts, pts=pts, duration=duration)
        ticks += sampler.finish()
        wanted_pts = np.unique(np.array([shown.pts for shown in ticks], np.int64))
        selection = packets_needed(
            packets, wanted_pts=wanted_pts, watch_end=packets.is_whole and not _tells_cuts(opened)
        )
        decoding = "full: every packet is needed" if selection.decode.all() else "selective"
        if packets.cached is None:
            opened = self._open()
        if num_threads > 1:
            opened.stream.codec_context.thread_type = "FRAME"
            opened.stream.codec_context.thread_count = num_threads
        recorder = self._recorder_of(opened, packets=packets, rule=rule, decoding=decoding)
        frames = wanted_frames(
            self._stream_of(opened, packets=packets),
            context=opened.stream.codec_context,
            packets=packets,
            selection=selection,
            wanted_pts=wanted_pts,
            log=self._log,
        )
        shown_at = {pts: list(group) for pts, group in groupby(ticks, key=lambda shown: shown.pts)}
        for frame in frames:
            assert frame.pts is not None, "checked by wanted_frames"
            recorder.store([TickFrame(shown.pts, frame, shown.tick_s) for shown in shown_at[frame.pts]])
        recorder.finish(sampler)
        return recorder

    def _full(
        self, opened: OpenedVideo, *, packets: Packets, rule: SamplingRule, decoding: str
    ) -> FrameRecorder:
        times = []
        if rule.needs_end:
            first_look = FullDecoder(opened.stream, log=self._log)
            frames = first_look.timed_frames(self._stream_of(opened, packets=packets))
            times = [(pts, frame.duration or 0) for frame, pts in frames]
            opened = self._open()
        sampler = rule.sampler(times)
        recorder = self._recorder_of(opened, packets=packets, rule=rule, decoding=decoding)
        decoding_all = FullDecoder(opened.stream, log=self._log)
        for frame, pts in decoding_all.timed_frames(self._stream_of(opened, packets=packets)):
            recorder.observe(frame)
            recorder.store(sampler.push(frame, pts=pts, duration=frame.duration or 0))
            if sampler.is_done:
                break
        recorder.store(sampler.finish())
        recorder.judge(decoding_all, num_backward=sampler.num_backward)
        recorder.finish(sampler)
        return recorder

    def _recorder_of(
        self, opened: OpenedVideo, *, packets: Packets, rule: SamplingRule, decoding: str
    ) -> FrameRecorder:
        return FrameRecorder(
            opened,
            rule=rule,
            picture=self._options.picture_options,
            packets=packets,
            decoding=decoding,
            facts=self._facts,
        )

    def _rule(self, opened: OpenedVideo, *, start_s: float | None, end_s: float | None) -> SamplingRule:
        return SamplingRule(
            options=self._options.sampling_options,
            time_base=opened.stream.time_base or choose_stream(opened.container)[1],
            origin=_origin(opened),
            start_s=start_s,
            end_s=end_s,
        )

    def _open(self) -> OpenedVideo:
        container = self._stack.enter_context(open_video(self._path, facts=self._facts, log=self._log))
        return OpenedVideo(container, choose_stream(container)[0])

    def _stream_of(self, opened: OpenedVideo, *, packets: Packets) -> "Iterable[Packet[VideoStream]]":
        """Return the packets kept, or read them again; errors on the way were counted before."""
        if packets.cached is not None:
            return packets.cached
        return demux(opened.container, opened.stream, packets=Packets(), log=self._log)


def _tells_cuts(opened: OpenedVideo) -> bool:
    """Return whether the container itself tells when the file was cut: by a count, or by its structure."""
    return opened.stream.frames > 0 or "matroska" in opened.container.format.name


def _origin(opened: OpenedVideo) -> int:
    """Return the container's start in units of the stream's time base, as the ``ffmpeg`` command takes it."""
    start_us, time_base = opened.container.start_time, opened.stream.time_base
    return 0 if start_us is None or time_base is None else round(Fraction(start_us, 1_000_000) / time_base)
