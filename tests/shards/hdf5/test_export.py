"""An exported file is what h5py expects, to the bit, and appears whole or not at all."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from vfm.shards.errors import MachineError, UsageError
from vfm.shards.hdf5 import export
from vfm.shards.hdf5.export import chunk_shape, export_hdf5
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

Stills = Callable[..., Path]


@pytest.fixture
def data(stills: Stills) -> Path:
    """A dataset with column ``hog``."""
    folder = stills()
    tokenize(folder, ["hog"], TargetOptions(own={"crop_px": 32}))
    return folder


def test_a_column_of_one_field_is_a_data_set_a_key(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "hog.h5"
    done = export_hdf5(data, "hog", out)
    dataset = open_dataset(data, columns=["frames", "hog"])
    column = dataset.manifest.columns["hog"]
    assert (done.num_samples, done.size_bytes) == (6, out.stat().st_size)
    with h5py.File(out) as file:
        assert list(file) == sorted(dataset.keys)
        for index, key in enumerate(dataset.keys):
            stored = dataset.array(index, "hog", "hog")
            assert file[key].dtype == stored.dtype
            np.testing.assert_array_equal(file[key][()], stored)
            assert file[key].fletcher32
            assert file[key].compression is None
            attributes = file[key].attrs
            assert attributes["source"] == f"{key}.mp4"
            assert list(attributes["labels"]) == [("down", "right")[index % 2]]
            assert attributes["class_index"] == index % 2
            assert attributes["split"] == ("train" if index % 3 else "val")
            assert attributes["num_frames"] == stored.shape[1]
        root = dict(file.attrs)
        assert json.loads(root.pop("options")) == json.loads(json.dumps(column.options))
        assert json.loads(root.pop("fields")) == ["hog.npy"]
        assert root.pop("vfm_version")
        assert root.pop("fidelity") == "null"
        assert root == {
            "format": "vfm-column",
            "format_version": 1,
            "column": "hog",
            "kind": "hog",
            "fingerprint": column.fingerprint,
            "frames_fingerprint": column.source,
            "frames_sha256": dataset.tars_sha256("frames"),
            "tars_sha256": dataset.tars_sha256("hog"),
            "num_samples": 6,
        }


def test_several_fields_are_a_group_a_key(stills: Stills, tiny_vit: Path, tmp_path: Path) -> None:
    data, out = stills(num_samples=2), tmp_path / "clip.h5"
    own = {"weights": str(tiny_vit), "levels": 2, "store": "int8", "crop_px": 32}
    (result,) = tokenize(data, ["clip:test_vit"], TargetOptions(own=own, name="t"), accept_data=True)
    export_hdf5(data, result.column, out)
    dataset = open_dataset(data, columns=[result.column])
    with h5py.File(out) as file:
        for index, key in enumerate(dataset.keys):
            assert set(file[key]) == {"features", "scale", "attention"}
            assert file[key].attrs["source"] == f"{key}.mp4"
            for field in file[key]:
                stored = dataset.array(index, result.column, field)
                assert file[key][field].dtype == stored.dtype
                np.testing.assert_array_equal(file[key][field][()], stored)


def test_a_column_of_codes_takes_its_codebook_along(
    stills: Stills, tiny_codebook: Path, tmp_path: Path
) -> None:
    data, out = stills(), tmp_path / "vq.h5"
    tokenize(data, [f"vq:{tiny_codebook}"], TargetOptions())
    export_hdf5(data, "vq.tiny", out)
    with h5py.File(out) as file:
        kept = {name: data_set[()].tobytes() for name, data_set in file[".beside"].items()}
    assert kept == {path.name: path.read_bytes() for path in (data / "vq.tiny" / "codebook").iterdir()}


def test_the_same_column_is_the_same_file(data: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.h5", tmp_path / "other.h5"
    export_hdf5(data, "hog", one)
    export_hdf5(data, "hog", other)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("shape", "itemsize", "chunks"),
    [
        ((1, 16, 14, 14, 108), 1, (1, 8, 14, 14, 108)),  # 21 kB a frame: two chunks of 8 rather than 12 and 4
        ((2, 8, 16, 16), 2, (2, 8, 16, 16)),  # all of it is one chunk
        ((1, 3, 14, 14, 6, 768), 2, (1, 1, 2, 14, 6, 768)),  # a frame alone is more than a chunk
        ((7, 1 << 20), 4, (1, 1 << 16)),
        ((0, 5), 4, None),
        ((), 4, None),
    ],
)
def test_chunks_hold_whole_frames(
    shape: tuple[int, ...], itemsize: int, chunks: tuple[int, ...] | None
) -> None:
    assert chunk_shape(shape, itemsize=itemsize) == chunks


def test_what_cannot_be_exported_is_told(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    with pytest.raises(UsageError, match="Column frames holds videos and no arrays: name a target column"):
        export_hdf5(data, "frames", out)
    with pytest.raises(UsageError, match=r"has no column hogg \(columns: frames, hog\)"):
        export_hdf5(data, "hogg", out)
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        export_hdf5(data, "hog", tmp_path / "nowhere" / "out.h5")
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"out\.h5 exists already: delete it, or choose another name"):
        export_hdf5(data, "hog", out)
    assert out.read_bytes() == b"mine"


@pytest.fixture
def small_files(data: Path) -> Iterator[None]:
    """Let this process write 4 kB to a file and no more, once there is a dataset."""
    del data
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_one_sentence_and_no_file(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(MachineError, match=r"out\.h5 cannot be written \(File too large\)"):
        export_hdf5(data, "hog", tmp_path / "out.h5")
    assert set(tmp_path.iterdir()) == before
    assert capfd.readouterr().err == ""


def test_an_interruption_leaves_no_file(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(tmp_path.iterdir())
    attributes = export._attributes

    def interrupt(dataset: Dataset, index: int) -> dict[str, object]:
        if index == 4:
            raise KeyboardInterrupt
        return attributes(dataset, index)

    monkeypatch.setattr(export, "_attributes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_hdf5(data, "hog", tmp_path / "out.h5")
    assert set(tmp_path.iterdir()) == before


def test_no_signal_raises_where_hdf5_writes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback of HDF5 is the worst place for an exception: the write is lost, and all goes on."""
    write = export._Disk.write

    def interrupted(disk: export._Disk, piece: object) -> int:
        signal.raise_signal(signal.SIGINT)
        return write(disk, piece)

    before = set(tmp_path.iterdir())
    monkeypatch.setattr(export._Disk, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_hdf5(data, "hog", tmp_path / "out.h5")
    assert set(tmp_path.iterdir()) == before


def test_names_that_hdf5_cannot_hold_are_spelled_out(data: Path) -> None:
    assert export._text("a\udcff\0é") == "a\\udcff\\x00é"


def test_help_loads_no_hdf5() -> None:
    code = (
        "import sys, vfm.cli.commands.export_hdf5, vfm.cli.commands.import_hdf5; print('h5py' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="src")
    assert done.stdout == "False\n"
