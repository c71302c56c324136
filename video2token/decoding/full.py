"""Decodes every packet of a video, passes over what is damaged, and counts it."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from vfm.video2token.container.demuxer import LibavLog, raise_memory_error
from vfm.video2token.picture.alpha import decoder_of

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_MAX_DISORDER = 8  # frames; further back, the timestamps restarted


class FullDecoder:
    """One pass over all packets of one video.

    Attributes:
        num_errors: packets decoded with errors.
        num_restarts: times that the timestamps restarted in the middle of a recording.
        num_concatenations: times that they restarted at a keyframe, as where two recordings were joined.
    """

    def __init__(self, stream: "VideoStream", *, log: LibavLog) -> None:
        self.num_errors = 0
        self.num_restarts = 0
        self.num_concatenations = 0
        self._stream = stream
        self._decoder = decoder_of(stream)
        self._log = log

    def timed_frames(self, packets: "Iterable[Packet[VideoStream]]") -> "Iterator[tuple[VideoFrame, int]]":
        """Yield frames with their presentation times.

        A frame without a time follows the one before. A clock that jumps back, as where two recordings were
        joined, goes on from where it was.
        """
        # Two recordings, a frame every 2 units; the second counts from 0 again. A frame that is less than
        # _MAX_DISORDER frames early keeps its time: it is out of order, and sampling leaves it out.
        #
        #   read     ...  94   96   98 |   0    2    4
        #   shift    ...   0    0    0 | 100  100  100    (latest + step - read)
        #   given    ...  94   96   98 | 100  102  104
        step = typical_duration(self._stream)
        shift, expected, latest = 0, 0, None
        for frame in self._frames(packets):
            pts = expected if frame.pts is None else frame.pts + shift
            if latest is not None and pts < latest - _MAX_DISORDER * step:
                shift += latest + step - pts
                self.num_concatenations += frame.key_frame
                self.num_restarts += not frame.key_frame
                pts = latest + step
            latest, expected = pts, pts + (frame.duration or step)
            yield frame, pts

    def _frames(self, packets: "Iterable[Packet[VideoStream]]") -> "Iterator[VideoFrame]":
        self._log.clear()
        for packet in packets:
            yield from self._decode(packet)
        yield from self._decode(None)

    def _decode(self, packet: "Packet[VideoStream] | None") -> "list[VideoFrame]":
        """Return the frames a packet completes; an error costs the packet, not the video."""
        frames: list[VideoFrame] = []
        is_damaged = False
        try:
            frames = self._decoder.decode(packet)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError):
            is_damaged = True
        raise_memory_error(self._log)
        self.num_errors += is_damaged or bool(self._log) or any(frame.is_corrupt for frame in frames)
        self._log.clear()
        return frames


def typical_duration(stream: "VideoStream") -> int:
    """Return how long a frame is shown by the stream's own rate, in units of its time base, at least 1."""
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    return max(1, round(1 / (rate * (stream.time_base or Fraction(1, 90_000)))))
