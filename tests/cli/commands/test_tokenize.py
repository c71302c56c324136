import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vfm.cli.commands.export_hdf5 import command as export
from vfm.cli.commands.import_hdf5 import command as take_back
from vfm.cli.commands.inspect import command as inspect
from vfm.cli.commands.tokenize import command
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify

Stills = Callable[..., Path]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_figures_are_json_on_stdout_and_words_on_stderr(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    done = run(data, "--target", f"vq:{tiny_codebook}", "--json")
    assert done.exit_code == 0
    (column,) = json.loads(done.stdout)["columns"]
    assert (column["column"], column["num_samples"], column["num_frames"]) == ("vq.tiny", 6, 20)
    assert "vq.tiny: 6 samples, 20 frames, 0.0 MB; 20 frames in" in done.stderr
    again = run(data, "--target", f"vq:{tiny_codebook}")
    assert again.stdout == ""
    assert "vq.tiny: 6 samples, 20 frames, 0.0 MB; 2 of 2 shards done before" in again.stderr


def test_size_and_name_are_the_users(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    target = f"vq:{tiny_codebook}"
    done = run(data, "--target", target, "--crop", 16, "--name", "small", "--batch", 3, "--workers", 1)
    assert done.exit_code == 0
    assert open_dataset(data, columns=["vq.small"]).array(0, "vq.small", "codes").shape == (1, 5, 2, 2)


def test_a_column_of_twelve_views_is_looked_at_exported_and_taken_back(
    stills: Stills, tiny_codebook: Path, tmp_path: Path
) -> None:
    data, file = stills(size=(60, 40)), tmp_path / "codes.h5"
    assert run(data, "--target", f"vq:{tiny_codebook}", "--views", "vimpac12").exit_code == 0
    before = open_dataset(data, columns=["vq.tiny"]).array(3, "vq.tiny", "codes")
    assert before.shape == (12, 3, 4, 4)
    assert [finding.file for finding in verify(data)] == ["plan.parquet"]  # which stills have not
    shown = CliRunner().invoke(inspect, [str(data), "still-003"])
    assert "uint8 [12, 3, 4, 4]" in shown.output
    assert CliRunner().invoke(export, [str(data), "--column", "vq.tiny", str(file)]).exit_code == 0
    tars = {path.name: path.read_bytes() for path in (data / "vq.tiny").glob("*.tar")}
    again = stills("again", size=(60, 40))
    assert CliRunner().invoke(take_back, [str(again), str(file)]).exit_code == 0
    assert {path.name: path.read_bytes() for path in (again / "vq.tiny").glob("*.tar")} == tars


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_refused(stills: Stills, tiny_codebook: Path, device: str) -> None:
    data = stills()
    with pytest.raises(UsageError, match=f"Device {device} cannot be used"):
        run(data, "--target", f"vq:{tiny_codebook}", "--device", device)
    assert not (data / "vq.tiny").exists()


def test_a_fault_is_one_line_and_an_exit_code(stills: Stills, tiny_codebook: Path, tmp_path: Path) -> None:
    data, book = stills(), Path(shutil.copytree(tiny_codebook, tmp_path / "book"))
    (book / "codebook.safetensors").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-m", "vfm.cli", "tokenize", str(data), "--target", f"vq:{book}"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "codebook.safetensors is damaged, its SHA-256 is not the one in config.json" in done.stderr


def test_a_target_is_needed(stills: Stills) -> None:
    done = run(stills())
    assert done.exit_code == 2
    assert "Missing option '--target'" in done.stderr
