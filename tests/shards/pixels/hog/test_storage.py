import numpy as np
import pytest
from skimage import data as photos

from vfm.shards.errors import UsageError
from vfm.shards.pixels.hog.compute import hog
from vfm.shards.pixels.hog.storage import from_stored, to_stored


def values() -> np.ndarray:
    return hog(np.stack([photos.astronaut()[::2, ::2], photos.rocket()[100:356, 200:456]]))


@pytest.mark.parametrize(
    ("store", "dtype", "max_error", "min_cosine"),
    [("uint8", np.uint8, 1 / 510 + 1e-7, 0.99999), ("fp16", np.float16, 1 / 4096, 0.9999999)],
)
def test_what_is_stored_is_off_by_no_more_than_stated(
    store: str, dtype: type, max_error: float, min_cosine: float
) -> None:
    exact = values()
    stored = to_stored(exact, store)
    assert (stored.dtype, stored.shape) == (dtype, exact.shape)
    found = from_stored(stored)
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() <= max_error
    rows, others = exact.reshape(-1, 108).astype(np.float64), found.reshape(-1, 108).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
    cosines = (rows * others).sum(axis=1)[norms > 0] / norms[norms > 0]
    assert len(cosines) > 400
    assert min_cosine < cosines.mean() <= 1 + 1e-9
    assert np.array_equal(to_stored(found, store), stored)


def test_both_ends_are_exact() -> None:
    ends = np.array([0.0, 1.0], np.float32)
    for store in ("uint8", "fp16"):
        assert from_stored(to_stored(ends, store)).tolist() == [0.0, 1.0]


def test_other_storage_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be stored as 'int4': use one of uint8, fp16"):
        to_stored(np.zeros(3, np.float32), "int4")
