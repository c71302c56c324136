"""Arrays survive as bytes, without pickle and without a copy."""

import io

import numpy as np
import pytest

from vfm.shards.errors import DamageError
from vfm.shards.io.npy import from_npy, num_items, to_npy


@pytest.mark.parametrize("dtype", ["uint16", "float16", "float32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(1, 5, 2, 3), (0, 4), (), (7,)])
def test_round_trip(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    back = from_npy(to_npy(array), name="a")
    np.testing.assert_array_equal(back, array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert not back.flags.writeable


def test_the_view_shares_the_bytes() -> None:
    data = bytearray(to_npy(np.zeros(4, np.uint8)))
    view = from_npy(memoryview(data), name="a")
    data[-1] = 9
    assert view.tolist() == [0, 0, 0, 9]


def test_numpy_reads_it_and_we_read_numpy() -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(np.load(io.BytesIO(to_npy(array))), array)
    file = io.BytesIO()
    np.save(file, array)
    np.testing.assert_array_equal(from_npy(file.getvalue(), name="a"), array)


def test_object_arrays_are_refused_both_ways() -> None:
    objects = np.array([{}, []], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        to_npy(objects)
    file = io.BytesIO()
    np.save(file, objects, allow_pickle=True)
    with pytest.raises(DamageError, match="holds object and no numbers"):
        from_npy(file.getvalue(), name="a")


@pytest.mark.parametrize("cut", [0, 5, 9, 60, 128, -1])
def test_cut_arrays_are_refused(cut: int) -> None:
    data = to_npy(np.arange(10))[:cut]
    with pytest.raises(DamageError, match=r"v1\.codes\.npy is not an array that vfm wrote"):
        from_npy(data, name="v1.codes.npy")


def test_a_header_that_lies_is_refused_before_memory_is_taken() -> None:
    data = to_npy(np.zeros((1, 10), np.uint8)).replace(b"(1, 10)", b"(9, 10)")
    with pytest.raises(DamageError, match="10 bytes of data where its header says 90"):
        from_npy(data, name="a")


def test_another_version_is_refused() -> None:
    data = bytearray(to_npy(np.zeros(3)))
    data[6] = 3
    with pytest.raises(DamageError, match="npy version"):
        from_npy(bytes(data), name="a")


def test_the_size_of_a_file_tells_how_many_numbers_it_holds():
    shapes = [(0,), (3,), (1, 7), (0, 0), (123_456, 2)]
    sizes = np.array([len(to_npy(np.zeros(shape, np.uint16))) for shape in shapes])
    assert num_items(sizes, itemsize=2).tolist() == [0, 3, 7, 0, 246_912]
