"""A column goes as a whole: a kill on the way leaves what the same command removes, and no reader sees."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vfm.cli.commands.drop import command
from vfm.shards.errors import MachineError, UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.io.lock import hold
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.writing import drop
from vfm.shards.writing.drop import drop_column
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

Stills = Callable[..., Path]


def run(*arguments: object, answer: str = "") -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(command, words, input=answer, catch_exceptions=False)


def contents(data: Path) -> dict[str, bytes]:
    return {
        path.relative_to(data).as_posix(): path.read_bytes() for path in data.rglob("*") if path.is_file()
    }


@pytest.fixture
def data(stills: Stills) -> Path:
    """A dataset with column ``hog.one``."""
    folder = stills()
    tokenize(folder, ["hog"], TargetOptions(name="one", own={"crop_px": 32}))
    return folder


def test_a_column_goes_and_all_else_stays(data: Path) -> None:
    before = contents(data)
    tokenize(data, ["hog"], TargetOptions(name="two", own={"crop_px": 32}))
    done = run(data, "hog.two", "--yes", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    size_bytes = told.pop("size_bytes")
    assert told == {"data": str(data), "column": "hog.two", "num_shards_done": 2, "num_shards": 2}
    assert 1000 < size_bytes < 1_000_000
    assert "removed column hog.two (2 of 2 shards, " in done.stderr
    assert contents(data) == before
    (result,) = tokenize(data, ["hog"], TargetOptions(name="two", own={"crop_px": 32}))
    assert result.num_shards_before == 0


@pytest.mark.parametrize(
    ("answer", "is_dropped"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("", False)]
)
def test_it_asks_first(data: Path, answer: str, is_dropped: bool) -> None:
    if is_dropped:
        done = run(data, "hog.one", answer=answer)
        assert f"Remove column hog.one of {data} (2 of 2 shards, 0." in done.stderr
    else:
        with pytest.raises(UsageError, match=r"hog\.one was kept: answer y, or give --yes"):
            run(data, "hog.one", answer=answer)
    assert ("hog.one" in read_manifest(data).columns, (data / "hog.one").exists()) == (not is_dropped,) * 2


def test_what_cannot_be_dropped_is_told_with_what_can(data: Path, stills: Stills, tmp_path: Path) -> None:
    before = contents(data)
    with pytest.raises(UsageError, match="Column frames cannot be dropped, every other column depends on it"):
        run(data, "frames", "--yes")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(data / "hog.one" / "000000.json", tmp_path / "elsewhere")
    for name in ("hog.won", "../elsewhere", ".", ""):
        with pytest.raises(UsageError, match=r"columns that can be dropped are hog\.one\."):
            run(data, name, "--yes")
    with pytest.raises(UsageError, match="columns that can be dropped are none beside frames"):
        run(stills("bare"), "hog", "--yes")
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        run(tmp_path, "hog", "--yes")
    assert contents(data) == before
    assert (tmp_path / "elsewhere" / "000000.json").exists()


def test_a_job_that_writes_is_not_disturbed(data: Path) -> None:
    before = contents(data)
    with hold(data), pytest.raises(MachineError, match=f"is being written by process {os.getpid()}"):
        run(data, "hog.one", "--yes")
    assert contents(data) == before


class Killed(BaseException):
    """Stands for a kill at this point."""


@pytest.mark.parametrize("moment", ["manifest", "rename", "half"])
def test_a_kill_leaves_what_the_same_command_removes(
    data: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    sound = open_dataset(data).fingerprint

    def kill(*_: object) -> None:
        if moment == "half":
            next((data / ".hog.one.dropped").glob("*.json")).unlink()
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        if moment == "manifest":
            write = drop.write_manifest
            patched.setattr(drop, "write_manifest", lambda *given: (write(*given), kill()))
        else:
            step = {"rename": "sync_folder", "half": "shutil.rmtree"}[moment]
            patched.setattr(f"vfm.shards.writing.drop.{step}", kill)
        drop_column(data, "hog.one")
    assert set(read_manifest(data).columns) == {"frames"}
    assert open_dataset(data).fingerprint == sound
    if moment == "manifest":
        with pytest.raises(UsageError, match=r"of no column in the manifest.*vfm drop .* hog\.one"):
            tokenize(data, ["hog"], TargetOptions(name="one", own={"crop_px": 32}))
    assert run(data, "hog.one", "--yes").exit_code == 0
    assert {path.name for path in data.iterdir()} == {".lock", "dataset.json", "frames"}
    with pytest.raises(UsageError, match="has no column"):
        run(data, "hog.one", "--yes")


def test_a_column_that_was_never_finished_goes(stills: Stills, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stills()
    before = contents(folder)

    def fail(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("vfm.video2token.jobs.tokenize.job.ColumnJob._make", fail)
        tokenize(folder, ["hog"], TargetOptions(own={"crop_px": 32}))
    assert "hog" in read_manifest(folder).columns
    assert run(folder, "hog", "--yes").exit_code == 0
    assert {name: data for name, data in contents(folder).items() if name != ".lock"} == before
