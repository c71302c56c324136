"""A dataset of more shards than a process may open files is read, checked and trained on all the same."""

import errno
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.jobs import ENVIRONMENT
from vfm.shards.open_files import told_of_limit

SMALL = ("--set", "model.num_layers=1", "--set", "model.dim=16", "--set", "model.num_heads=2")
Vfm = Callable[..., "subprocess.CompletedProcess[str]"]
LIMIT = 96
NUM_SHARDS = 150  # of which two thirds are to train on


@pytest.fixture
def data(toy_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys.modules["support.toy"], "SAMPLES_PER_SHARD", 1)
    monkeypatch.setattr("vfm.shards.io.atomic.os.fsync", lambda descriptor: None)
    return toy_dataset(num_samples=NUM_SHARDS)


@pytest.fixture
def vfm(warm_python: str) -> Vfm:
    """Return what runs a command that may open ``limit`` files, and raise that to ``hard``."""

    def run(
        *arguments: object, limit: int = LIMIT, hard: int | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [warm_python, "-m", "vfm.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=False,
            timeout=250,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard or limit)),
        )

    return run


def assert_done(done: "subprocess.CompletedProcess[str]") -> None:
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_more_shards_than_open_files_are_no_hindrance(vfm: Vfm, data: Path, tmp_path: Path) -> None:
    assert_done(vfm("tokenize", data, "--target", "hog", "--crop", 32, "--workers", 2))
    training = (*SMALL, "--steps", 5, "--batch-size", 32, "--workers")
    assert_done(vfm("pretrain", "vimpac-tiny", data, "--out", tmp_path / "run", *training, 2))
    tune = ("--recipe", "vimpac-tiny-classify", *SMALL, "--split", "train", "--steps", 4, "--batch-size", 32)
    assert_done(vfm("finetune", "classify", data, "--out", tmp_path / "tuned", *tune))
    assert_done(vfm("evaluate", tmp_path / "tuned", data))
    findings = [
        json.loads(vfm("inspect", data, "--verify", "--json", limit=limit).stdout)["findings"]
        for limit in (LIMIT, 4096)
    ]
    assert findings[0] == findings[1]


def test_a_limit_that_is_too_low_for_loader_processes_is_one_sentence(
    vfm: Vfm, toy_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    line = (
        "pretrain",
        "vimpac-tiny",
        toy_dataset(),
        "--steps",
        4,
        "--batch-size",
        4,
        "--workers",
        2,
        "--out",
    )
    too_low = vfm(*line, tmp_path / "run", limit=16)
    assert too_low.returncode == 3
    told = too_low.stderr.splitlines()[-1]
    assert told.startswith("vfm: Too many files are open, this process may have 16: run `ulimit -n 1024`")
    assert "Traceback" not in too_low.stderr
    assert_done(vfm(*line, tmp_path / "run", limit=16, hard=4096))  # a soft limit is no obstacle


def test_only_a_want_of_descriptors_is_told_as_one() -> None:
    torch_says = RuntimeError("Too many open files. Communication with the workers is no longer possible.")
    for error in (OSError(errno.EMFILE, "any"), OSError(errno.ENFILE, "any"), torch_says):
        assert "ulimit -n" in str(told_of_limit(error))
    for other in (OSError(errno.ENOENT, "No such file"), RuntimeError("CUDA error")):
        assert told_of_limit(other) is None
