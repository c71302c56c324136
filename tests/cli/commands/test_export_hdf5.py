"""From a column to a file, on the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result

from vfm.cli.commands.export_hdf5 import command
from vfm.shards.errors import UsageError
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

Stills = Callable[..., Path]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_column_becomes_a_file(stills: Stills, tmp_path: Path) -> None:
    data, out = stills(), tmp_path / "hog.h5"
    tokenize(data, ["hog"], TargetOptions(own={"crop_px": 32}))
    done = run(data, "--column", "hog", out, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "data": str(data),
        "file": str(out),
        "column": "hog",
        "num_samples": 6,
        "size_bytes": out.stat().st_size,
    }
    assert f"hog: 6 samples, 0.0 MB written to {out}\nnext: vfm inspect {data}\n" in done.stderr
    with h5py.File(out) as file:
        assert len(file) == 6
    with pytest.raises(UsageError, match="exists already"):
        run(data, "--column", "hog", out)


def test_a_column_has_to_be_named(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "out.h5")
    assert done.exit_code == 2
    assert "Missing option '--column'" in done.stderr
