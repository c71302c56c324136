"""``vfm plan`` tells what a job would take, and writes nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from vfm.cli.commands.plan import command
from vfm.shards.errors import UsageError

Film = Callable[..., Path]


def plan(*arguments: object) -> Result:
    given = [*map(str, arguments), "--fps", "5", "--size", "48", "--workers", "1"]
    return CliRunner().invoke(command, given, standalone_mode=False)


def test_json_holds_every_figure_with_its_interval(films: Film, tmp_path: Path) -> None:
    done = plan(films(3), "--json", "--out", tmp_path / "data")
    told = json.loads(done.stdout)
    assert (told["num_sources"], told["num_sampled"], told["num_shards"], told["num_workers"]) == (3, 3, 1, 1)
    assert told["num_frames"] == {"value": 14, "low": 14, "high": 14}
    assert [column["name"] for column in told["columns"]] == ["frames"]
    assert told["free_bytes"] > 0
    assert not (tmp_path / "data").exists()
    assert done.return_value == 0


def test_what_is_hidden_is_left_out_and_counted(films: Film) -> None:
    root = films(2)
    (root / "a" / "._000.mp4").write_bytes(b"x")
    done = plan(root, "--json")
    told = json.loads(done.stdout)
    assert (told["num_sources"], told["num_rejected"], told["num_hidden"]) == (2, 0, 1)
    assert "note: hidden files and folders, whose names begin with a dot, are left out: 1, " in done.stderr
    assert "note: hidden" in plan(root).stderr


def test_text_names_the_sample_and_the_intervals(films: Film, tmp_path: Path) -> None:
    root = films(4)
    (root / "bad.mp4").write_bytes(b"")
    done = plan(root, "--out", tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("5 of 5 sources sampled in ")
    assert lines[0].endswith("s, 1 rejected (empty 1)")
    rows = {line.partition("  ")[0]: line.split("  ")[1:] for line in lines}
    assert [cell.strip() for cell in rows["frames"] if cell] == ["19", "exact"]
    assert [cell.strip() for cell in rows["rejected"] if cell] == ["20.0%", "exact"]
    assert "1 shard to a column; times are with --workers 1" in lines
    assert lines[-1].endswith("are free at the output: enough")
    assert done.return_value == 0
    assert "to" in next(
        line for line in plan(root, "--sample", "2").stdout.splitlines() if "frames  " in line
    )


def test_a_sample_that_is_all_rejected_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"")
    assert plan(tmp_path / "bad.mp4").return_value == 1


def test_a_missing_source_is_told(tmp_path: Path) -> None:
    done = plan(tmp_path / "nowhere")
    assert isinstance(done.exception, UsageError)
    assert "does not exist: name a folder" in str(done.exception)


def test_help_names_every_option_and_an_example() -> None:
    told = CliRunner().invoke(command, ["--help"]).output
    assert "vfm plan videos/ --fps 2" in told
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("arguments", [["--sample", "0"], ["--fps", "0"]])
def test_wrong_numbers_are_usage_errors(tmp_path: Path, arguments: list[str]) -> None:
    assert CliRunner().invoke(command, [str(tmp_path), "--fps", "2", *arguments]).exit_code == 2
