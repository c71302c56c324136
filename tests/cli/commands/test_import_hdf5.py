"""From a file to a column, on the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from click.testing import CliRunner, Result

from vfm.cli.commands.import_hdf5 import command

Stills = Callable[..., Path]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def write(path: Path, *, num_videos: int) -> Path:
    """Write a matrix of float64 for each still, and one of nobody."""
    with h5py.File(path, "w") as file:
        for number in range(num_videos):
            file[f"still-{number:03d}"] = np.full((2, 3), number / 3)
        file["nobody"] = np.zeros((2, 3))
    return path


def test_what_was_done_to_the_values_is_said(stills: Stills, tmp_path: Path) -> None:
    data, path = stills(), write(tmp_path / "c3d.h5", num_videos=6)
    done = run(data, path, "--name", "c3d", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["column"], told["num_samples"], told["num_shards_before"]) == ("vectors.c3d", 6, 0)
    assert (told["num_left_out"], told["num_narrowed"]) == (1, 6)
    assert "left out, as no sample is called so: 1 id (nobody)" in done.stderr
    assert "stored as float32: 6 of the arrays, which are float64 in the file" in done.stderr
    assert done.stderr.endswith(f"next: vfm inspect {data} --verify\n")
    again = run(data, path, "--name", "c3d")
    assert again.stdout == ""
    assert "vectors.c3d: 6 samples, 0.0 MB; 2 of 2 shards done before" in again.stderr


def test_a_fault_is_one_line_and_an_exit_code(stills: Stills, tmp_path: Path) -> None:
    data, path = stills(), write(tmp_path / "c3d.h5", num_videos=6)
    path.write_bytes(path.read_bytes()[:-100])
    done = subprocess.run(
        [sys.executable, "-m", "vfm.cli", "import-hdf5", str(data), str(path), "--name", "c3d"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert "c3d.h5 cannot be read as HDF5 (" in done.stderr
    assert not (data / "vectors.c3d").exists()
