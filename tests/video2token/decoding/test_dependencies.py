"""Which packets must be decoded, on streams written down as letters."""

from array import array

import numpy as np
import pytest

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
from vfm.video2token.decoding.dependencies import packets_needed, shown, timeline

# IDR, P, B nobody refers to, CRA, its leading picture, a frame that is not shown, a layered picture
KINDS = {
    "I": ENTRY | CLEAN | REFERENCE | SHOWN,
    "P": CLEAN | REFERENCE | SHOWN,
    "b": CLEAN | SHOWN,
    "C": ENTRY | REFERENCE | SHOWN,
    "L": CLEAN | LEADING | SHOWN,
    "h": CLEAN | REFERENCE,
    "t": CLEAN | SHOWN | LAYERED,
}


def stream(kinds: str, pts: list[int]) -> Packets:
    packets = Packets()
    packets.pts = array("q", pts)
    packets.duration = array("q", [1] * len(pts))
    packets.facts = bytearray(KINDS[kind] for kind in kinds)
    packets.is_keyframe = bytearray(kind in "IC" for kind in kinds)
    packets.is_dropped = bytearray(len(pts))
    return packets


def fed(kinds: str, pts: list[int], wanted: list[int], *, watch_end: bool = False) -> str:
    """Return the kinds of the packets, a dot for each that is left out, ``|`` where the decoder forgets."""
    packets = stream(kinds, pts)
    feed, flush = packets_needed(packets, wanted_pts=np.array(wanted), watch_end=watch_end)
    return "".join(
        ("|" if is_flush else "") + (kind if is_fed else ".")
        for kind, is_fed, is_flush in zip(kinds, feed, flush, strict=True)
    )


CLOSED, CLOSED_PTS = "IPbPbIPbPb", [0, 2, 1, 4, 3, 5, 7, 6, 9, 8]
OPEN, OPEN_PTS = "IPbCLLPbCLLP", [0, 2, 1, 5, 3, 4, 7, 6, 10, 8, 9, 11]


@pytest.mark.parametrize(
    ("wanted", "packets"),
    [
        ([0], "I........."),
        ([1], "IPb......."),
        ([2], "IP........"),
        ([3], "IP.Pb....."),
        ([5], ".....I...."),
        ([8], ".....IP.Pb"),
        ([2, 5], "IP...I...."),
        ([], ".........."),
    ],
)
def test_closed_groups_are_decoded_up_to_the_last_wanted_picture(wanted: list[int], packets: str) -> None:
    assert fed(CLOSED, CLOSED_PTS, wanted) == packets


def test_last_packet_is_watched() -> None:
    assert fed(CLOSED, CLOSED_PTS, [0], watch_end=True) == "I....IP.Pb"


@pytest.mark.parametrize(
    ("wanted", "packets"),
    [
        ([0, 5], "I..|C........"),
        ([7], "...|C..P....."),
        ([3], "IP.CL......."),  # predicted from the group before, which is decoded to its end
        ([9], "...|C..P.C.L."),
        ([3, 9], "IP.CL.P.C.L."),
        ([10], "........|C..."),
    ],
)
def test_leading_pictures_bring_the_group_before(wanted: list[int], packets: str) -> None:
    assert fed(OPEN, OPEN_PTS, wanted) == packets


def test_without_reordering_every_picture_counts_as_a_reference() -> None:
    assert fed("IPbPb", [0, 1, 2, 3, 4], [3]) == "IPbP."


def test_pictures_of_higher_temporal_layers_keep_all() -> None:
    assert fed("IPbPtb", [0, 2, 1, 5, 4, 3], [5]) == "IPbP.."
    assert fed("IPbPtb", [0, 2, 1, 5, 4, 3], [3]) == "IPbPtb"


def test_hidden_frames_are_decoded_and_have_no_time() -> None:
    packets = stream("IPhP", [0, 1, NO_TIME, 2])
    assert shown(packets).tolist() == [True, True, False, True]
    assert timeline(packets).pts.tolist() == [0, 1, 2]
    assert fed("IPhP", [0, 1, NO_TIME, 2], [2]) == "IPhP"


def test_leading_pictures_at_the_begin_are_never_shown() -> None:
    assert timeline(stream("CLLP", [2, 0, 1, 3])).pts.tolist() == [2, 3]


def test_dropped_packets_are_decoded_and_not_shown() -> None:
    packets = stream("IPbPb", [0, 2, 1, 4, 3])
    packets.is_dropped[0] = 1
    assert timeline(packets).pts.tolist() == [1, 2, 3, 4]
    assert packets_needed(packets, wanted_pts=np.array([1]), watch_end=False).decode.tolist() == [
        1,
        1,
        1,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("kinds", "pts", "told"),
    [
        ("IPP", [0, NO_TIME, 2], "packets without times"),
        ("IPP", [0, 1, 1], "several packets with one time"),
    ],
)
def test_times_that_tell_nothing_are_refused(kinds: str, pts: list[int], told: str) -> None:
    with pytest.raises(NotSelectableError, match=told):
        timeline(stream(kinds, pts))


@pytest.mark.parametrize(
    ("kinds", "pts"),
    [
        ("IPIP", [0, 5, 3, 6]),  # the second group begins before the first has ended
        ("IPIP", [0, 1, 3, 2]),  # a reference before its entry
    ],
)
def test_groups_that_overlap_in_time_are_refused(kinds: str, pts: list[int]) -> None:
    with pytest.raises(NotSelectableError, match="overlap in time"):
        packets_needed(stream(kinds, pts), wanted_pts=np.array([0]))


def test_pairs_go_through_all_pictures() -> None:
    line = timeline(stream("IPb", [0, 2, 1]))
    assert list(line.pairs()) == [(0, 1), (1, 1), (2, 1)]
