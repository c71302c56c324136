from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vfm.shards.pixels import jpeg
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import pyav
from vfm.video2token.options import ExtractOptions
from vfm.video2token.picture.alpha import announces_alpha, decoder_of, flatten, flatten_on_black, has_alpha
from vfm.video2token.picture.scaling import Scaler

RED = (200, 40, 30)


def draw_rgba() -> np.ndarray:
    """Return uint8 [48,64,4]: red all over; opaque left, half in the middle, nothing right."""
    picture = np.zeros((48, 64, 4), np.uint8)
    picture[..., :3] = RED
    picture[:, :24, 3], picture[:, 24:40, 3] = 255, 128
    return picture


def write(path: Path, *, codec: str, pix_fmt: str, picture: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"lossless": "1"} if "vpx" in codec else {})
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], pix_fmt
        for index in range(2):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode(path: Path) -> tuple[DecodedVideo, np.ndarray]:
    video = pyav.decode(str(path), ExtractOptions(fps=1.0, size_px=48, quality=98))
    return video, jpeg.decode(video.jpegs[0]).astype(int)


@pytest.mark.parametrize(("dtype", "opaque"), [(np.uint8, 255), (np.uint16, 65535), (np.uint16, 1023 << 6)])
def test_colours_are_multiplied_by_alpha_and_rounded(dtype: type, opaque: int) -> None:
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, opaque + 1, size=(40, 50, 4)).astype(dtype)
    rgba[0, :, 3], rgba[1, :, 3], rgba[2] = opaque, 0, opaque
    flat = flatten_on_black(rgba, opaque=opaque)
    exact = rgba[..., :3].astype(float) * rgba[..., 3:] / opaque
    assert flat.dtype == dtype
    assert np.abs(flat - exact).max() <= 0.5
    np.testing.assert_array_equal(flat[0], rgba[0, :, :3])
    assert flat[1].max() == 0


@pytest.mark.parametrize(
    ("pix_fmt", "expected"),
    [
        ("yuva420p", True), ("yuva444p10le", True), ("bgra", True), ("pal8", True), ("gbrap", True),
        ("ya8", True),
        ("yuv420p", False), ("rgb24", False), ("gbrp", False), ("gray", False), ("nv12", False),
    ],
)  # fmt: skip
def test_formats_with_alpha_are_known(pix_fmt: str, expected: bool) -> None:
    assert has_alpha(av.VideoFormat(pix_fmt)) is expected


@pytest.mark.parametrize("pix_fmt", ["rgba", "yuva444p", "yuva444p10le", "yuva444p16le", "gbrap"])
def test_hidden_colours_do_not_bleed_into_what_is_seen(pix_fmt: str) -> None:
    picture = draw_rgba()
    picture[:, 40:, :3] = (0, 255, 0)  # a green that is not to be seen
    frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pix_fmt)
    flat, is_transparent = flatten(frame, scaler=Scaler())
    seen = flat.reformat(64, 48, format="rgb24").to_ndarray().astype(int)
    assert is_transparent
    assert np.abs(seen[:, :24] - RED).max() <= 2
    assert np.abs(seen[:, 26:38] - np.array(RED) * 128 / 255).max() <= 2
    assert seen[:, 40:].max() <= 1


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.mkv", "ffv1", "yuva444p10le"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.avi", "rawvideo", "bgra"),
        ("a.mov", "qtrle", "argb"),
        ("a.mov", "prores_ks", "yuva444p10le"),
    ],
)
def test_transparent_parts_become_black_and_are_flagged(
    tmp_path: Path, name: str, codec: str, pix_fmt: str
) -> None:
    video, frame = decode(write(tmp_path / name, codec=codec, pix_fmt=pix_fmt, picture=draw_rgba()))
    assert video.flags == ("alpha",)
    assert np.abs(frame[8:40, 4:20] - RED).max() <= 6
    assert np.abs(frame[8:40, 28:36] - np.array(RED) * 128 / 255).max() <= 6
    assert frame[8:40, 48:].max() <= 3


def test_an_opaque_picture_is_flagged_only_where_the_file_announces_alpha(tmp_path: Path) -> None:
    picture = draw_rgba()
    picture[..., 3] = 255
    still, frame = decode(write(tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgra", picture=picture))
    assert still.flags == ()
    assert np.abs(frame - RED).max() <= 3
    announced, _ = decode(write(tmp_path / "a.webm", codec="libvpx-vp9", pix_fmt="yuva420p", picture=picture))
    assert announced.flags == ("alpha",)


def test_only_webm_that_announces_alpha_gets_another_decoder(tmp_path: Path) -> None:
    for pix_fmt, decoder in (("yuva420p", "libvpx-vp9"), ("yuv420p", "vp9")):
        path = write(tmp_path / "a.webm", codec="libvpx-vp9", pix_fmt=pix_fmt, picture=draw_rgba())
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert announces_alpha(stream) is (pix_fmt == "yuva420p")
            assert decoder_of(stream).name == decoder
