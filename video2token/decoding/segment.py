"""Reads a late segment of a long video without the packets between the video's begin and the segment.

The begin is read for the time of the first frame, which segments count from, and for what the stream brings
with its first packet. Then the container's index leads to the last entry before the segment. Only MP4 and its
kin have an index of all packets, whose times cannot run backwards where nobody looks.
"""

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from vfm.video2token.container.bitstream.facts import NotSelectableError
from vfm.video2token.container.demuxer import LibavLog
from vfm.video2token.container.packets import ENTRY, NO_TIME, SHOWN, Behind, PacketReader, Packets, demux

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MIN_SKIPPED = 500  # packets; reading fewer takes no longer than looking for the entry
_MARGIN_S = Fraction(1)  # an entry's presentation time may be that much later than the index says


def is_late(container: "InputContainer", stream: "VideoStream", *, start_s: Fraction) -> bool:
    """Return whether so much lies before a segment that an index of all packets saves reading it."""
    if "mov" not in container.format.name.split(",") or not stream.time_base or not stream.frames:
        return False
    entries = stream.index_entries
    if len(entries) != stream.frames:
        return False
    place = entries.search_timestamp(entries[0].timestamp + int((start_s - _MARGIN_S) / stream.time_base))
    return place >= _MIN_SKIPPED


def read_segment(
    container: "InputContainer", stream: "VideoStream", *, log: LibavLog, start_s: Fraction, end_s: float
) -> Packets:
    """Return the packets of the video's first group, and those that a segment needs.

    Args:
        container: just opened.
        stream: the only one that is not discarded, with a late segment.
        log: receives libav's messages.
        start_s: where the segment begins, seconds from the first frame.
        end_s: where it ends.

    Raises:
        NotSelectableError: it is not certain that nothing depends on what is left out.
    """
    reader = PacketReader(stream, select=True)
    packets, is_behind = reader.packets, Behind(end_s, time_base=stream.time_base)
    for packet in demux(container, stream, packets=packets, log=log):
        if len(packets) and packet.is_keyframe:
            break
        reader.take(packet)
        is_behind(packet)
    time_base = stream.time_base or Fraction(1)
    wanted_pts = _first_pts(packets) + start_s / time_base
    place = stream.index_entries.search_timestamp(int(wanted_pts - _MARGIN_S / time_base))
    if place < len(packets):
        raise NotSelectableError("there is no entry between the begin and the segment")
    entry = stream.index_entries[place]
    try:
        container.seek(entry.timestamp, stream=stream)
    except av.FFmpegError:
        raise NotSelectableError("its index cannot be followed") from None
    place = len(packets)
    for packet in demux(container, stream, packets=packets, log=log):
        reader.take(packet)
        if len(packets) == place + 1:
            is_entry = not packets.obstacle and bool(packets.facts[place] & ENTRY)
            # libavformat may choose the entry before, whose pictures are all shown earlier.
            if not is_entry or packet.pts is None or not packets.pts[place - 1] < packet.pts <= wanted_pts:
                raise NotSelectableError("its index cannot be followed")
        if is_behind(packet):
            packets.is_whole = False
            break
    # The end decides the last frame's time, and in packed pictures all that lies before decides times.
    if packets.is_whole or packets.cached is None or packets.is_packed:
        raise NotSelectableError("the segment reaches the video's end, is large, or packed")
    return packets


def _first_pts(packets: Packets) -> int:
    """Return the presentation time of the first frame."""
    is_plain = not (packets.obstacle or packets.num_errors or packets.corrupt_at or any(packets.is_dropped))
    if not is_plain or NO_TIME in packets.pts or not packets.has(SHOWN).all():
        raise NotSelectableError("its begin is not plain")
    return int(np.frombuffer(packets.pts, np.int64).min())
