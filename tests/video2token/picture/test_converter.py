"""What `PictureConverter` decides for a video and for each of its frames."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from support.media import draw
from vfm.shards.pixels import jpeg
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import pyav
from vfm.video2token.options import ExtractOptions
from vfm.video2token.picture.converter import PictureConverter
from vfm.video2token.picture.tonemap import to_sdr
from vfm.video2token.rejection import VideoRejected

Film = Callable[..., Path]


def stream_of(
    *, codec: str = "h264", aspect: Fraction | None = None, metadata: dict[str, str] | None = None
) -> VideoStream:
    """Return as much of a stream as `PictureConverter` asks for."""
    context = SimpleNamespace(codec=SimpleNamespace(canonical_name=codec))
    known = SimpleNamespace(sample_aspect_ratio=aspect, codec_context=context, metadata=metadata or {})
    return cast("VideoStream", known)


def frame_of(
    pix_fmt: str = "yuv420p", *, size: tuple[int, int] = (64, 48), **properties: int
) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(draw(77, size=size), format="rgb24").reformat(format=pix_fmt)
    for name, value in {"colorspace": 2, "color_range": 0, **properties}.items():
        setattr(frame, name, value)
    return frame


def decode(path: Path, **options: object) -> DecodedVideo:
    given = {"fps": 2.0, "size_px": 48, "quality": 95, **options}
    return pyav.decode(str(path), ExtractOptions(**given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pix_fmt", "most", "mean"),
    [
        ("yuv420p", 1, 0.05), ("yuv422p", 1, 0.05), ("yuv444p", 1, 0.05), ("nv12", 1, 0.05),
        ("yuv420p10le", 1, 0.05), ("yuvj420p", 0, 0), ("rgb24", 0, 0),
    ],
)  # fmt: skip
def test_the_common_picture_is_one_pass_of_swscale_but_for_its_rounding(
    pix_fmt: str, most: int, mean: float
) -> None:
    frame = frame_of(pix_fmt, size=(320, 240))
    once = VideoReformatter().reformat(
        frame,
        170,
        128,
        format="rgb24",
        interpolation=Interpolation.BICUBIC
        | Interpolation.ACCURATE_RND
        | Interpolation.FULL_CHR_H_INT
        | Interpolation.BITEXACT,
    )
    converter = PictureConverter(frame, stream=stream_of(), size_px=128)
    errors = np.abs(converter.to_rgb(frame).astype(int) - once.to_ndarray())
    assert errors.max() <= most
    assert errors.mean() <= mean
    assert converter.flags == ()


def test_each_frame_is_converted_by_its_own_properties() -> None:
    first, *others = (
        frame_of("yuv420p", colorspace=1),
        frame_of("yuv444p", colorspace=5),
        frame_of("yuv420p10le", colorspace=9, color_range=2),
        frame_of("gray", color_range=1),
        frame_of("rgb24"),
    )
    converter = PictureConverter(first, stream=stream_of(), size_px=48)
    converter.to_rgb(first)
    for frame in others:
        alone = PictureConverter(frame, stream=stream_of(), size_px=48).to_rgb(frame)
        np.testing.assert_array_equal(converter.to_rgb(frame), alone)


def test_a_changed_size_is_stretched_to_the_first_and_flagged() -> None:
    converter = PictureConverter(frame_of(size=(64, 48)), stream=stream_of(), size_px=48)
    assert converter.to_rgb(frame_of(size=(64, 48))).shape == (48, 64, 3)
    assert converter.flags == ()
    stretched = converter.to_rgb(frame_of("rgb24", size=(96, 32))).astype(int)
    assert converter.flags == ("size_change",)
    assert np.abs(stretched - draw(77)).mean() < 9


@pytest.mark.parametrize("space", [3, 18, 200])
def test_reserved_matrices_count_as_not_stated(space: int) -> None:
    frame, plain = frame_of(colorspace=space), frame_of()
    converter = PictureConverter(frame, stream=stream_of(), size_px=48)
    np.testing.assert_array_equal(converter.to_rgb(frame), converter.to_rgb(plain))


def test_a_matrix_derived_from_primaries_is_that_of_their_standard() -> None:
    for primaries, space in ((1, 1), (9, 9)):
        derived, stated = frame_of(colorspace=12, color_primaries=primaries), frame_of(colorspace=space)
        converter = PictureConverter(derived, stream=stream_of(), size_px=48)
        np.testing.assert_array_equal(converter.to_rgb(derived), converter.to_rgb(stated))


@pytest.mark.parametrize("space", [8, 10, 11, 12, 13, 14, 15, 16, 17])
def test_matrices_that_cannot_be_converted_are_refused(space: int) -> None:
    frame = frame_of(colorspace=space)
    with pytest.raises(
        VideoRejected, match=rf"matrix {space} of H.273 .* convert the video to BT.709\.$"
    ) as caught:
        PictureConverter(frame, stream=stream_of(), size_px=48).to_rgb(frame)
    assert caught.value.reason == "unsupported"


def test_what_swscale_cannot_convert_is_refused() -> None:
    frame = frame_of(color_range=3)  # no range at all
    with pytest.raises(VideoRejected, match=r"Its pictures \(yuv420p\) cannot be converted") as caught:
        PictureConverter(frame, stream=stream_of(), size_px=48).to_rgb(frame)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize(("codec", "darkest"), [("h264", 0), ("hevc", 0), ("ffv1", 16), ("rawvideo", 16)])
def test_grey_of_unstated_range_is_limited_where_the_codec_says_so(codec: str, darkest: int) -> None:
    frame = av.VideoFrame(32, 32, "gray")
    frame.planes[0].update(bytes([16]) * frame.planes[0].buffer_size)
    converter = PictureConverter(frame, stream=stream_of(codec=codec), size_px=32)
    assert np.unique(converter.to_rgb(frame)).tolist() == [darkest]


@pytest.mark.parametrize(("transfer", "name"), [(16, "smpte2084"), (18, "arib-std-b67")])
@pytest.mark.parametrize("value_range", [1, 2])
def test_hdr_is_tone_mapped_and_flagged(transfer: int, name: str, value_range: int) -> None:
    frame = av.VideoFrame(64, 64, "yuv420p10le")
    low, high = (64, 940) if value_range == 1 else (0, 1023)
    numbers = np.linspace(low, high, 4).round().astype("<u2")
    frame.planes[0].update(numbers.repeat(16).tobytes() * 64)
    for plane in frame.planes[1:]:
        plane.update(np.full(plane.buffer_size // 2, 512, "<u2").tobytes())
    frame.colorspace, frame.color_primaries = 9, 9
    frame.color_trc, frame.color_range = transfer, value_range
    converter = PictureConverter(frame, stream=stream_of(codec="hevc"), size_px=64)
    stored = converter.to_rgb(frame)[32, 8::16].astype(int)
    codes = (65535 * (numbers.astype(float) - low) / (high - low)).round().astype(np.uint16)
    expected = to_sdr(codes[None, :, None].repeat(3, axis=2), transfer=name, primaries="bt2020")[0]
    assert converter.flags == ("hdr",)
    assert np.abs(stored - expected).max() <= 1
    assert (stored[0].max(), stored[-1].min()) == (0, 255)


def test_transparent_hdr_is_flattened_and_then_tone_mapped() -> None:
    opaque, plain = (frame_of(name, color_trc=16, colorspace=9) for name in ("yuva444p10le", "yuv444p10le"))
    converter = PictureConverter(opaque, stream=stream_of(), size_px=48)
    with_alpha, without = converter.to_rgb(opaque).astype(int), converter.to_rgb(plain).astype(int)
    assert converter.flags == ("hdr",)
    # flattened at its own size and scaled after: two roundings of 16 bits
    assert np.abs(with_alpha - without).max() <= 1
    opaque.planes[3].update(bytes(opaque.planes[3].buffer_size))
    assert converter.to_rgb(opaque).max() == 0
    assert converter.flags == ("alpha", "hdr")


def test_all_flags_are_sorted_and_come_with_the_frames() -> None:
    converter = PictureConverter(frame_of(), stream=stream_of(metadata={"ALPHA_MODE": "1"}), size_px=48)
    assert converter.flags == ("alpha",)
    converter.to_rgb(frame_of("yuv420p10le", size=(32, 32), color_trc=16))
    assert converter.flags == ("alpha", "hdr", "size_change")


@pytest.mark.parametrize(
    ("aspect", "is_allowed"), [("1/16", True), ("16", True), ("1/17", False), ("1000", False)]
)
def test_absurd_pixels_are_refused(aspect: str, is_allowed: bool) -> None:
    stream = stream_of(aspect=Fraction(aspect))
    if is_allowed:
        assert min(PictureConverter(frame_of(), stream=stream, size_px=48).to_rgb(frame_of()).shape[:2]) == 48
        return
    with pytest.raises(VideoRejected, match="1:16 to 16:1") as caught:
        PictureConverter(frame_of(), stream=stream, size_px=48)
    assert caught.value.reason == "bad_aspect"


@pytest.mark.parametrize(
    ("matrix", "flags"),
    [
        ((-1, 0, 0, 1), ("mirrored",)),
        ((0, 1, 1, 0), ("mirrored",)),
        ((0, 1, -1, 0), ()),
        ((-1, 0, 0, -1), ()),
    ],
)
def test_mirrored_videos_are_flagged(film: Film, matrix: tuple[int, ...], flags: tuple[str, ...]) -> None:
    a, b, c, d = (value << 16 for value in matrix)
    assert decode(film(num_frames=1, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))).flags == flags


@pytest.mark.parametrize("size", [(101, 67), (65, 48), (64, 49), (67, 101)])
def test_odd_sizes_are_exact(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        container.mux(stream.encode(frame_of(size=size)))
        container.mux(stream.encode(None))
    video = decode(path, size_px=min(size))
    assert (video.source_width_px, video.source_height_px) == size
    frame = jpeg.decode(video.jpegs[0])
    assert frame.shape == (video.height_px, video.width_px, 3)
    assert (video.width_px, video.height_px) == size
    assert np.abs(frame.astype(int) - draw(77, size=size)).mean() < 6


EXPECTED = {
    "r03_decord_rot180.mov": ((227, 128), 180, ()),
    "r03_decord_rot270.mov": ((128, 227), 270, ()),
    "r07_hdr_10bit.mp4": ((227, 128), 0, ("hdr",)),
    "r08_odd_size_444_10bit.mp4": ((170, 128), 0, ()),
    "r10_transparent.gif": ((170, 128), 0, ("alpha",)),
    "d01_odd_101x67.mp4": ((193, 128), 0, ()),
    "d02_2x2.mp4": ((128, 128), 0, ()),
    "d04_bomb_8k.mp4": ((242, 128), 0, ()),
    "d05_header_65535x65535.mp4": ((170, 128), 0, ()),
    "d07_sar_9_16.mp4": ((128, 170), 0, ()),
    "d08_rot90_matrix.mp4": ((128, 170), 90, ()),
    "d10_hflip_matrix.mp4": ((170, 128), 0, ("mirrored",)),
    "d11_hdr_pq_10bit.mp4": ((170, 128), 0, ("hdr",)),
    "d13_alpha.webm": ((170, 128), 0, ("alpha",)),
    "d14_interlaced.mp4": ((170, 128), 0, ("interlaced",)),
    "d16_all_black.mp4": ((170, 128), 0, ()),
    "b19_resolution_change.ts": ((170, 128), 0, ("joined", "size_change")),
}


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", EXPECTED)
def test_odd_videos_get_their_shape_and_flags(shared: Path, name: str) -> None:
    video = decode(shared / "badvideos" / "files" / name, size_px=128)
    assert ((video.width_px, video.height_px), video.rotation_deg, video.flags) == EXPECTED[name]
    assert {jpeg.decode(data).shape for data in video.jpegs} == {(video.height_px, video.width_px, 3)}
