"""Columns that do not belong together are refused, and both sides named."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.manifest import make_column, read_manifest, write_manifest
from vfm.shards.format.report import read_report, write_report
from vfm.shards.reading.dataset import open_dataset

MakeDataset = Callable[..., Path]
BOTH = ("frames", "vq.demo")


def change_report(data: Path, *, column: str, shard: str = "000001", **changes: object) -> None:
    """Write a report of a column again, sealed, with other values."""
    report = read_report(data / column, shard)
    assert report is not None
    write_report(data / column, replace(report, **changes))  # type: ignore[arg-type]


def test_columns_that_belong_together_open(make_dataset: MakeDataset) -> None:
    dataset = open_dataset(make_dataset(targets=("vq.demo", "hog")), columns=("frames", "vq.demo", "hog"))
    assert len(dataset) == 7


def test_a_missing_column_names_the_command_and_the_columns_there_are(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    expected = r"no column vq\.other \(columns: frames, vq\.demo\): make it with `vfm tokenize .* vq:CODE"
    with pytest.raises(UsageError, match=expected):
        open_dataset(data, columns=("vq.other",))
    with pytest.raises(UsageError, match="--target hog`"):
        open_dataset(data, columns=("hog",))
    with pytest.raises(UsageError, match="--target hog:skimage`"):
        open_dataset(data, columns=("hog.skimage",))


def test_frames_that_were_never_begun_name_extract(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    write_manifest(data, replace(read_manifest(data), columns={}))
    with pytest.raises(UsageError, match=r"no column frames \(columns: none\): make it with `vfm extract"):
        open_dataset(data)


@pytest.mark.parametrize(("column", "verb"), [("frames", "extract"), ("vq.demo", "tokenize")])
def test_an_unfinished_column_names_the_command(make_dataset: MakeDataset, column: str, verb: str) -> None:
    data = make_dataset(skip_shards={column: {1}, "vq.demo": {1}})
    expected = f"2 of 3 shards of column {column}, {verb} has not finished: run the same `vfm {verb}`"
    with pytest.raises(UsageError, match=expected):
        open_dataset(data, columns=(column,))


def test_a_shard_made_with_other_options_is_refused(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    change_report(data, column="vq.demo", fingerprint="f" * 64)
    with pytest.raises(
        UsageError, match=r"vq\.demo/000001 was made with options ffffffffffff and the dataset's"
    ):
        open_dataset(data, columns=BOTH)
    assert len(open_dataset(data)) == 7


def test_a_shard_of_other_frames_is_refused(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    change_report(data, column="vq.demo", frames_sha256="e" * 64)
    expected = (
        r"vq\.demo/000001 was computed from frames eeeeeeeeeeee and .*frames/000001 is [0-9a-f]{12}: "
        "run `vfm drop .* vq.demo` and run `vfm tokenize"
    )
    with pytest.raises(UsageError, match=expected):
        open_dataset(data, columns=BOTH)


def test_a_column_of_other_frames_options_is_refused(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    manifest = read_manifest(data)
    codes = manifest.columns["vq.demo"]
    other = make_column("vq.demo", kind="vq", fields=codes.fields, options=codes.options, source=None)
    write_manifest(data, manifest.with_column(other))
    for shard in ("000000", "000001", "000002"):
        change_report(data, column="vq.demo", shard=shard, fingerprint=other.fingerprint)
    with pytest.raises(UsageError, match=r"Column vq\.demo was computed from frames none and the dataset's"):
        open_dataset(data, columns=BOTH)


def test_a_column_of_another_dataset_is_refused(make_dataset: MakeDataset) -> None:
    data, other = make_dataset(), make_dataset("other", samples_per_shard=3, num_sources=9, rejected=())
    shutil.rmtree(data / "vq.demo")
    shutil.copytree(other / "vq.demo", data / "vq.demo")
    with pytest.raises(UsageError, match=r"vq\.demo/00000\d was computed from frames"):
        open_dataset(data, columns=BOTH)


def test_other_samples_are_refused(make_dataset: MakeDataset) -> None:
    data, other = make_dataset(), make_dataset("other", rejected=("v4",))
    for path in (other / "vq.demo").glob("000001.*"):
        shutil.copy(path, data / "vq.demo" / path.name)
    frames = read_report(data / "frames", "000001")
    assert frames is not None
    change_report(data, column="vq.demo", frames_sha256=frames.sha256)
    with pytest.raises(UsageError, match="hold different samples: run `vfm drop"):
        open_dataset(data, columns=BOTH)


def test_an_index_with_other_counts_is_damage(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    change_report(data, column="frames", num_samples=9)
    with pytest.raises(DamageError, match="samples of json, mp4, cls where report and manifest say 9 of"):
        open_dataset(data)


def test_a_damaged_index_is_damage(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    path = data / "vq.demo" / "000002.index.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(DamageError, match=r"vq\.demo/000002\.index\.parquet does not match"):
        open_dataset(data, columns=BOTH)
