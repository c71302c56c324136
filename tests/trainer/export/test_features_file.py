"""Features as files hold what they are given, row by row."""

import h5py
import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.io.parquet import read_table
from vfm.trainer.export.features_file import Features, check_features_file, write_features, write_hdf5

FOUND = Features(
    vectors=np.arange(6, dtype=np.float32).reshape(2, 3),
    keys=["k0", "k1"],
    sources=["a.mp4", "b/c.mp4"],
    labels=["run", None],
    splits=[None, "val"],
)


def test_files_hold_the_vectors(tmp_path):
    write_features(tmp_path / "new/x.npy", FOUND)
    np.testing.assert_array_equal(np.load(tmp_path / "new/x.npy"), FOUND.vectors)
    write_features(tmp_path / "x.parquet", FOUND)
    assert read_table(tmp_path / "x.parquet").to_pylist() == [
        {"key": "k0", "source": "a.mp4", "label": "run", "split": None, "feature": [0.0, 1.0, 2.0]},
        {"key": "k1", "source": "b/c.mp4", "label": None, "split": "val", "feature": [3.0, 4.0, 5.0]},
    ]
    write_hdf5(tmp_path / "x.h5", FOUND)
    with h5py.File(tmp_path / "x.h5") as file:
        assert {key: file[key][()].tolist() for key in file} == {"k0": [[0, 1, 2]], "k1": [[3, 4, 5]]}


def test_names_that_say_no_kind_or_are_taken_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"x.csv ends neither with .npy nor with .parquet"):
        check_features_file(tmp_path / "x.csv")
    (tmp_path / "x.npy").touch()
    with pytest.raises(UsageError, match="exists and is not written over"):
        check_features_file(tmp_path / "x.npy")
    check_features_file(tmp_path / "y.npy")
