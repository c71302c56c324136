"""From the frames that are wanted to the packets that must be decoded for them.

A stream falls into groups, each from an entry to the next. Inside a group, a picture that no other is
predicted from is decoded only if it is wanted, and nothing is decoded behind the last wanted picture. A
group without one is passed over. Leading pictures, which precede their entry in time and are predicted from
before it, bring the whole group before with them.
"""

from typing import NamedTuple

import numpy as np

from vfm.video2token.container.bitstream.facts import NotSelectableError
from vfm.video2token.container.packets import (
    CLEAN,
    ENTRY,
    LAYERED,
    LEADING,
    NO_TIME,
    REFERENCE,
    SHOWN,
    Packets,
)
from vfm.video2token.sampling.timeline import Timeline


class PacketSelection(NamedTuple):
    """What to decode of a stream; B[packets] in the order of decoding.

    Attributes:
        decode: which packets go to the decoder.
        flush_before: before which of them the decoder must forget what it has, after giving what it owes.
    """

    decode: np.ndarray
    flush_before: np.ndarray


def timeline(packets: Packets) -> Timeline:
    """Return when which picture is shown, from the packets alone.

    Raises:
        NotSelectableError: times are missing, or contradict the order of the packets.
    """
    if packets.obstacle:
        raise NotSelectableError(packets.obstacle)
    num_damaged = packets.num_errors + len(packets.corrupt_at) + packets.zeros.num_zeroed
    if num_damaged or packets.num_before_keyframe:
        raise NotSelectableError("the container is damaged")
    pts = np.frombuffer(packets.pts, np.int64)
    is_shown = shown(packets)
    if (pts[packets.has(SHOWN)] == NO_TIME).any() or not is_shown.any():
        raise NotSelectableError("packets without times")
    order = np.argsort(pts[is_shown], kind="stable")
    times = pts[is_shown][order]
    if (np.diff(times) <= 0).any():
        raise NotSelectableError("several packets with one time")
    return Timeline(times, np.frombuffer(packets.duration, np.int64)[is_shown][order])


def shown(packets: Packets) -> np.ndarray:
    """Return bool [packets]: which of them a full decode gives a picture for."""
    groups = np.cumsum(packets.has(ENTRY))
    # Before the first entry there is nothing that its leading pictures could be predicted from.
    is_lost = packets.has(LEADING) & (groups == 1)
    is_shown: np.ndarray = packets.has(SHOWN) & ~is_lost & ~np.frombuffer(packets.is_dropped, bool)
    return is_shown


def packets_needed(packets: Packets, *, wanted_pts: np.ndarray, watch_end: bool = True) -> PacketSelection:
    """Return the packets to decode for the pictures shown at ``wanted_pts``.

    Args:
        packets: of the whole video.
        wanted_pts: int64.
        watch_end: decode the last packet too, which is where the damage of a file that was cut shows.

    Raises:
        NotSelectableError: the order of times contradicts the structure of the stream.
    """
    pts = np.frombuffer(packets.pts, np.int64)
    is_wanted = np.isin(pts, wanted_pts) & shown(packets)
    is_wanted[-1] |= watch_end
    is_reference = packets.has(REFERENCE)
    is_reordered = (np.diff(pts[packets.has(SHOWN)]) < 0).any()
    if not is_reordered or packets.has(LAYERED).any():
        # Without B-pictures little is lost; with them, times in the order of decoding must be wrong, which
        # shows only when all are decoded. In temporal layers, even what is called no reference may be one.
        is_reference = np.ones_like(is_reference)
    # Groups are taken from the last to the first. I: an entry that resets the decoder, C: one that does not,
    # P: a reference, b: none, L: a leading picture, shown before its C and predicted across it.
    #
    #   packets     I  P  b | C  L  L  P  b | C  L  L  P
    #   shown at    0  2  1   5  3  4  7  6  10  8  9 11
    #   wanted 7    .  .  .  !C  .  .  P  .   .  .  .  .    nothing behind it; at ! the decoder forgets
    #   wanted 3    I  P  .   C  L  .  .  .   .  .  .  .    L needs the references of the group before
    starts = np.flatnonzero(packets.has(ENTRY))
    ends = np.append(starts[1:], len(packets))
    decode, flush_before = np.zeros(len(packets), bool), np.zeros(len(packets), bool)
    needs_all = False  # the group behind has leading pictures that are wanted
    is_leading = _leading(packets, pts=pts, starts=starts, ends=ends)
    for start, end in zip(starts[::-1], ends[::-1], strict=True):
        group = slice(start, end)
        num = end - start if needs_all else _behind_last(is_wanted[group])
        if num == 0:
            continue
        group = slice(start, start + num)
        has_leading = bool((is_wanted & is_leading)[group].any())
        decode[group] = is_wanted[group] | (is_reference[group] & (has_leading | ~is_leading[group]))
        needs_all = has_leading
        flush_before[start] = not has_leading and start > 0 and not packets.facts[start] & CLEAN
    return PacketSelection(decode, flush_before)


def _leading(packets: Packets, *, pts: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return bool [packets]: which of them precede their entry in time.

    Raises:
        NotSelectableError: one of them could not be left out, or belongs to a group before the last.
    """
    sizes = ends - starts
    is_shown = packets.has(SHOWN)
    entry_pts = np.repeat(pts[starts], sizes)
    is_early = is_shown & (pts < entry_pts)
    latest = np.maximum.accumulate(np.where(is_shown, pts, NO_TIME))
    before = np.repeat(np.concatenate([[NO_TIME], latest[ends[:-1] - 1]]), sizes)
    # Behind an entry only its leading pictures may be earlier than pictures of the groups before.
    is_lasting = packets.has(REFERENCE) & ~packets.has(LEADING)
    if (is_shown & (pts < before) & ~is_early).any() or (is_early & is_lasting).any():
        raise NotSelectableError("groups of pictures that overlap in time")
    is_leading: np.ndarray = is_early | packets.has(LEADING)
    return is_leading


def _behind_last(is_wanted: np.ndarray) -> int:
    """Return how many packets of a group there are up to the last that is wanted."""
    found = np.flatnonzero(is_wanted)
    return int(found[-1]) + 1 if found.size else 0
