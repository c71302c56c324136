"""What the arrays of a teacher's column, and of one of vectors, must be."""

from typing import Any

import numpy as np
import pytest

from vfm.shards.columns.arrays import array_faults

OPTIONS: dict[str, Any] = {
    "levels": 2,
    "dim": 5,
    "token_px": 16,
    "store": "int8",
    "views": [{"resize_px": 32, "crop_px": 32}],
}


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of a sample of three frames."""
    sound = {
        "features": np.ones((1, 3, 2, 2, 2, 5), np.int8),
        "scale": np.ones((1, 3, 2, 2, 2), np.float16),
        "attention": np.full((1, 3, 2, 2), 0.1, np.float16),
    }
    return {f"{name}.npy": array for name, array in {**sound, **changes}.items()}


def test_what_a_target_writes_has_no_fault() -> None:
    assert list(array_faults(arrays(), options=OPTIONS, num_frames=3)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"features": np.ones((1, 3, 2, 2, 2, 5), np.float16)}, "It holds float16"),
        ({"features": np.ones((1, 3, 2, 2, 2, 4), np.int8)}, "It holds [2, 4] numbers a token"),
        ({"features": np.ones((1, 3, 2, 3, 2, 5), np.int8)}, "It has a grid of [2, 3]"),
        ({"features": np.ones((1, 4, 2, 2, 2, 5), np.int8)}, "It has the shape [1, 4, 2, 2, 2, 5]"),
        ({"scale": np.ones((1, 3, 2, 2, 3), np.float16)}, "It holds [3] numbers a token"),
        ({"attention": np.full((1, 3, 2, 2), np.nan, np.float16)}, "It holds NaN or infinity"),
        ({"attention": np.zeros((1, 3, 2, 2), np.float16)}, "It holds attention that is zero or below"),
        ({"attention": np.ones((1, 3, 2, 2), np.int64)}, "It holds int64"),
    ],
)
def test_what_no_target_writes_is_one_finding(changes: dict[str, np.ndarray], told: str) -> None:
    ((field, message),) = array_faults(arrays(**changes), options=OPTIONS, num_frames=3)
    assert field.removesuffix(".npy") in changes
    assert message.startswith(told)


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        (np.ones((9, 5), np.float32), None),
        (np.ones((9, 5), np.float16), None),
        (np.ones((9, 5), np.float64), "It holds float64 [9, 5] where float16 or float32 of 2 axes belongs."),
        (np.ones((1, 9, 5), np.float32), "It holds float32 [1, 9, 5] where"),
        (np.ones((9, 4), np.float32), "It holds [4] numbers a row where its options make it [5]."),
        (np.full((9, 5), np.inf, np.float32), "It holds NaN or infinity."),
    ],
)
def test_vectors_are_rows_of_one_length_and_of_any_number(vectors: np.ndarray, told: str | None) -> None:
    found = list(array_faults({"vectors.npy": vectors}, options={"dim": 5}, num_frames=3))
    assert len(found) == (told is not None)
    assert all(message.startswith(told or "") for _, message in found)


@pytest.mark.parametrize(
    ("ids", "num_ids", "told"),
    [
        (np.zeros((0, 0), np.uint8), np.zeros(0, np.uint16), None),  # a sample without a caption
        (np.full((2, 3), 12, np.uint8), np.array([3, 1], np.uint16), None),
        (np.full((2, 3), 13, np.uint8), np.array([3, 1], np.uint16), "holds the code 13, and its vocabulary"),
        (np.zeros((0, 0), np.uint8), np.zeros(1, np.uint16), "It does not count the ids beside it."),
        (np.zeros((2, 3), np.uint8), np.array([3, 4], np.uint16), "It does not count the ids beside it."),
        (np.zeros(0, np.uint8), np.zeros(0, np.uint16), "It holds uint8 [0] where uint8 of 2 axes belongs."),
    ],
)
def test_ids_of_captions(ids: np.ndarray, num_ids: np.ndarray, told: str | None) -> None:
    options = {"vocab_size": 13, "dtype": "uint8"}
    found = list(array_faults({"ids.npy": ids, "num_ids.npy": num_ids}, options=options, num_frames=3))
    assert [told in message for _, message in found] == [True] * (told is not None)
