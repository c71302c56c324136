"""Features number by number: what comes back is what went in, but for the rounding that is promised."""

import numpy as np
import pytest

from vfm.shards.codecs.scalar import decode, encode


def unit_vectors(*shape: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("store", "dtype", "atol"), [("fp32", np.float32, 0.0), ("fp16", np.float16, 2**-11)]
)
def test_floats_are_rounded_and_no_more(store: str, dtype: type, atol: float) -> None:
    features = unit_vectors(5, 3, 64)
    members = encode(features, store)
    assert list(members) == ["features.npy"]
    assert members["features.npy"].dtype == dtype
    np.testing.assert_allclose(decode(members), features, atol=atol, rtol=0)


def test_a_byte_is_off_by_half_a_step_of_its_own_vector() -> None:
    features = unit_vectors(50, 3, 64)
    features[0, 0, 0] = 100 * features[0, 0].max()  # an outlier costs its vector alone
    members = encode(features, "int8")
    assert members["features.npy"].dtype == np.int8
    assert (members["scale.npy"].dtype, members["scale.npy"].shape) == (np.float16, (50, 3))
    most = np.abs(features).max(axis=-1, keepdims=True)
    assert (np.abs(decode(members) - features) <= most / 253).all()
    assert np.abs(members["features.npy"]).max() == 127


def test_a_vector_of_zeros_stays_one() -> None:
    members = encode(np.zeros((2, 4), np.float32), "int8")
    assert (decode(members) == 0).all()
    assert (members["scale.npy"] == 0).all()
