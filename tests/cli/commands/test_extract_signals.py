import json
import os
import subprocess
import sys
from pathlib import Path

import click

from support.films_of_shots import shots, write_again, write_shots
from vfm.cli.commands.extract import command
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.analysis import signals
from vfm.video2token.analysis.options import DUPLICATE_BITS, STATIC_SCORE

VFM = [sys.executable, "-m", "vfm.cli", "extract"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def extract(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    given = [*map(str, arguments), "--fps", "4", "--size", "32", "--workers", "1"]
    return subprocess.run(
        [*VFM, *given], capture_output=True, text=True, env=ENVIRONMENT, timeout=120, check=False
    )


def test_videos_left_out_on_request_do_not_change_the_exit_code(tmp_path: Path) -> None:
    root = tmp_path / "films"
    write_shots(root / "film.mp4", shots([3]))
    write_again(root / "film.mp4", root / "again.mp4", size_px=64)
    write_shots(root / "still.mp4", shots([12], faster=0))
    given = ("--signals", "shots", "--drop-static", "--drop-duplicates", "--json")
    done = extract(root, tmp_path / "data", *given)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert json.loads(done.stdout)["rejected_by_reason"] == {"duplicate": 1, "static": 1}
    assert "3 sources: 1 ok, 0 partial, 2 rejected (" in done.stderr
    meta = open_dataset(tmp_path / "data").meta(0)
    assert sorted(meta.signals) == ["hash", "motion", "shots"]
    assert extract(root, tmp_path / "data", *given).returncode == 0
    (root / "still.mp4").write_bytes(b"")
    assert extract(root, tmp_path / "more", *given).returncode == 1


def test_signals_that_do_not_exist_are_wrong_usage(tmp_path: Path) -> None:
    write_shots(tmp_path / "films" / "film.mp4", shots([3]))
    done = extract(tmp_path / "films", tmp_path / "data", "--signals", "hash,sound")
    assert (done.returncode, done.stderr) == (
        2, "vfm: Unknown signal 'sound': choose from hash, motion, shots.\n",
    )  # fmt: skip
    assert not (tmp_path / "data").exists()


def test_help_tells_the_signals_and_thresholds_that_are_used() -> None:
    given = {option.name: option for option in command.params if isinstance(option, click.Option)}
    assert f": {', '.join(signals.names())}." in (given["signals"].help or "")
    thresholds = {"drop_static": STATIC_SCORE, "drop_duplicates": DUPLICATE_BITS}
    assert {name: given[name].flag_value for name in thresholds} == thresholds
    assert all(f" {value} unless given" in (given[name].help or "") for name, value in thresholds.items())
