"""Everything that is not as it was written is found, and said where it is."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vfm.shards.errors import UsageError
from vfm.shards.format.index import read_index
from vfm.shards.format.manifest import read_manifest, write_manifest
from vfm.shards.format.report import read_report, write_report
from vfm.shards.io.lock import hold
from vfm.shards.verification.finding import Finding
from vfm.shards.verification.verify import verify

MakeDataset = Callable[..., Path]


@pytest.fixture
def data(make_dataset: MakeDataset) -> Path:
    return make_dataset()


def files(findings: list[Finding]) -> set[str]:
    return {finding.file for finding in findings if finding.kind == "damage"}


def flip(path: Path, bit: int) -> bytes:
    """Flip one bit of a file and return its sound bytes."""
    sound = path.read_bytes()
    damaged = bytearray(sound)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    return sound


def member_at(data: Path, *, column: str, shard: str, offset: int) -> str:
    """Return the member whose header, bytes or padding hold a byte of a tar."""
    report = read_report(data / column, shard)
    assert report is not None
    index = read_index(data / column / f"{shard}.index.parquet", sha256=report.index_sha256 or "")
    for row, key in enumerate(index.keys):
        for field in index.fields:
            span = index.member(row, field)
            if offset < span.offset + -(-span.size_bytes // 512) * 512:
                return f"{key.decode()}.{field}"
    return "end of the tar"


def test_a_sound_dataset_has_no_findings(data: Path) -> None:
    assert list(verify(data)) == []
    assert list(verify(data, decode=False)) == []


def test_shards_without_samples_have_no_findings(make_dataset: MakeDataset) -> None:
    assert list(verify(make_dataset(rejected=("v0", "v7", "v1", "v6")))) == []


@pytest.mark.parametrize("flips_per_file", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_found_and_located(data: Path, flips_per_file: int) -> None:
    moments = random.Random(20)
    stored = sorted(path for path in data.rglob("*") if path.is_file())
    assert len(stored) == 39
    for path in stored:
        file = path.relative_to(data).as_posix()
        for _ in range(flips_per_file):
            bit = moments.randrange(8 * path.stat().st_size)
            place = ""
            if path.suffix == ".tar":
                place = member_at(data, column=path.parent.name, shard=path.stem, offset=bit // 8)
            sound = flip(path, bit)
            findings = list(verify(data, decode=False))
            path.write_bytes(sound)
            assert file in files(findings), f"bit {bit} of {file}"
            assert any(found.file == file and found.member == place for found in findings), (place, findings)


def test_a_flip_in_a_frame_names_the_frame(data: Path) -> None:
    report = read_report(data / "frames", "000001")
    assert report is not None
    index = read_index(data / "frames" / "000001.index.parquet", sha256=report.index_sha256 or "")
    row = int(index.num_frames.argmax())
    flip(data / "frames" / "000001.tar", 8 * (index.frame(row, 1).offset + 30))
    (finding,) = verify(data)
    assert finding.member == f"{index.keys[row].decode()}.mp4"
    assert finding.message == "Its bytes differ from what was written (frames 1)."
    assert str(finding).startswith("frames/000001.tar: v")


def test_a_cut_tar_is_found(data: Path) -> None:
    path = data / "vq.demo" / "000000.tar"
    path.write_bytes(path.read_bytes()[:1500])
    findings = list(verify(data))
    assert files(findings) == {"vq.demo/000000.tar"}
    assert "It has 1500 bytes and should have" in findings[0].message


@pytest.mark.parametrize("suffix", [".tar", ".index.parquet", ".tar.idx", ".idx"])
@pytest.mark.parametrize("column", ["frames", "vq.demo"])
def test_a_missing_file_of_a_done_shard_is_found(data: Path, column: str, suffix: str) -> None:
    (data / column / f"000001{suffix}").unlink()
    findings = list(verify(data))
    assert files(findings) == {f"{column}/000001{suffix}"}
    assert "is missing" in findings[0].message


def test_a_missing_plan_is_found(data: Path) -> None:
    (data / "plan.parquet").unlink()
    assert files(list(verify(data))) == {"plan.parquet"}


def test_shards_that_swapped_names_are_found(data: Path) -> None:
    for suffix in (".tar", ".index.parquet", ".json"):
        one, two = (data / "frames" / f"{shard}{suffix}" for shard in ("000000", "000001"))
        one.rename(data / "x")
        two.rename(one)
        (data / "x").rename(two)
    assert {"frames/000000.json", "frames/000001.json"} <= files(list(verify(data)))


def test_shards_of_another_dataset_are_found(data: Path, make_dataset: MakeDataset) -> None:
    other = make_dataset("other", rejected=())
    for path in (other / "frames").glob("000001.*"):
        shutil.copy(path, data / "frames" / path.name)
    found = {"vq.demo/000001.json", "quarantine.jsonl", "frames/.nv-meta/.info.json"}
    assert files(list(verify(data))) == found


def test_a_lost_sample_is_found(data: Path) -> None:
    report = read_report(data / "frames", "000001")
    assert report is not None
    write_report(data / "frames", replace(report, rejected=()))
    findings = list(verify(data))
    assert files(findings) == {"frames/000001.json", "quarantine.jsonl"}
    assert "2 samples and 0 rejected sources are not the 3 sources of the plan" in findings[0].message


def test_a_report_with_other_counts_is_found(data: Path) -> None:
    report = read_report(data / "vq.demo", "000000")
    assert report is not None
    write_report(data / "vq.demo", replace(report, num_frames=99, fingerprint="x"))
    messages = [finding.message for finding in verify(data)]
    assert messages[0] == "The shard was made with other options than its column's."
    assert messages[1].startswith("Samples, frames and fields are (3, 99, ('codes.npy',))")


def test_the_plan_of_another_dataset_is_found(data: Path, make_dataset: MakeDataset) -> None:
    shutil.copy(make_dataset("other", num_sources=5) / "plan.parquet", data / "plan.parquet")
    assert [str(finding) for finding in verify(data)] == [
        "plan.parquet: It is not the plan that the manifest was made for."
    ]


def test_stray_tars_are_found(data: Path) -> None:
    shutil.copy(data / "frames" / "000000.tar", data / "frames" / "000009.tar")
    assert [str(finding) for finding in verify(data)] == [
        "frames/000009.tar: The plan has no shard of this name."
    ]


def test_unfinished_is_no_damage(make_dataset: MakeDataset) -> None:
    data = make_dataset(skip_shards={"frames": {2}, "vq.demo": {1}})
    findings = list(verify(data))
    assert [(finding.file, finding.kind) for finding in findings] == [
        ("frames", "unfinished"),
        ("vq.demo", "unfinished"),
    ]
    assert findings[1].message == "1 of 3 shards are done: run the same command again."


def test_a_running_job_raises_no_false_alarm(data: Path) -> None:
    (data / "quarantine.jsonl").unlink()
    with hold(data):
        assert list(verify(data)) == []
    assert files(list(verify(data))) == {"quarantine.jsonl"}


def test_other_classes_are_found(data: Path) -> None:
    write_manifest(data, replace(read_manifest(data), classes=("walk", "run")))
    findings = list(verify(data))
    assert files(findings) == {"dataset.json", "frames/000000.tar", "frames/000001.tar", "frames/000002.tar"}
    assert any("names another class" in finding.message for finding in findings)


def test_a_folder_that_is_no_dataset_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        list(verify(tmp_path))


def test_findings_are_json_values() -> None:
    finding = Finding(file="a", message="m")
    assert finding.to_dict() == {"file": "a", "message": "m", "member": "", "kind": "damage"}
