"""Decodes images with Pillow: each is a video of one frame.

Only the formats below are opened, by their content and whatever the file is called: others of Pillow's start
programs or are read by code that few attack.
"""

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
import PIL
from PIL import Image, features

from vfm.shards.pixels import jpeg
from vfm.video2token.container.demuxer import MAX_SOURCE_PIXELS
from vfm.video2token.container.file_check import open_regular
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.options import ExtractOptions
from vfm.video2token.picture.color import describe_color
from vfm.video2token.picture.converter import MAX_STORED_PIXELS
from vfm.video2token.picture.geometry import Orientation, stored_size
from vfm.video2token.picture.scaling import Scaler, scale
from vfm.video2token.rejection import RejectReason, VideoRejected

CONTAINER = "image"
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
_MAX_SIDE_PX = 65_500  # of a JPEG, by libjpeg
_SHOWN_S = 1.0  # of the stored copy, for players; an image has no time
_ORIENTATION = 0x0112  # EXIF 2.3, table 4
_ORIENTATIONS = {
    1: Orientation(),
    2: Orientation(flip_x=True),
    3: Orientation(flip_x=True, flip_y=True),
    4: Orientation(flip_y=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, flip_x=True),
    7: Orientation(transpose=True, flip_x=True, flip_y=True),
    8: Orientation(transpose=True, flip_y=True),
}
# All that Pillow's readers raise for bytes that are not what they begin as.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError, struct.error,
    zlib.error,
)  # fmt: skip


def decode(
    path: str,
    options: ExtractOptions,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    size_bytes: int = -1,
) -> DecodedVideo:
    """Return an image as a video of one frame at 0 s, see ``decoder.Decoder``.

    It is upright by its EXIF orientation, and scaled as frames of videos are. Transparent parts are
    composited on white, the page that images are made for; of 16-bit greys the high 8 bits remain, rounded;
    CMYK becomes RGB by Pillow's plain formula, and no colour profile is applied. Of an animation this is the
    first frame.

    Raises:
        VideoRejected: with the reason; a truncated image gives no sample, because what is missing is grey.
    """
    assert start_s is None, "images have no times"
    assert end_s is None, "images have no times"
    with open_regular(path, size_bytes=size_bytes) as descriptor, _opened(descriptor) as image:
        orientation = _orientation(image)
        width, height = _stored_size(image, orientation=orientation, size_px=options.size_px)
        pixels, flags = _rgb(image)
        is_animated = image.format != "JPEG" and getattr(image, "n_frames", 1) > 1
        flags |= ({"mirrored"} if orientation.mirrored else set()) | ({"animated"} if is_animated else set())
        return DecodedVideo(
            jpegs=(_jpeg(pixels, (width, height), orientation=orientation, quality=options.quality),),
            pts_s=(0.0,),
            copy_times_s=(0.0,),
            last_s=_SHOWN_S,
            width_px=width,
            height_px=height,
            source_width_px=image.width,
            source_height_px=image.height,
            source_fps=None,
            source_duration_s=None,
            codec=str(image.format).lower(),
            pix_fmt=image.mode,
            container=CONTAINER,
            rotation_deg=orientation.rotation_deg,
            sample_aspect_ratio="1:1",
            color=describe_color(space=2, value_range=0, primaries=2, transfer=2),
            num_decode_errors=0,
            flags=tuple(sorted(flags)),
            decoding="full",
            damage=(),
        )


def version() -> dict[str, str]:
    """Return the versions that the pixels follow from."""
    parts = {"libjpeg-turbo": features.version("libjpeg_turbo"), "libwebp": features.version("webp")}
    found = {name: version for name, version in parts.items() if version is not None}
    return {"pillow": PIL.__version__, "swscale": str(av.ffmpeg_version_info), **found}


@contextmanager
def _opened(descriptor: int) -> Iterator[Image.Image]:
    """Yield an image whose pixels are decoded; what is wrong with it becomes its rejection.

    The number of pixels is looked at first, so that nothing large is allocated for a small file.
    """
    with os.fdopen(os.dup(descriptor), "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a bomb is rejected below, and odd metadata changes no pixel
        try:
            image = Image.open(file, formats=_FORMATS)
        except Image.DecompressionBombError:
            raise VideoRejected(
                RejectReason.TOO_LARGE, f"It has more than {MAX_SOURCE_PIXELS} pixels."
            ) from None
        except _BROKEN:
            raise _unopened(descriptor) from None
        if image.width * image.height > MAX_SOURCE_PIXELS:
            told = f"It has {image.width} x {image.height} pixels, and {MAX_SOURCE_PIXELS} are the most."
            raise VideoRejected(RejectReason.TOO_LARGE, told)
        try:
            image.load()
        except _BROKEN as error:
            is_cut = "truncated" in str(error)
            reason = RejectReason.TRUNCATED if is_cut else RejectReason.DECODE_ERROR
            raise VideoRejected(reason, f"Its pixels cannot all be decoded ({error}).") from None
        yield image


def _unopened(descriptor: int) -> VideoRejected:
    """Return why Pillow does not open a file; WebP is read to its end for that, and so may be cut."""
    head = os.pread(descriptor, 12, 0)
    is_webp = head.startswith(b"RIFF") and head[8:] == b"WEBP"
    if is_webp and int.from_bytes(head[4:8], "little") + 8 > os.fstat(descriptor).st_size:
        return VideoRejected(RejectReason.TRUNCATED, "The file ends before its image does.")
    told = "It is none of JPEG, PNG, WebP, BMP and GIF, or its head is broken."
    return VideoRejected(RejectReason.NOT_IMAGE, told)


def _orientation(image: Image.Image) -> Orientation:
    """Return how an image becomes upright; EXIF that cannot be read says nothing, as in viewers."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return Orientation()
    # Writers that know no orientation leave 0; viewers show it and all unknown numbers as it is.
    return _ORIENTATIONS.get(value, Orientation()) if isinstance(value, int) else Orientation()


def _stored_size(image: Image.Image, *, orientation: Orientation, size_px: int) -> tuple[int, int]:
    width, height = stored_size(
        image.width, image.height, aspect=Fraction(1), transpose=orientation.transpose, size_px=size_px
    )
    if width * height > MAX_STORED_PIXELS or max(width, height) > _MAX_SIDE_PX:
        raise VideoRejected(RejectReason.TOO_LARGE, f"It would be stored as {width} x {height} pixels.")
    return width, height


def _rgb(image: Image.Image) -> tuple[np.ndarray, set[str]]:
    """Return uint8 [H,W,3] as it is seen on a white page, and the flag ``alpha`` where that shows."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        grey = np.clip(np.asarray(image), 0, 65_535).astype(np.uint32)
        return np.repeat(((grey * 255 + 32_767) // 65_535).astype(np.uint8)[..., None], 3, axis=2), set()
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB")), set()
    rgba = image.convert("RGBA")
    flags = {"alpha"} if np.asarray(rgba)[..., 3].min() < 255 else set()
    page = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(page, rgba).convert("RGB")), flags


def _jpeg(pixels: np.ndarray, size: tuple[int, int], *, orientation: Orientation, quality: int) -> bytes:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    lying = size[::-1] if orientation.transpose else size
    try:
        scaled = scale(frame, lying, scaler=Scaler())
    except av.FFmpegError as error:
        told = f"It cannot be scaled to {size[0]} x {size[1]} pixels ({error.strerror})."
        raise VideoRejected(RejectReason.UNSUPPORTED, told) from None
    return jpeg.encode(orientation.upright(scaled), quality=quality)
