"""How exact colours are: coded losslessly, through `PictureConverter`, against the standards' equations."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

from vfm.video2token.picture.converter import PictureConverter

ROWS, COLUMNS, PATCH = 8, 12, 16
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
WEIGHTS |= {7: (0.212, 0.087), 2: (0.299, 0.114)}  # what is not stated is BT.601


class Case(NamedTuple):
    codec: str
    suffix: str
    pix_fmt: str
    space: int
    value_range: int  # 0 not stated, 1 limited, 2 full
    bound: float  # on the largest error in 8-bit levels


# An exact 8-bit result may be 0.5 off; 0.02 is for swscale's coefficients of 16 bits.
EXACT = 0.52
YUV = (
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p10le",
    "yuv420p12le",
    "yuv444p12le",
)
CASES = [
    *(
        Case("ffv1", "mkv", name, space, span, EXACT)
        for name in YUV
        for space in (1, 5, 9)
        for span in (1, 2)
    ),
    *(
        Case("ffv1", "mkv", name, space, 0, EXACT)
        for name in ("yuv420p", "yuv420p10le")
        for space in (2, 6, 7)
    ),
    *(Case("libx264", "mp4", name, 1, 1, EXACT) for name in ("yuv420p", "yuv444p", "yuv422p10le")),
    Case("libx264", "mp4", "yuvj420p", 5, 2, EXACT),
    Case("libx264", "mp4", "yuv420p10le", 9, 2, EXACT),
    # grey
    *(Case("ffv1", "mkv", name, 2, 1, EXACT) for name in ("gray", "gray10le", "gray12le")),
    *(Case("ffv1", "mkv", name, 2, 2, EXACT) for name in ("gray", "gray10le", "gray12le")),
    Case("ffv1", "mkv", "gray", 2, 0, EXACT),
    *(Case("libx264", "mp4", "gray", 1, span, EXACT) for span in (0, 1, 2)),
    Case("libx264", "mp4", "gray10le", 1, 1, EXACT),
    # RGB
    Case("libx264rgb", "mp4", "rgb24", 0, 0, 0.0),
    Case("rawvideo", "avi", "bgr24", 2, 0, 0.0),
    # swscale fills the low bits of planar RGB when it does not scale, and leaves them 0 when it does
    Case("ffv1", "mkv", "gbrp10le", 0, 0, 0.75),
    Case("ffv1", "mkv", "gbrp12le", 0, 0, 0.55),
    Case("ffv1", "mkv", "rgb48le", 0, 0, 0.55),
    # opaque alpha
    Case("ffv1", "mkv", "yuva420p", 1, 1, EXACT),
    Case("ffv1", "mkv", "yuva444p10le", 1, 1, 0.6),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case[:5])))
@pytest.mark.parametrize("patch_px", [PATCH, PATCH // 2])
def test_colours_are_exact(tmp_path: Path, case: Case, patch_px: int) -> None:
    error = error_of(tmp_path / f"a.{case.suffix}", case, patch_px=patch_px)
    assert np.abs(error).max() <= case.bound
    assert abs(error.mean()) < 0.2


def error_of(path: Path, case: Case, *, patch_px: int) -> np.ndarray:
    """Return the errors of the stored patches in 8-bit levels, float [ROWS, COLUMNS, 3]."""
    numbers = draw_numbers(case)
    encode(path, case, numbers)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert frame.width == COLUMNS * PATCH
        stored = PictureConverter(frame, stream=stream, size_px=ROWS * patch_px).to_rgb(frame)
    return stored[patch_px // 2 :: patch_px, patch_px // 2 :: patch_px].astype(float) - wanted(case, numbers)


def draw_numbers(case: Case) -> np.ndarray:
    """Return random legal numbers for each patch: int [components, ROWS, COLUMNS]."""
    pix_fmt = av.VideoFormat(case.pix_fmt)
    bits, num = pix_fmt.components[0].bits, len(pix_fmt.components)
    low = np.full(num, 0 if is_full(case) else 16 << (bits - 8))
    high = np.full(num, (1 << bits) - 1)
    if not is_full(case):
        high = np.array([235, 240, 240, 255][:num]) << (bits - 8)
    numbers = np.random.default_rng(0).integers(
        low[:, None, None], high[:, None, None] + 1, size=(num, ROWS, COLUMNS)
    )
    numbers[3:] = (1 << bits) - 1  # alpha
    return numbers


def is_full(case: Case) -> bool:
    unstated_is_full = case.pix_fmt.startswith(("rgb", "bgr", "gbr")) or (
        case.pix_fmt.startswith("gray") and case.codec == "ffv1"
    )
    return case.value_range == 2 or (case.value_range == 0 and unstated_is_full)


def wanted(case: Case, numbers: np.ndarray) -> np.ndarray:
    """Return R, G, B in [0, 255] by ITU-T H.273 equations 23 to 31 and 38 to 47, float [ROWS, COLUMNS, 3]."""
    bits = av.VideoFormat(case.pix_fmt).components[0].bits
    one = 1 << (bits - 8)
    if case.pix_fmt.startswith(("rgb", "bgr", "gbr")):
        return np.moveaxis(numbers, 0, 2) * 255 / ((1 << bits) - 1)
    luma, cb, cr = (
        numbers[:3] if len(numbers) > 1 else (numbers[0], *[np.full_like(numbers[0], 128 * one)] * 2)
    )
    top = (1 << bits) - 1
    y = luma / top if is_full(case) else (luma - 16 * one) / (219 * one)
    u, v = ((c - 128 * one) / (top if is_full(case) else 224 * one) for c in (cb, cr))
    red_weight, blue_weight = WEIGHTS[case.space]
    red, blue = y + 2 * (1 - red_weight) * v, y + 2 * (1 - blue_weight) * u
    green = (y - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return np.clip(255 * np.stack([red, green, blue], axis=2), 0, 255)


def encode(path: Path, case: Case, numbers: np.ndarray) -> None:
    """Write one frame of flat patches, losslessly."""
    write_frame(path, draw_patches(case.pix_fmt, numbers), case)


def write_frame(path: Path, frame: av.VideoFrame, case: Case) -> None:
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    with av.open(str(path), "w") as container:
        options = {"qp": "0"} if case.codec.startswith("libx264") else {}
        stream = container.add_stream(case.codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, case.pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_range = case.space, case.value_range
        frame.colorspace, frame.color_range = case.space, case.value_range
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def draw_patches(pix_fmt: str, numbers: np.ndarray) -> av.VideoFrame:
    frame = av.VideoFrame(COLUMNS * PATCH, ROWS * PATCH, pix_fmt)
    bits = frame.format.components[0].bits
    dtype = np.dtype("<u2" if bits > 8 else "u1")
    if len(frame.planes) == 1 and len(numbers) == 3:
        order = [2, 1, 0] if pix_fmt.startswith("bgr") else [0, 1, 2]
        patches = [np.moveaxis(numbers[order], 0, 2)]
    else:  # FFmpeg keeps planes of RGB as green, blue, red
        patches = list(numbers[[1, 2, 0]] if pix_fmt.startswith("gbr") else numbers)
    for plane, patch in zip(frame.planes, patches, strict=True):
        rows = patch.repeat(plane.height // ROWS, axis=0).repeat(plane.width // COLUMNS, axis=1)
        rows = rows.astype(dtype).reshape(plane.height, -1)
        padded = np.zeros((plane.height, plane.line_size // dtype.itemsize), dtype)
        padded[:, : rows.shape[1]] = rows
        plane.update(padded.tobytes())
    return frame


def test_chroma_is_taken_from_where_h264_has_it(tmp_path: Path) -> None:
    """H.264 figure 6-1: beside the left luma sample across, between two down."""
    num_luma, num_chroma = 128, 64
    ramp = 64 + 2 * np.arange(num_chroma)
    frame = av.VideoFrame(num_luma, num_luma, "yuvj420p")
    planes = (
        np.full((num_luma, num_luma), 128),
        np.tile(ramp[:, None], num_chroma),
        np.tile(ramp, (num_chroma, 1)),
    )
    for plane, numbers in zip(frame.planes, planes, strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : numbers.shape[1]] = numbers
        plane.update(padded.tobytes())
    write_frame(tmp_path / "a.mp4", frame, Case("libx264", "mp4", "yuvj420p", 5, 2, EXACT))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        decoded = next(container.decode(stream))
        stored = PictureConverter(decoded, stream=stream, size_px=num_luma).to_rgb(decoded).astype(float)
    cr, cb = 128 + (stored[..., 0] - 128) / 1.402, 128 + (stored[..., 2] - 128) / 1.772  # BT.601, full
    inner = np.arange(32, 96)
    assert np.mean(inner - (cr[64, inner] - 64)) == pytest.approx(0.0, abs=0.05)
    assert np.mean(inner - (cb[inner, 64] - 64)) == pytest.approx(0.5, abs=0.05)
