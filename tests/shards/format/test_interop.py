"""The files that other readers want follow from vfm's own index, and are rewritten when they are lost."""

import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vfm.shards.errors import DamageError
from vfm.shards.format.index import IndexRow
from vfm.shards.format.interop import finish_column
from vfm.shards.reading.join import read_reports
from vfm.shards.verification.verify import verify
from vfm.shards.writing.writer import ShardWriter

MakeDataset = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A shard of three samples, the second with a name that takes a PAX header."""
    folder = tmp_path / "frames"
    with ShardWriter(folder, "000000") as writer:
        for key, size in (("a", 600), ("b" * 120, 0), ("c", 512)):
            writer.add(key, {"json": b"{}", "codes.npy": bytes(size)}, row=IndexRow(num_frames=1))
        writer.commit(column="frames", fingerprint="f")
    return folder


def test_energons_index_has_the_first_header_of_every_sample_and_the_end(folder: Path) -> None:
    data = (folder / "000000.tar.idx").read_bytes()
    with tarfile.open(folder / "000000.tar") as tar:
        starts = [info.offset for info in tar if info.name.endswith(".json")]
    size_bytes = (folder / "000000.tar").stat().st_size
    assert list(struct.unpack("<4Q", data)) == [*starts, size_bytes - 1024]
    assert starts == [0, 2560, 2560 + 7 * 512]


def test_dalis_index_has_field_offset_size_and_name_of_every_member(folder: Path) -> None:
    header, *lines = (folder / "000000.idx").read_text().splitlines()
    with tarfile.open(folder / "000000.tar") as tar:
        found = [f"{info.name.partition('.')[2]} {info.offset_data} {info.size} {info.name}" for info in tar]
    assert header == "v1.2 3"
    assert lines == [" ".join(found[0:2]), " ".join(found[2:4]), " ".join(found[4:6])]
    assert lines[0] == "json 512 2 a.json codes.npy 1536 600 a.codes.npy"


def test_energon_is_told_shards_and_counts(make_dataset: MakeDataset) -> None:
    home = make_dataset(rejected=("v0", "v7", "v1", "v6")) / "frames" / ".nv-meta"
    assert sorted(path.name for path in home.iterdir()) == [".info.json", "dataset.yaml", "split.yaml"]
    assert (home / "dataset.yaml").read_text() == "__module__: megatron.energon\n__class__: CrudeWebdataset\n"
    shards = [line.strip() for line in (home / "split.yaml").read_text().splitlines()[2:]]
    tars = sorted(path.name for path in home.parent.glob("*.tar"))
    assert shards == [f"- {name}" for name in tars]
    assert len(tars) < 3  # a shard without samples is not told of
    counted = (home / ".info.json").read_text()
    assert [name in counted for name in tars] == [True] * len(tars)


@pytest.mark.parametrize(("has_splits", "parts"), [(True, ["all"]), (False, ["all", "train"])])
def test_only_a_dataset_without_splits_is_all_for_training(
    make_dataset: MakeDataset, parts: list[str], *, has_splits: bool
) -> None:
    data = make_dataset()
    reports = read_reports(data, column="frames", num_shards=3)
    finish_column(data / "frames", reports=reports, has_splits=has_splits)
    lines = (data / "frames" / ".nv-meta" / "split.yaml").read_text().splitlines()
    assert [line.strip(" :") for line in lines if line.endswith(":")] == ["split_parts", *parts]
    assert lines.count("  - 000000.tar") == len(parts)


@pytest.mark.parametrize(
    "lost", ["000001.idx", "000001.tar.idx", ".nv-meta/split.yaml", ".nv-meta/.info.json"]
)
@pytest.mark.parametrize("column", ["frames", "vq.demo"])
def test_what_is_lost_is_found_and_made_again(make_dataset: MakeDataset, column: str, lost: str) -> None:
    data = make_dataset()
    path = data / column / lost
    sound, others = path.read_bytes(), {p: p.stat().st_mtime_ns for p in data.rglob("0*")}
    path.unlink()
    (finding,) = verify(data)
    verb = "extract" if column == "frames" else "tokenize"
    assert str(finding) == (
        f"{column}/{lost}: It is missing: run the same `vfm {verb}` command again, which rewrites it."
    )
    reports = read_reports(data, column=column, num_shards=3)
    finish_column(data / column, reports=reports, has_splits=True)
    assert path.read_bytes() == sound
    assert list(verify(data)) == []
    others.pop(path, None)
    assert {p: p.stat().st_mtime_ns for p in others} == others


def test_a_damaged_index_is_no_ground_to_build_on(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    (data / "frames" / "000001.idx").unlink()
    (data / "frames" / "000001.index.parquet").write_bytes(b"damaged")
    reports = read_reports(data, column="frames", num_shards=3)
    with pytest.raises(DamageError, match="does not match the hash"):
        finish_column(data / "frames", reports=reports, has_splits=True)


def test_a_shard_that_lost_all_its_samples_keeps_no_index(folder: Path) -> None:
    with ShardWriter(folder, "000000") as writer:
        writer.commit(column="frames", fingerprint="f")
    assert [path.name for path in folder.iterdir()] == ["000000.json"]


def test_an_index_beside_a_shard_without_samples_is_found(make_dataset: MakeDataset) -> None:
    data = make_dataset(rejected=tuple(f"v{i}" for i in range(8)), targets=())
    (data / "frames" / "000001.idx").write_bytes(b"")
    (finding,) = verify(data)
    assert str(finding) == "frames/000001.idx: The shard has no samples, but there is an index."
