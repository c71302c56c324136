"""Columns out of HDF5 files: ours come back to the bit, others' become vectors, what does not fit is told."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.manifest import fingerprint_of, read_manifest
from vfm.shards.hdf5.export import export_hdf5
from vfm.shards.io.json import canonical_json
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify
from vfm.shards.writing.drop import drop_column
from vfm.video2token.jobs.import_hdf5.import_hdf5 import import_hdf5
from vfm.video2token.jobs.tokenize.job import ColumnJob
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

Stills = Callable[..., Path]
KEYS = [f"still-{number:03d}" for number in range(6)]


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all that a column's samples are in."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".json"
    }


def findings(data: Path) -> list[str]:
    """Return what is wrong with a dataset that has no plan, as those of these tests."""
    return [str(finding) for finding in verify(data) if finding.file != "plan.parquet"]


@pytest.fixture
def exported(stills: Stills, tmp_path: Path) -> tuple[Path, Path]:
    """A dataset with column ``hog``, and the file of it."""
    data, out = stills(), tmp_path / "hog.h5"
    tokenize(data, ["hog"], TargetOptions(own={"crop_px": 32}))
    export_hdf5(data, "hog", out)
    return data, out


def matrices(path: Path, *, names: list[str], dtype: str = "f4", **changes: object) -> Path:
    """Write a matrix of 7 columns for each name, its length that of no sample's frames."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for number, name in enumerate(names):
            file[name] = changes.get(name, rng.normal(size=(number + 9, 7)).astype(dtype))
    return path


@pytest.mark.parametrize("target", ["hog", "vq", "text", "clip", "pq"])
def test_an_exported_column_comes_back_to_the_bit(  # noqa: PLR0913, PLR0917 (fixtures)
    stills: Stills,
    tmp_path: Path,
    target: str,
    tiny_codebook: Path,
    tiny_vocabulary: Path,
    tiny_vit: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vfm.video2token.teachers.storage._MIN_TOKENS", 1)
    data, out = stills(captions=(("a dog",), ("run", "slow dog"), ())), tmp_path / "out.h5"
    spec = {"hog": "hog", "vq": f"vq:{tiny_codebook}", "text": f"text:{tiny_vocabulary}"}.get(
        target, "clip:test_vit"
    )
    own: dict[str, object] = {
        "hog": {"crop_px": 32},
        "clip": {"weights": str(tiny_vit), "store": "int8"},
        "pq": {"weights": str(tiny_vit), "store": "pq:8"},
    }.get(target, {})
    (made,) = tokenize(data, [spec], TargetOptions(own=own), accept_data=True)
    export_hdf5(data, made.column, out)
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    drop_column(copy, made.column)
    done = import_hdf5(copy, out)
    assert (done.column.column, done.column.num_samples) == (made.column, 6)
    assert (done.left_out, done.num_narrowed) == ((), 0)
    assert hashes(copy / made.column) == hashes(data / made.column)
    assert read_manifest(copy) == read_manifest(data)
    assert findings(copy) == []
    assert tokenize(copy, [spec], TargetOptions(own=own), accept_data=True)[0].num_shards_before == 2


def test_only_the_frames_it_came_from_take_it_back(exported: tuple[Path, Path], stills: Stills) -> None:
    data, out = exported
    other = stills("other", num_frames=4)
    with pytest.raises(
        UsageError, match=r"exported beside other frames, their tars have the hash \w{12} and"
    ):
        import_hdf5(other, out)
    with pytest.raises(UsageError, match=r"holds column hog, which keeps its name: leave out --name"):
        import_hdf5(data, out, name="mine")
    drop_column(data, "hog")
    for fill, told in (
        (lambda file: file.pop("still-003"), r"lacks 1 array of .* and has 0 of other samples \(still-003\)"),
        (
            lambda file: file.copy("still-002", "more"),
            r"lacks 1 array of .* and has 1 of other .*\(more, still",
        ),
    ):
        with h5py.File(out, "a") as file:
            fill(file)
        with pytest.raises(UsageError, match=told):
            import_hdf5(data, out)
    assert not (data / "hog").exists()
    assert findings(data) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format_version": 2}, "has version 2 of the format and this vfm reads version 1"),
        ({"options": "{}"}, "the fingerprint of hog is not that of its options"),
        ({"options": "{"}, "it is not JSON"),
        ({"column": "../hog"}, "cannot name a folder"),
        ({"column": "frames", "kind": "frames"}, "fingerprint of frames"),
        ({"column": "vq.x"}, "a column of kind hog is not called vq.x"),
        ({"fields": '["../hog.npy"]'}, r"are damaged \(fields\)"),
        ({"fields": "[]"}, r"are damaged \(fields\)"),
        ({"kind": 3}, "kind is 3, but must be text"),
        ({"frames_sha256": [1, 2]}, "Attribute frames_sha256 of .* is neither a text nor a number"),
    ],
)
def test_forged_attributes_are_told(
    exported: tuple[Path, Path], changes: dict[str, object], told: str
) -> None:
    data, out = exported
    drop_column(data, "hog")
    with h5py.File(out, "a") as file:
        file.attrs.update(changes)
    with pytest.raises((UsageError, DamageError), match=told):
        import_hdf5(data, out)
    assert findings(data) == []


def test_a_forged_kind_does_not_make_the_manifest_unreadable(exported: tuple[Path, Path]) -> None:
    data, out = exported
    with h5py.File(out, "a") as file:
        options = json.loads(file.attrs["options"])
        fingerprint = fingerprint_of("vq", options=options, source=file.attrs["frames_fingerprint"])
        file.attrs.update({"kind": "vq", "column": "vq.x", "fingerprint": fingerprint})
    with pytest.raises(DamageError, match=r"vq\.x lacks one of the fields codes\.npy"):
        import_hdf5(data, out)


def test_an_array_that_its_column_cannot_hold_is_damage(exported: tuple[Path, Path]) -> None:
    data, out = exported
    drop_column(data, "hog")
    with h5py.File(out, "a") as file:
        del file["still-004"]
        file["still-004"] = np.zeros((1, 3, 2, 2, 108), np.uint8)
    with pytest.raises(
        DamageError, match=r"still-004 of .*hog\.h5 has the shape .* nothing of it was stored\."
    ):
        import_hdf5(data, out)


def test_a_codebook_that_is_not_the_columns_is_damage(
    stills: Stills, tiny_codebook: Path, tmp_path: Path
) -> None:
    data, out = stills(), tmp_path / "vq.h5"
    tokenize(data, [f"vq:{tiny_codebook}"], TargetOptions())
    export_hdf5(data, "vq.tiny", out)
    drop_column(data, "vq.tiny")
    with h5py.File(out, "a") as file:
        file[".beside/codebook.safetensors"][-1] ^= 1
    with pytest.raises(
        DamageError, match=r"not whole \(codebook\.safetensors: Its SHA-256 is not the one in"
    ):
        import_hdf5(data, out)
    with h5py.File(out, "a") as file:
        file.move(".beside/config.json", ".beside/evil.py")
    with pytest.raises(UsageError, match=r"has \.beside/evil\.py, of no column"):
        import_hdf5(data, out)
    with h5py.File(out, "a") as file:
        del file[".beside"]
    with pytest.raises(DamageError, match=r"not whole \(config\.json: It is missing\)"):
        import_hdf5(data, out)
    assert not (data / "vq.tiny").exists()


def test_a_vocabulary_travels_and_is_proved(stills: Stills, tiny_vocabulary: Path, tmp_path: Path) -> None:
    data, out = stills(captions=(("a dog",),)), tmp_path / "text.h5"
    tokenize(data, [f"text:{tiny_vocabulary}"], TargetOptions())
    path = data / "text.words" / "vocabulary" / "tokenizer.json"
    before = path.read_bytes()
    export_hdf5(data, "text.words", out)
    drop_column(data, "text.words")
    assert not path.exists()
    import_hdf5(data, out)
    assert path.read_bytes() == before
    drop_column(data, "text.words")
    with h5py.File(out, "a") as file:
        file[".beside/tokenizer.json"][-1] ^= 1
    with pytest.raises(DamageError, match=r"not whole \(tokenizer\.json: Its SHA-256 is not the column's\)"):
        import_hdf5(data, out)
    with h5py.File(out, "a") as file:
        del file[".beside"]
    with pytest.raises(DamageError, match=r"not whole \(tokenizer\.json: It is missing\)"):
        import_hdf5(data, out)
    assert not (data / "text.words").exists()


@pytest.mark.parametrize(("dtype", "stored"), [("f2", "f2"), ("f4", "f4"), (">f4", "f4"), ("f8", "f4")])
@pytest.mark.parametrize("suffix", ["", ".mp4"])
def test_vectors_of_videos_become_a_column(
    stills: Stills, tmp_path: Path, dtype: str, stored: str, suffix: str
) -> None:
    data = stills()
    path = matrices(tmp_path / "c3d.h5", names=[*(key + suffix for key in KEYS), "nobody"], dtype=dtype)
    done = import_hdf5(data, path, name="c3d")
    assert (done.column.column, done.left_out) == ("vectors.c3d", ("nobody",))
    assert done.num_narrowed == (6 if dtype == "f8" else 0)
    dataset = open_dataset(data, columns=["vectors.c3d"])
    with h5py.File(path) as file:
        for index, key in enumerate(dataset.keys):
            array = dataset.array(index, "vectors.c3d", "vectors")
            assert (array.dtype, array.shape) == (np.dtype(stored), (index + 9, 7))
            np.testing.assert_array_equal(array, file[key + suffix][()].astype(stored))
    column = dataset.manifest.columns["vectors.c3d"]
    assert column.options == {"dim": 7, "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert findings(data) == []
    again = import_hdf5(data, path, name="c3d")
    assert (again.column.num_shards_before, again.column.num_frames_now) == (2, 0)
    drop_column(data, "vectors.c3d")
    assert not (data / "vectors.c3d").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {KEYS[2]: np.full((3, 7), np.nan, "f4")},
            r"still-002 of .*c3d\.h5 holds NaN or infinity: nothing of",
        ),
        ({KEYS[2]: np.full((3, 7), 1e300)}, r"still-002 of .*c3d\.h5 holds NaN or infinity"),
        ({KEYS[3]: np.zeros((3, 6), "f4")}, r"differ in length \(6 in still-003, 7 in still-000\)"),
        ({KEYS[3]: np.zeros(7, "f4")}, r"still-003 of .* holds float32 \[7\] where floats \[T, C\] belong"),
        (
            {KEYS[3]: np.zeros((3, 7), "i4")},
            r"still-003 of .* holds int32 \[3, 7\] where floats \[T, C\] belong",
        ),
        ({KEYS[3]: np.zeros((0, 7), "f4")}, r"still-003 of .* holds float32 \[0, 7\] where floats"),
    ],
)
def test_vectors_that_are_none_are_refused(
    stills: Stills, tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    data, path = stills(), matrices(tmp_path / "c3d.h5", names=KEYS, **changes)
    with pytest.raises((UsageError, DamageError), match=told):
        import_hdf5(data, path, name="c3d")


def test_what_is_asked_for_wrongly_is_told(stills: Stills, tmp_path: Path) -> None:
    data, path = stills(), matrices(tmp_path / "c3d.h5", names=KEYS[:4])
    with pytest.raises(UsageError, match="was not written by `vfm export-hdf5`: name its column with --name"):
        import_hdf5(data, path)
    with pytest.raises(
        UsageError, match=r"2 of 6 samples are not in the file \(still-004\.mp4, still-005\.mp4;"
    ):
        import_hdf5(data, path, name="c3d")
    matrices(path, names=KEYS)
    with pytest.raises(UsageError, match=r"cannot be called 'a\.b'"):
        import_hdf5(data, path, name="a.b")
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        import_hdf5(tmp_path, path, name="c3d")
    import_hdf5(data, path, name="c3d")
    with h5py.File(path, "a") as file:
        file[KEYS[0]][0, 0] += 1
    with pytest.raises(UsageError, match=r"holds another column \(file_sha256 .*vfm drop .* vectors\.c3d"):
        import_hdf5(data, path, name="c3d")


class Killed(BaseException):
    """Stands for a kill at this point."""


def test_a_killed_import_keeps_its_finished_shards(
    stills: Stills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, path = stills(), matrices(tmp_path / "c3d.h5", names=KEYS)
    shard = ColumnJob._shard

    def kill(self: ColumnJob, number: int, *given: object, **options: object) -> object:
        if number == 1:
            raise Killed
        return shard(self, number, *given, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(ColumnJob, "_shard", kill)
        import_hdf5(data, path, name="c3d")
    with pytest.raises(
        UsageError, match="import-hdf5 has not finished: run the same `vfm import-hdf5` command"
    ):
        open_dataset(data, columns=["vectors.c3d"])
    first = data / "vectors.c3d" / "000000.tar"
    before = first.stat()
    done = import_hdf5(data, path, name="c3d")
    assert done.column.num_shards_before == 1
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    report = json.loads((data / "vectors.c3d" / "000001.json").read_bytes())
    assert set(report["tools"]) == {"vfm", "h5py", "device"}
    assert findings(data) == []


def test_options_are_as_canonical_as_the_manifests(exported: tuple[Path, Path]) -> None:
    data, out = exported
    with h5py.File(out) as file:
        told = file.attrs["options"].encode() + b"\n"
    assert told == canonical_json(read_manifest(data).columns["hog"].options)
