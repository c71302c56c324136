"""``inspect --verify`` proves every kind of file that a listing of a whole dataset shows."""

import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from vfm.cli.commands.inspect import command
from vfm.shards.verification.verify import verify

# Nothing is read from it but whether a job holds it; it is empty when none does.
NOT_TRUSTED = {".lock"}


def kind_of(path: Path) -> str:
    """Return a file's place with its column's own name and its shard's number left out."""
    return re.sub(r"^(vq|text|hog)(\.[^/]*)?/", r"\1/", re.sub(r"\d{6,}", "N", path.as_posix()))


def kinds_in(data: Path) -> dict[str, Path]:
    """Return one file of each kind that lies in the folder."""
    found = sorted(path.relative_to(data) for path in data.rglob("*") if path.is_file())
    return {kind_of(path): path for path in found if path.as_posix() not in NOT_TRUSTED}


def damaged_files(data: Path) -> set[str]:
    return {finding.file for finding in verify(data, decode=False) if finding.kind == "damage"}


@pytest.fixture
def data(whole_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_dataset, tmp_path / "data"))


def test_the_whole_dataset_is_sound_and_has_every_kind(data: Path) -> None:
    assert list(verify(data)) == []
    kinds = kinds_in(data)
    assert {kind.split("/")[0] for kind in kinds} == {
        "dataset.json", "plan.parquet", "quarantine.jsonl", "scenes.json", "frames", "vq", "hog", "text",
    }  # fmt: skip
    assert {"vq/codebook/config.json", "vq/codebook/codebook.safetensors"} <= kinds.keys()
    assert "text/vocabulary/tokenizer.json" in kinds
    assert len(kinds) == 4 + 4 * 8 + 3


@pytest.mark.parametrize("flips_per_kind", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_every_kind_of_file_is_found(data: Path, flips_per_kind: int) -> None:
    moments = random.Random(10)
    for kind, place in kinds_in(data).items():
        path = data / place
        sound = path.read_bytes()
        for bit in (moments.randrange(8 * len(sound)) for _ in range(flips_per_kind)):
            damaged = bytearray(sound)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            assert place.as_posix() in damaged_files(data), f"bit {bit} of {kind}"
        path.write_bytes(sound)


def test_every_kind_of_file_is_missed_when_it_is_gone(data: Path) -> None:
    for kind, place in kinds_in(data).items():
        if kind == "dataset.json":
            continue  # without it this is no dataset, as every command says
        sound = (data / place).read_bytes()
        (data / place).unlink()
        assert place.as_posix() in damaged_files(data), kind
        (data / place).write_bytes(sound)


def reports(data: Path) -> Iterator[Path]:
    yield from sorted(data.glob("*/0*.json"))


def test_a_lost_report_ends_in_exit_3(data: Path) -> None:
    for report in reports(data):
        sound = report.read_bytes()
        report.unlink()
        done = CliRunner().invoke(command, [str(data), "--verify"], standalone_mode=False)
        assert done.return_value == 3, report
        assert "It is missing although its column was complete: run the same `vfm " in done.stdout
        report.write_bytes(sound)
