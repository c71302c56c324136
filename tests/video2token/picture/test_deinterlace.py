from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph

from vfm.shards.pixels import jpeg
from vfm.video2token.decoding.decoders import pyav
from vfm.video2token.options import ExtractOptions
from vfm.video2token.picture.deinterlace import deinterlace
from vfm.video2token.picture.scaling import Scaler, scale

WIDTH, HEIGHT = 720, 576


def draw(time: int) -> np.ndarray:
    """Return uint8 [HEIGHT, WIDTH, 3]: fine lines that stand still, and discs that move 12 pixels a field."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    still = 128 + 60 * np.sin(x / 2.5 + y / 7) * np.cos(y / 2)
    frame = np.stack([still, 0.8 * still + 20, 220 - 0.6 * still], axis=2)
    for number in range(4):
        distance = np.hypot(x - (90 + 150 * number + 12 * time) % WIDTH, y - 120 - 110 * number)
        frame[distance < 60] = ((250, 240, 30), (20, 30, 90), (240, 60, 40), (30, 200, 220))[number]
    return frame.round().astype(np.uint8)


def woven(*, top: int, bottom: int, pix_fmt: str = "yuv420p", order: str = "tff") -> av.VideoFrame:
    """Return a frame of the even rows of one moment and the odd rows of another, chroma too, flagged so."""
    frame, other = (
        av.VideoFrame.from_ndarray(draw(time), format="rgb24").reformat(format=pix_fmt)
        for time in (top, bottom)
    )
    for plane, odd in zip(frame.planes, other.planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1).copy()
        rows[1::2] = np.frombuffer(odd, np.uint8).reshape(plane.height, -1)[1::2]
        plane.update(rows.tobytes())
    return flagged(frame, order=order)


def flagged(frame: av.VideoFrame, *, order: str = "tff") -> av.VideoFrame:
    """Return a frame that says it is interlaced; PyAV cannot write that flag, a filter can."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    graph.link_nodes(source, graph.add("setfield", order), graph.add("buffersink")).configure()
    frame.pts = 7
    graph.push(frame)
    told = graph.pull()
    assert isinstance(told, av.VideoFrame)
    assert told.interlaced_frame
    return told


def still(size: tuple[int, int] = (WIDTH, HEIGHT), *, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """Return a progressive picture that is flagged as interlaced."""
    picture = np.ascontiguousarray(draw(0)[: size[1], : size[0]])
    return flagged(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt))


def psnr_db(frame: av.VideoFrame, truth: np.ndarray, *, size_px: int) -> float:
    """Return how near a frame comes to the truth, both at the stored size."""
    size = (WIDTH * size_px // HEIGHT, size_px)
    scaler = Scaler()
    stored = scale(frame, size, scaler=scaler).astype(float)
    exact = av.VideoFrame.from_ndarray(truth, format="rgb24").reformat(format=frame.format.name)
    return float(10 * np.log10(255**2 / np.square(stored - scale(exact, size, scaler=scaler)).mean()))


@pytest.mark.parametrize(("size_px", "least_db", "woven_db"), [(128, 40, 28), (256, 36, 26)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p"])
def test_the_first_of_two_moments_is_shown(
    pix_fmt: str, size_px: int, least_db: float, woven_db: float
) -> None:
    frame = woven(top=0, bottom=1, pix_fmt=pix_fmt)
    assert psnr_db(frame, draw(0), size_px=size_px) < woven_db
    assert psnr_db(deinterlace(frame), draw(0), size_px=size_px) > least_db


def test_the_order_of_the_fields_is_followed() -> None:
    shown = deinterlace(woven(top=1, bottom=0, order="bff"))
    assert psnr_db(shown, draw(0), size_px=128) > psnr_db(shown, draw(1), size_px=128) + 10


def test_a_progressive_picture_that_claims_fields_keeps_its_detail() -> None:
    for size_px, least_db in ((128, 50), (256, 45)):
        assert psnr_db(deinterlace(still()), draw(0), size_px=size_px) > least_db


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv422p10le", "gray", "yuva420p", "gbrp", "nv12", "uyvy422", "p010le"]
)
def test_frame_keeps_what_it_says_about_itself(pix_fmt: str) -> None:
    frame = still((128, 96), pix_fmt=pix_fmt)
    frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = 9, 2, 18, 9
    shown = deinterlace(frame)
    assert (shown.width, shown.height, frame.pts) == (128, 96, 7)
    assert (shown.colorspace, shown.color_range, shown.color_trc, shown.color_primaries) == (9, 2, 18, 9)


@pytest.mark.parametrize("size", [(2, 2), (2, 64), (64, 2), (5, 3)])
def test_tiny_pictures_pass(size: tuple[int, int]) -> None:
    shown = deinterlace(still(size))
    assert (shown.width, shown.height) == size


@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", {"qp": "4"}), ("mpeg2video", {"qmin": "1", "qmax": "2"})]
)
def test_interlaced_video_is_flagged_and_combs_are_gone(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"flags": "+ildct+ilme", **options})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 60_000_000
        for index in range(3):
            frame = woven(top=2 * index, bottom=2 * index + 1)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video = pyav.decode(str(path), ExtractOptions(fps=25.0, size_px=128, quality=100))
    assert video.flags == ("interlaced",)
    for index, data in enumerate(video.jpegs):
        truth = av.VideoFrame.from_ndarray(draw(2 * index), format="rgb24")
        exact = scale(truth, (video.width_px, video.height_px), scaler=Scaler())
        # the truth as JPEG: what its chroma loses is not what is asked here
        stored = jpeg.decode(jpeg.encode(exact, quality=100)).astype(float)
        assert 10 * np.log10(255**2 / np.square(jpeg.decode(data) - stored).mean()) > 36
