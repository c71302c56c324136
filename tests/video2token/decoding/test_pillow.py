import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vfm.shards.pixels import jpeg
from vfm.video2token.decoding import pillow
from vfm.video2token.decoding.decoder import DecodedVideo, load_decoder
from vfm.video2token.options import IMAGE_DECODER, ExtractOptions
from vfm.video2token.rejection import RejectReason, VideoRejected

RED, GREEN, BLUE, YELLOW = (200, 40, 40), (40, 180, 60), (40, 60, 200), (220, 210, 50)
TOLERANCE = 4  # levels: of the stored JPEG
Write = Callable[..., Path]


def options(size_px: int = 64) -> ExtractOptions:
    return ExtractOptions(
        sampling="uniform", num_frames=1, decoder=IMAGE_DECODER, size_px=size_px, quality=100
    )


def decode(path: Path, *, size_px: int = 64) -> DecodedVideo:
    return pillow.decode(str(path), options(size_px))


def pixels_of(decoded: DecodedVideo) -> np.ndarray:
    (data,) = decoded.jpegs
    return jpeg.decode(data).astype(int)


def corners(decoded: DecodedVideo) -> np.ndarray:
    """Return [4,3]: a colour near each corner, top left, top right, bottom left, bottom right."""
    pixels = pixels_of(decoded)
    height, width, _ = pixels.shape
    return np.array(
        [pixels[height * y // 4, width * x // 4] for y, x in ((1, 1), (1, 3), (3, 1), (3, 3))], int
    )


def is_near(found: Any, wanted: Any) -> bool:
    return bool(np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max() <= TOLERANCE)


def quarters(width: int = 192, height: int = 128) -> Image.Image:
    """Return an image with a colour in each quarter: red, green, blue, yellow by rows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, YELLOW
    return Image.fromarray(pixels)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def save(image: Image.Image, name: str, **kept: Any) -> Path:
        image.save(tmp_path / name, **kept)
        return tmp_path / name

    return save


@pytest.mark.parametrize(
    ("name", "codec"), [("a.jpg", "jpeg"), ("a.PNG", "png"), ("a.webp", "webp"), ("a.bmp", "bmp")]
)
def test_an_image_is_a_video_of_one_frame(write: Write, name: str, codec: str) -> None:
    kept = {"quality": 100} if codec in {"jpeg", "webp"} else {}
    decoded = decode(write(quarters(), name, **kept))
    assert (decoded.pts_s, decoded.copy_times_s, decoded.source_duration_s) == ((0.0,), (0.0,), None)
    assert (decoded.width_px, decoded.height_px) == (96, 64)
    assert (decoded.source_width_px, decoded.source_height_px) == (192, 128)
    assert (decoded.codec, decoded.pix_fmt, decoded.container) == (codec, "RGB", "image")
    assert (decoded.flags, decoded.damage, decoded.num_decode_errors) == ((), (), 0)
    assert pixels_of(decoded).shape == (64, 96, 3)
    assert is_near(corners(decoded), [RED, GREEN, BLUE, YELLOW])


def test_a_small_image_is_enlarged_as_a_video_is(write: Write) -> None:
    decoded = decode(write(quarters(30, 20), "a.png"), size_px=64)
    assert (decoded.width_px, decoded.height_px) == (96, 64)
    assert is_near(corners(decoded), [RED, GREEN, BLUE, YELLOW])


UPRIGHT = [RED, GREEN, BLUE, YELLOW]


@pytest.mark.parametrize(
    ("value", "shown", "rotation_deg", "is_mirrored"),
    [
        (0, UPRIGHT, 0, False),
        (1, UPRIGHT, 0, False),
        (2, [GREEN, RED, YELLOW, BLUE], 0, True),
        (3, [YELLOW, BLUE, GREEN, RED], 180, False),
        (4, [BLUE, YELLOW, RED, GREEN], 180, True),
        (5, [RED, BLUE, GREEN, YELLOW], 270, True),
        (6, [BLUE, RED, YELLOW, GREEN], 90, False),
        (7, [YELLOW, GREEN, BLUE, RED], 90, True),
        (8, [GREEN, YELLOW, RED, BLUE], 270, False),
        (99, UPRIGHT, 0, False),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_an_image_is_turned_by_its_exif(  # noqa: PLR0917 (what goes in, and what comes out)
    write: Write, name: str, value: int, shown: list[Any], rotation_deg: int, is_mirrored: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    kept = {} if name.endswith("png") else {"quality": 100}
    decoded = decode(write(quarters(), name, exif=exif, **kept))
    assert is_near(corners(decoded), shown)
    assert decoded.rotation_deg == rotation_deg
    assert decoded.flags == (("mirrored",) if is_mirrored else ())
    is_standing = value in {5, 6, 7, 8}
    assert (decoded.width_px, decoded.height_px) == ((64, 96) if is_standing else (96, 64))


def test_exif_that_cannot_be_read_says_nothing(write: Write, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = write(quarters(), "a.jpg", exif=exif, quality=100).read_bytes()
    broken = whole.replace(b"Exif\0\0MM\0*", b"Exif\0\0XX\0*")
    assert broken != whole
    (tmp_path / "b.jpg").write_bytes(broken)
    assert is_near(corners(decode(tmp_path / "b.jpg")), UPRIGHT)


def test_transparent_parts_are_composited_on_white(write: Write) -> None:
    image = quarters().convert("RGBA")
    alpha = np.full((128, 192), 255, np.uint8)
    alpha[:64, :96], alpha[:64, 96:] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    decoded = decode(write(image, "a.png"))
    half = [(value * 128 + 255 * 127) / 255 for value in GREEN]
    assert is_near(corners(decoded), [(255, 255, 255), half, BLUE, YELLOW])
    assert decoded.flags == ("alpha",)


def test_an_alpha_channel_that_hides_nothing_is_no_flag(write: Write) -> None:
    decoded = decode(write(quarters().convert("RGBA"), "a.png"))
    assert (decoded.flags, decoded.pix_fmt) == ((), "RGBA")
    assert is_near(corners(decoded), UPRIGHT)


def test_a_palette_may_have_a_transparent_colour(write: Write) -> None:
    image = quarters().quantize(4)
    clear = image.getpixel((10, 10))
    decoded = decode(write(image, "a.png", transparency=clear))
    assert is_near(corners(decoded), [(255, 255, 255), GREEN, BLUE, YELLOW])
    assert (decoded.pix_fmt, decoded.flags) == ("P", ("alpha",))


def test_cmyk_becomes_rgb(write: Write) -> None:
    decoded = decode(write(quarters().convert("CMYK"), "a.jpg", quality=100))
    assert decoded.pix_fmt == "CMYK"
    assert is_near(corners(decoded), UPRIGHT)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_becomes_rgb(write: Write, mode: str) -> None:
    grey = np.zeros((128, 192), np.uint8)
    grey[:, 96:] = 255 if mode == "1" else 100
    decoded = decode(write(Image.fromarray(grey).convert(mode), "a.png"))
    lit = [int(grey.max())] * 3
    assert is_near(corners(decoded), [(0, 0, 0), lit, (0, 0, 0), lit])


def test_16_bits_of_grey_become_8(write: Write) -> None:
    grey = np.zeros((128, 192), np.uint16)
    grey[:64, 96:], grey[64:, :96], grey[64:, 96:] = 100 * 257, 200 * 257, 65_535
    decoded = decode(write(Image.fromarray(grey), "a.png"))
    assert decoded.pix_fmt == "I;16"
    assert is_near(corners(decoded), [(0,) * 3, (100,) * 3, (200,) * 3, (255,) * 3])


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_of_an_animation_the_first_frame_is_taken(write: Write, name: str) -> None:
    more = [Image.new("RGB", (192, 128), "black")] * 2
    kept = {"lossless": True} if name.endswith("webp") else {}
    decoded = decode(write(quarters(), name, save_all=True, append_images=more, duration=40, **kept))
    assert decoded.flags == ("animated",)
    assert is_near(corners(decoded), UPRIGHT)


def test_an_image_is_known_by_its_bytes_and_not_by_its_name(write: Write, tmp_path: Path) -> None:
    write(quarters(), "a.png").rename(tmp_path / "a.jpg")
    assert decode(tmp_path / "a.jpg").codec == "png"


def png_head(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that claims a size."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    ends = [part + struct.pack(">I", zlib.crc32(part)) for part in (head, data, b"IEND")]
    sizes = [struct.pack(">I", len(end) - 8) for end in ends]
    return b"\x89PNG\r\n\x1a\n" + b"".join(size + end for size, end in zip(sizes, ends, strict=True))


def rejected(path: Path, *, size_px: int = 64) -> VideoRejected:
    with pytest.raises(VideoRejected) as error:
        decode(path, size_px=size_px)
    return error.value


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((8193, 8192), "It has 8193 x 8192 pixels, and 67108864 are the most."),
        ((60_000, 60_000), "It has more than 67108864 pixels."),
    ],
)
def test_a_bomb_is_rejected_before_it_is_unpacked(tmp_path: Path, size: tuple[int, int], told: str) -> None:
    (tmp_path / "a.png").write_bytes(png_head(*size))
    found = rejected(tmp_path / "a.png")
    assert (found.reason, found.message) == (RejectReason.TOO_LARGE, told)


@pytest.mark.parametrize("size_px", [64, 4096])
def test_a_line_is_rejected_as_it_would_be_stored(write: Write, size_px: int) -> None:
    found = rejected(write(Image.new("RGB", (1100, 1)), "a.png"), size_px=size_px)
    told = f"It would be stored as {1100 * size_px} x {size_px} pixels."
    assert (found.reason, found.message) == (RejectReason.TOO_LARGE, told)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", RejectReason.EMPTY),
        (b"<html>404</html>", RejectReason.NOT_IMAGE),
        (b"\xff\xd8\xff", RejectReason.NOT_IMAGE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", RejectReason.NOT_IMAGE),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", RejectReason.NOT_IMAGE),
    ],
)
def test_what_is_no_image_is_rejected(tmp_path: Path, data: bytes, reason: RejectReason) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert rejected(tmp_path / "a.jpg").reason is reason


def test_a_missing_file_and_a_changed_one_are_rejected(write: Write, tmp_path: Path) -> None:
    assert rejected(tmp_path / "b.jpg").reason is RejectReason.MISSING
    path = write(quarters(), "a.png")
    with pytest.raises(VideoRejected) as error:
        pillow.decode(str(path), options(), size_bytes=7)
    assert error.value.reason is RejectReason.CHANGED


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp"])
def test_every_truncated_image_is_rejected(write: Write, tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    whole = write(Image.fromarray(noise), name).read_bytes()
    for num_bytes in range(1, len(whole) - 200, len(whole) // 40):
        (tmp_path / "cut").write_bytes(whole[:num_bytes])
        found = rejected(tmp_path / "cut")
        allowed = {RejectReason.NOT_IMAGE, RejectReason.TRUNCATED, RejectReason.DECODE_ERROR}
        assert found.reason in allowed, f"{num_bytes} of {len(whole)} bytes"
    (tmp_path / "cut").write_bytes(whole[: len(whole) * 2 // 3])
    assert rejected(tmp_path / "cut").reason is RejectReason.TRUNCATED


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.gif"])
def test_damaged_bytes_give_an_image_or_a_rejection(write: Write, tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(1)
    whole = np.frombuffer(write(quarters(60, 40), name).read_bytes(), np.uint8)
    num_decoded = num_rejected = 0
    for _ in range(200):
        hurt = whole.copy()
        hurt[rng.integers(0, min(len(hurt), 400), 4)] = rng.integers(0, 256, 4)
        (tmp_path / "hurt").write_bytes(hurt.tobytes())
        try:
            num_decoded += min(pixels_of(decode(tmp_path / "hurt", size_px=16)).shape[:2]) == 16
        except VideoRejected:
            num_rejected += 1
    assert num_decoded + num_rejected == 200


def test_the_decoder_of_images_is_no_choice_of_one_for_videos() -> None:
    from vfm.video2token.decoding import decoders

    assert load_decoder(IMAGE_DECODER).version() == pillow.version()
    assert IMAGE_DECODER not in decoders.names()
    assert pillow.version()["pillow"]
