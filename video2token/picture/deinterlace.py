"""Interlaced fields: one picture shows two moments, and is stored as the first of them."""

from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.filter import Graph

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MIN_SIDE_PX = 8  # yadif looks three pixels around, in planes of half the size


def deinterlace(frame: "VideoFrame") -> "VideoFrame":
    """Return an interlaced picture with its second field's rows interpolated, at the size and format it has.

    By libavfilter's yadif, which gets this one picture and no neighbours: rows that fit between the first
    field's stay, so that what stands still keeps all its detail, and combs are filled along edges. Frames
    need not be decoded for their neighbours' sake, and the result does not depend on which were. Pictures
    of a few pixels are left as they are.
    """
    if min(frame.width, frame.height) < _MIN_SIDE_PX:
        return frame
    graph = Graph()
    graph.threads = 1  # the job runs one process per core
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    # Its fields are told apart by the frame's own flag; the flag decides nothing else.
    yadif = graph.add("yadif", "mode=send_frame:parity=auto:deint=all")
    sink = graph.add("buffersink")
    source.link_to(yadif)
    yadif.link_to(sink)
    graph.configure()
    pts, frame.pts = frame.pts, 0
    graph.push(frame)
    frame.pts = pts
    graph.push(None)
    picture = graph.pull()
    assert isinstance(picture, av.VideoFrame)
    picture.colorspace, picture.color_range = frame.colorspace, frame.color_range
    return picture
