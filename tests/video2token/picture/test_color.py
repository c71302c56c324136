import numpy as np
import pytest

from vfm.video2token.picture.color import PixelCoding, describe_color, full_white, matrix_to_use, spread


def test_codes_are_named_and_the_unstated_is_unknown() -> None:
    hdr = describe_color(space=9, value_range=1, primaries=9, transfer=16)
    assert hdr == {"space": "bt2020nc", "range": "limited", "primaries": "bt2020", "transfer": "smpte2084"}
    unstated = describe_color(space=2, value_range=0, primaries=2, transfer=2)
    assert set(unstated.values()) == {"unknown"}


@pytest.mark.parametrize(
    ("space", "primaries", "matrix"),
    [(0, 2, 0), (1, 9, 1), (2, 2, 2), (3, 2, 2), (6, 2, 6), (9, 1, 9), (12, 1, 1), (12, 9, 9), (99, 1, 2)],
)
def test_matrix_is_the_stated_one_or_that_of_bt601(space: int, primaries: int, matrix: int) -> None:
    assert matrix_to_use(space, primaries=primaries) == matrix


@pytest.mark.parametrize("space", [8, 10, 11, 12, 14])
def test_matrix_without_a_conversion_is_none(space: int) -> None:
    assert matrix_to_use(space, primaries=2) is None


def coding(pix_fmt: str, bits: int, *, value_range: int = 0, transfer: str = "bt709") -> PixelCoding:
    return PixelCoding(
        pix_fmt=pix_fmt,
        bits=bits,
        is_rgb=pix_fmt.startswith(("rgb", "gbr")),
        value_range=value_range,
        transfer=transfer,
        primaries="bt709",
    )


@pytest.mark.parametrize(
    ("known", "is_plain", "levels"),
    [
        (coding("yuv420p", 8), True, (0, 65280)),
        (coding("yuv420p10le", 10), True, (0, 65280)),
        (coding("yuv420p10le", 10, value_range=2), False, (0, 1023 * 64)),
        (coding("yuv420p10le", 10, transfer="smpte2084"), False, (0, 65280)),
        (coding("yuvj420p", 8), True, (0, 255 * 256)),
        (coding("gray", 8), False, (16 * 256, 235 * 256)),
        (coding("gray", 8, value_range=2), True, (0, 65280)),
        (coding("gray10le", 10, value_range=1), False, (64 * 64, 940 * 64)),
        (coding("rgb24", 8), True, (0, 65280)),
        (coding("gbrp12le", 12), False, (0, 4095 * 16)),
        (coding("gbrpf32le", 32), False, (0, 65535)),
    ],
)
def test_levels_follow_from_format_and_range(
    known: PixelCoding, is_plain: bool, levels: tuple[int, int]
) -> None:
    assert (known.is_plain("h264"), known.deep_levels("h264")) == (is_plain, levels)


def test_levels_are_spread_and_rounded_once() -> None:
    codes = np.array([0, 4096, 4096 + 110, 4096 + 109, 32128, 60160, 65535], np.uint16)
    expected = [0, 0, 1, 0, 128, 255, 255]
    assert spread(codes, black=4096, white=60160).tolist() == expected
    assert spread(np.array([full_white(10)], np.uint16), black=0, white=full_white(10)).tolist() == [255]
