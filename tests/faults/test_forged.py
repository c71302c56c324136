"""A forged dataset, whose hashes are all right, is read or refused in one sentence: never a traceback."""

import importlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner

from support.forgery import (
    WRONG_VALUES,
    Place,
    forge_index,
    forge_manifest,
    forge_sealed,
    forge_shard,
    forge_tar,
    json_member,
    places_in,
    wrong_tables,
)
from vfm.shards.errors import DamageError, VfmError
from vfm.shards.format.plan import read_plan
from vfm.shards.format.shots import read_shots
from vfm.shards.io.npy import to_npy
from vfm.shards.io.parquet import table_bytes
from vfm.shards.io.sealed import read_sealed
from vfm.shards.pixels import jpeg
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.reading.summary import summarize
from vfm.shards.verification.verify import verify
from vfm.video2token.tokenizers.saved import load_saved

Forge = Callable[[Path], None]
COLUMNS = ("frames", "vq.tiny", "hog", "text.words")
CODES = "vq.tiny"
SHRUNK = ("num_layers=1", "dim=16", "num_heads=2", "nce_proj_dim=8")


@pytest.fixture
def data(whole_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_dataset, tmp_path / "data"))


def run(verb: str, *arguments: object) -> Any:
    command = importlib.import_module(f"vfm.cli.commands.{verb}").command
    given = [*map(str, arguments)]
    return CliRunner().invoke(command, given, standalone_mode=False, catch_exceptions=False).return_value


def read_all(data: Path) -> None:
    """Read every sample as training does."""
    dataset = open_dataset(data, columns=COLUMNS)
    for index in range(len(dataset)):
        dataset.meta(index)
        dataset.frames(index, range(int(dataset.num_frames[index])))
        dataset.array(index, CODES, "codes")


def pretrain(data: Path) -> None:
    """Take one step of training on the codes."""
    out = data.parent / "run"
    shutil.rmtree(out, ignore_errors=True)
    settings = [f"model.{each}" for each in SHRUNK] + ["data.clip_len=3"]
    given = [part for setting in settings for part in ("--set", setting)]
    run(
        "pretrain",
        "vimpac-tiny",
        data,
        "--out",
        out,
        "--batch-size",
        2,
        "--steps",
        1,
        "--device",
        "cpu",
        *given,
    )


READERS: tuple[Callable[[Path], Any], ...] = (
    lambda data: list(verify(data)),
    lambda data: summarize(data).to_json(),
    read_all,
    lambda data: read_plan(data / "plan.parquet"),
    read_shots,
    lambda data: load_saved(data / CODES / "codebook").default_crop_px,
)
COMMANDS: tuple[Callable[[Path], Any], ...] = (
    lambda data: run("inspect", data, "--verify", "--json"),
    lambda data: run("inspect", data, open_dataset(data).keys[0]),
    lambda data: run("inspect", data, "--sheet", data.parent / "sheet.png"),
    lambda data: run("tokenize", data, "--target", f"vq:{data / CODES / 'codebook'}", "--workers", 1),
    lambda data: run("tokenize", data, "--target", "hog", "--name", "new", "--crop", 32, "--workers", 1),
    pretrain,
)


def assert_told(data: Path, readers: tuple[Callable[[Path], Any], ...], *, label: str) -> None:
    for number, reader in enumerate(readers):
        sentences = ""
        try:
            reader(data)
        except VfmError as error:
            sentences = str(error)
        except Exception as error:
            raise AssertionError(f"{label}: reader {number} ended in {error!r}") from error
        assert "\n" not in sentences, (label, sentences)


def forged_values(data: Path) -> Iterator[tuple[str, Forge]]:
    """Yield what puts a wrong value into every place of every JSON file, another one each time."""
    meta = json.loads(open_dataset(data).member(0, "frames", "json"))

    def through_shard(place: Place, new: Any, folder: Path) -> None:
        forge_shard(folder, "frames", json_member(place, new))

    def sealed(name: str, place: Place, new: Any, folder: Path) -> None:
        forge_sealed(folder / name, place, new)

    files: list[tuple[str, Any, Callable[..., None]]] = [
        ("dataset.json", read_sealed(data / "dataset.json"), lambda p, new, d: forge_manifest(d, p, new)),
        ("KEY.json", meta, through_shard),
    ]
    names = ("frames/000000.json", "frames/000001.json", f"{CODES}/000000.json", "scenes.json")
    for name in (*names, f"{CODES}/codebook/config.json"):
        files.append((name, read_sealed(data / name), partial(sealed, name)))
    moments = random.Random(14)
    for name, value, forge in files:
        for place in places_in(value):
            new = moments.choice(WRONG_VALUES)
            yield f"{name} {place} = {new!r}", partial(forge, place, new)


def forged_tables(data: Path) -> Iterator[tuple[str, Forge]]:
    """Yield what puts wrong columns into the plan and the indexes."""

    def write(folder: Path, *, name: str, table: Any) -> None:
        if name == "plan.parquet":
            (folder / name).write_bytes(table_bytes(table))
        else:
            forge_index(folder, Path(name).parent.name, lambda _: table)

    for name in ("plan.parquet", "frames/000000.index.parquet", f"{CODES}/000000.index.parquet"):
        for what, table in wrong_tables(pq.read_table(data / name)):
            yield f"{name} {what}", partial(write, name=name, table=table)


def each_forgery(
    whole: Path, home: Path, forgeries: Iterator[tuple[str, Forge]], *, every: int
) -> Iterator[tuple[str, Path]]:
    """Yield a dataset for one of so many forgeries, always the same ones."""
    listed = list(forgeries)
    assert len(listed) > 70
    for label, forge in random.Random(3).sample(listed, len(listed) // every):
        data = home / "forged"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(whole, data)
        forge(data)
        yield label, data


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_wrong_values_are_told_in_one_sentence(whole_dataset: Path, tmp_path: Path, every: int) -> None:
    for label, data in each_forgery(whole_dataset, tmp_path, forged_values(whole_dataset), every=every):
        assert_told(data, READERS, label=label)


@pytest.mark.parametrize("every", [15, pytest.param(1, marks=pytest.mark.slow)])
def test_wrong_tables_are_told_in_one_sentence(whole_dataset: Path, tmp_path: Path, every: int) -> None:
    for label, data in each_forgery(whole_dataset, tmp_path, forged_tables(whole_dataset), every=every):
        assert_told(data, READERS, label=label)


def wrong_arrays() -> dict[str, bytes]:
    """Return what may stand in the place of codes uint8 [1, 6, 4, 4] of a vocabulary of 16."""
    codes = np.zeros((1, 6, 4, 4), np.uint8)
    arrays: dict[str, np.ndarray] = {
        "float64": codes.astype(np.float64),
        "negative": codes.astype(np.int64) - 1,
        "outside the vocabulary": codes + 16,
        "text": codes.astype("U3"),
        "bool": codes.astype(bool),
        "no views": codes[0],
        "fewer frames": codes[:, :1],
        "another grid": codes[..., :2],
        "empty": codes[:0],
        "a number": np.array(3),
    }
    return {**{name: to_npy(array) for name, array in arrays.items()}, "no array": b"x" * 90, "nothing": b""}


@pytest.mark.parametrize("what", wrong_arrays())
def test_what_are_no_codes_is_found_and_never_learned(data: Path, what: str) -> None:
    forge_shard(data, CODES, lambda members: {**members, "codes.npy": wrong_arrays()[what]})
    assert any(finding.member.endswith(".codes.npy") for finding in verify(data))
    assert run("inspect", data, "--verify") == DamageError.exit_code
    with pytest.raises(DamageError):
        pretrain(data)
    assert_told(data, COMMANDS, label=what)


@pytest.mark.parametrize(
    ("column", "field", "array"),
    [
        ("hog", "hog.npy", np.zeros((1, 6, 2, 2, 108), np.float64)),
        ("hog", "hog.npy", np.zeros((1, 6, 1, 2, 108), np.uint8)),
        ("text.words", "ids.npy", np.full((1, 4), 99, np.uint8)),
        ("text.words", "num_ids.npy", np.full(1, 99, np.uint16)),
    ],
)
def test_arrays_of_other_targets_are_checked_too(
    data: Path, column: str, field: str, array: np.ndarray
) -> None:
    forge_shard(data, column, lambda members: {**members, field: to_npy(array)})
    assert any(finding.member.endswith(f".{field}") for finding in verify(data))


@pytest.mark.parametrize("tar", [b"", b"no tar at all", b"x" * 5120, b"\x1f\x8b" + bytes(2000)])
@pytest.mark.parametrize("column", ["frames", CODES])
def test_a_tar_that_is_none_is_found(data: Path, column: str, tar: bytes) -> None:
    forge_tar(data, column, tar)
    assert {finding.file for finding in verify(data)} & {
        f"{column}/000000.tar", f"{column}/000000.index.parquet",
    }  # fmt: skip
    assert_told(data, COMMANDS, label=column)


def test_frames_of_two_sizes_are_told(data: Path) -> None:
    def shrink_first(members: dict[str, bytes]) -> dict[str, bytes]:
        start = members["mp4"].index(b"\xff\xd8\xff")
        small = jpeg.encode(np.zeros((16, 16, 3), np.uint8), quality=50)
        return {**members, "mp4": members["mp4"][:start] + small + members["mp4"][start + len(small) :]}

    forge_shard(data, "frames", shrink_first)
    assert any("Its frames have 2 sizes" in finding.message for finding in verify(data))
    with pytest.raises(DamageError, match="differ in size"):
        open_dataset(data).frames(0, [0, 1])
    assert_told(data, COMMANDS, label="two sizes")


def test_json_that_no_parser_should_take(data: Path) -> None:
    for member in (b'{"key":1e999}', b"[" * 100_000, b"[]", b"null", b"\xff"):
        forge_shard(data, "frames", lambda members, member=member: {**members, "json": member})
        assert any(finding.member.endswith(".json") for finding in verify(data))
        assert_told(data, COMMANDS[:2], label=str(member[:9]))


def test_special_ids_that_the_vocabulary_has_not(data: Path) -> None:
    path = ("columns", "text.words", "options")
    for option, new, told in (
        ("mask_id", 13, "names the id 13, but its vocabulary has 13"),
        ("pad_id", -1, "names the id -1, but its vocabulary has 13"),
        ("special_ids", [0, 99], "names the id 99, but its vocabulary has 13"),
        ("special_ids", ["a"], "text.words.special_ids is"),
        ("tokenizer_sha256", 7, "text.words.tokenizer_sha256 is 7, but must be text"),
    ):
        copy = Path(shutil.copytree(data, data.parent / f"{option} {new}"))
        forge_manifest(copy, (*path, option), new)
        with pytest.raises(DamageError, match=told):
            open_dataset(copy)


def test_commands_that_meet_odd_options(data: Path) -> None:
    for place, new in (
        (("vocab_size",), 10**30), (("views",), []), (("views", 0, "top"), "x"), (("weights_sha256",), None),
        (("stride",), 0), (("dtype",), "float64"), (("codebook",), [None]),
    ):  # fmt: skip
        copy = data.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(data, copy)
        forge_manifest(copy, ("columns", CODES, "options", *place), new)
        assert_told(copy, COMMANDS, label=f"{place} = {new!r}")
