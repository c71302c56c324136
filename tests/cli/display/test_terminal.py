"""A training and an evaluation as they look in a terminal, and in a pipe."""

import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.jobs import ENVIRONMENT

TRAIN = ("--steps", "4", "--batch-size", "4", "--threads", "1", "--set", "train.log_every=2")


def in_a_terminal(line: list[str]) -> list[str]:
    """Run a command with a terminal for its stderr and return what is seen there, one state a line."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(line, stdout=theirs, stderr=theirs, env=ENVIRONMENT)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux tells so that nobody has the other side open any more
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.fixture
def vfm(warm_python: str) -> Callable[..., list[str]]:
    """Return what gives the command line of a command."""
    return lambda *arguments: [warm_python, "-m", "vfm.cli", *map(str, arguments)]


@pytest.fixture
def run(toy_dataset: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Return a dataset and where a run can go."""
    return toy_dataset(), tmp_path / "run"


def test_a_bar_from_before_the_first_update_to_the_last(
    vfm: Callable[..., list[str]], run: tuple[Path, Path]
) -> None:
    data, out = run
    seen = in_a_terminal(vfm("pretrain", "vimpac-tiny", data, "--out", out, *TRAIN))
    bars = [re.search(r"\d/4", line) for line in seen if line.startswith("updates")]
    counts = [found[0] for found in bars if found]
    assert (counts[0], counts[-1]) == ("0/4", "4/4")
    assert counts == sorted(counts)
    lines = [line for line in seen if not line.startswith("updates")]
    starts = ("Training vimpac-tiny", "2 of 4 updates, loss", "4 of 4 updates, loss", "Trained", "next: vfm")
    at = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert at == sorted(at)


def test_lines_in_a_pipe(vfm: Callable[..., list[str]], run: tuple[Path, Path]) -> None:
    data, out = run
    done = subprocess.run(
        vfm("pretrain", "vimpac-tiny", data, "--out", out, *TRAIN),
        capture_output=True, text=True, check=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    starts = ("Training vimpac-tiny", "2 of 4 updates, loss", "4 of 4 updates, loss", "Trained", "next: vfm")
    starts = (starts[0], "It learns from split val too", *starts[1:])
    lines = [line for line in done.stderr.splitlines() if not re.match(r"\d of 4 updates, 0:", line)]
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


def test_an_evaluation_has_a_bar_too(vfm: Callable[..., list[str]], run: tuple[Path, Path]) -> None:
    data, out = run
    tune = vfm("finetune", "classify", data, "--recipe", "vimpac-tiny", "--out", out, *TRAIN)
    subprocess.run(tune, check=True, capture_output=True, env=ENVIRONMENT)
    seen = in_a_terminal(vfm("evaluate", out, data, "--threads", "1"))
    assert seen[0].startswith(f"Evaluating {out}, step 4, on a CPU with 1 thread: ")
    assert seen[-1].startswith("next: vfm inspect")
    bars = [found[0] for line in seen if (found := re.search(r"\d+/\d+", line)) and "samples" in line]
    done, total = bars[-1].split("/")
    assert done == total
