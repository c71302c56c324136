import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.pixels.hog.definition import DEFINITIONS, MASKFEAT, MAX_BINS, HogDefinition, find_definition

MAX_GRADIENT = 1020  # of Sobel's weights and uint8 pixels


@pytest.mark.parametrize("num_bins", range(2, MAX_BINS + 1))
def test_float32_puts_every_gradient_of_uint8_pixels_into_its_bin(num_bins: int) -> None:
    # The bin counts the thresholds c with b <= a c; for an integer b all that matters is floor(a c).
    thresholds = HogDefinition(name="a", num_bins=num_bins).thresholds()
    assert thresholds.dtype == np.float32
    sines = np.arange(1, MAX_GRADIENT + 1)
    for border, threshold in enumerate(thresholds, start=1):
        exact = sines / np.tan(np.pi * border / num_bins)
        if 4 * border % num_bins == 0:  # 45, 90 or 135 degrees: on the border, and it belongs to the bin
            exact = np.round(exact)
        else:  # no integer is so near that float64 could be wrong about it
            assert np.abs(exact - np.round(exact)).min() > 1e-8
        found = np.floor(sines.astype(np.float32) * threshold)
        # Beyond the largest gradient every b is on one side.
        reach = (-MAX_GRADIENT - 1, MAX_GRADIENT)
        assert np.array_equal(np.clip(found, *reach), np.clip(np.floor(exact), *reach))


def test_definitions_are_found_by_name() -> None:
    assert [definition.name for definition in DEFINITIONS] == ["maskfeat", "mmselfsup", "skimage"]
    assert all(find_definition(definition.name) is definition for definition in DEFINITIONS)
    assert (MASKFEAT.num_bins, MASKFEAT.cell_px, MASKFEAT.token_px, MASKFEAT.cells_per_side) == (9, 8, 16, 2)
    with pytest.raises(
        UsageError, match="Unknown HOG definition 'dalal': use one of maskfeat, mmselfsup, skimage"
    ):
        find_definition("dalal")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_bins": 1}, "1 bins are not computed exactly: use 2 to 24"),
        ({"num_bins": 25}, "25 bins are not computed exactly"),
        ({"cell_px": 0}, "A cell of 0 px is not summed exactly: use 1 to 256 px"),
        ({"cell_px": 512, "token_px": 512}, "A cell of 512 px is not summed exactly"),
        ({"cell_px": 6}, "A token of 16 px is not made of cells of 6 px: use a multiple"),
        ({"token_px": 0}, "A token of 0 px is not made of cells of 8 px"),
        ({"window_px": 1}, "A Gaussian window of 1 px is too small: use 2 or more, or 0 for none"),
        ({"window_px": -4}, "A Gaussian window of -4 px is too small"),
    ],
)
def test_what_is_not_computed_exactly_is_refused(changes: dict[str, int], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        HogDefinition(name="a", **changes)  # type: ignore[arg-type]
