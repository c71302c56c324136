import json
import re

import pytest
from click.testing import CliRunner

from vfm.cli.commands import evaluate, finetune
from vfm.shards.errors import UsageError
from vfm.shards.io.parquet import read_table

SHRUNK = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "data.clip_len=3", "optim.lr=0.01")
SETTINGS = [part for setting in SHRUNK for part in ("--set", setting)]


def invoke(command, *arguments):
    return CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False, standalone_mode=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_toy_dataset):
    """Return a folder with a dataset and two runs, one that learned and one that had no time to."""
    root = tmp_path_factory.mktemp("evaluate")
    write_toy_dataset(root / "data", num_samples=24)
    for name, steps in (("good", 60), ("poor", 1)):
        start = ("classify", root / "data", "--recipe", "vimpac-tiny", "--out", root / name)
        invoke(finetune.command, *start, "--batch-size", 8, "--steps", steps, "--device", "cpu", *SETTINGS)
    return root


def test_one_row_per_run_beside_what_guessing_reaches(root):
    table = invoke(evaluate.command, root / "good", root / "poor", root / "data").stdout.splitlines()
    assert re.split(r"  +", table[0]) == [
        "run",
        "top-1 %",
        "95 % interval",
        "top-5 %",
        "samples",
        "missing",
        "sample list",
    ]
    rows = [re.split(r"  +", line) for line in table[1:]]
    assert [row[0] for row in rows] == [
        str(root / "good"),
        str(root / "poor"),
        "most frequent class",
        "chance",
    ]
    assert [row[1] for row in rows] == ["100.0", "50.0", "50.0", "50.0"]
    assert [row[2] for row in rows[:2]] == ["67.6 to 100.0", "21.5 to 78.5"]
    assert {row[-2] for row in rows} == {"8"}  # nothing is known of missing ones, top-5 would be 100
    assert len({row[-1] for row in rows}) == 1


def test_json_has_all_but_what_lies_in_files_of_its_own(root):
    told = json.loads(
        invoke(
            evaluate.command, root / "good", root / "data", "--protocol", "knn", "--clips", 2, "--json"
        ).stdout
    )
    assert [(entry["accuracy"], entry["protocol"], entry["num_clips"]) for entry in told] == [(1.0, "knn", 2)]
    assert told[0].keys().isdisjoint({"predictions", "confusion"})
    assert read_table(root / "good" / "evaluate-knn-val.parquet").num_rows == 8


def test_missing_split_names_those_there_are(root):
    with pytest.raises(UsageError, match="choose one of these: train, val"):
        invoke(evaluate.command, root / "good", root / "data", "--split", "test")
