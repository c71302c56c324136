"""Jobs that are killed at a rename, each of them, just before it and just after, and run again."""

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from support.jobs import ENVIRONMENT

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "model.nce_proj_dim=8", "data.clip_len=3")
SETTINGS = [part for setting in TINY for part in ("--set", setting)]
TRAIN = [*("--batch-size", "4", "--steps", "1", "--device", "cpu", "--threads", "1"), *SETTINGS]


# Forks a process for every run of the command, so that nothing is imported twice. Tells for every kill what
# was left behind, the status of the same command run again, and the temporary names there in the end.
SCRIPT = """
import json, os, shutil, signal, sys
from pathlib import Path
import vfm.video2token.jobs.fit_codebook.fit_codebook
vfm.video2token.jobs.fit_codebook.fit_codebook.KEEP_EVERY = 1
from vfm.cli.main import main

arguments, out, said = json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
is_long = sys.argv[4] == "long"

def die_at(number, name, *, is_done):
    replace, count = os.replace, 0
    def dying(*paths, **options):
        nonlocal count
        count += 1
        if count == number and not is_done:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths, **options)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(os, name, dying)

def run(prepare):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    prepare()
    sys.argv = ["vfm", *arguments]
    status = 1
    try:
        status = main()
    except SystemExit as error:
        status = error.code
    os._exit(status or 0)

def temporary():
    return sorted(path.name for path in out.rglob("*.tmp*"))

def drill(number, is_done):
    shutil.rmtree(out, ignore_errors=True)
    first = run(lambda: die_at(number, "replace", is_done=is_done))
    left, again = temporary(), first
    if first == -signal.SIGKILL:
        again = run(lambda: None)
    print(json.dumps([number, is_done, left, again, temporary(), said.read_text()]), flush=True)
    return first == -signal.SIGKILL

number = 1
while drill(number, False):
    number += 1
# Just after a rename is as just before the next one, but for the temporary name: of these the last will do.
for each in range(1 if is_long else number - 1, number):
    assert drill(each, True)
"""


class Kill(NamedTuple):
    """What came of a kill at a rename, just before it or just after (``is_done``).

    One past the last rename is no kill.
    """

    number: int
    is_done: bool
    left: list[str]
    status: int
    temporary: list[str]
    said: str


Drill = Callable[..., list[Kill]]


@pytest.fixture(params=["short", pytest.param("long", marks=pytest.mark.slow)])
def length(request: pytest.FixtureRequest) -> str:
    """Return how much is drilled: every rename just before it, or just after it too."""
    return str(request.param)


@pytest.fixture
def drill(tmp_path: Path, length: str, warm_python: str) -> Drill:
    """Return what kills a command, which writes to ``tmp_path / "out"``, at every rename in turn."""
    return partial(kill_at_every_rename, tmp_path, length, warm_python)


def kill_at_every_rename(tmp_path: Path, length: str, python: str, *arguments: object) -> list[Kill]:
    line = [json.dumps(list(map(str, arguments))), str(tmp_path / "out"), str(tmp_path / "said"), length]
    done = subprocess.run(
        [python, "-c", SCRIPT, *line],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return [Kill(*json.loads(told)) for told in done.stdout.splitlines()]


def assert_all_end_well(kills: list[Kill], *, first: str, at_least: int) -> None:
    assert len(kills) >= at_least + 2
    assert kills[-1].is_done
    assert kills[0].left[0].startswith(first)  # it did die with a temporary name of ours in its folder
    for kill in kills:
        assert (kill.status, kill.temporary) == (0, []), kill


def test_pretrain(toy_dataset: Callable[..., Path], tmp_path: Path, drill: Drill) -> None:
    out = ["--out", tmp_path / "out"]
    kills = drill("pretrain", "vimpac-tiny", toy_dataset(), *out, *TRAIN)
    assert_all_end_well(kills, first=".run.json.tmp-", at_least=3)  # run.json, and two for the checkpoint


def test_finetune(toy_dataset: Callable[..., Path], tmp_path: Path, drill: Drill) -> None:
    how = ["--recipe", "vimpac-tiny", "--out", tmp_path / "out"]
    kills = drill("finetune", "classify", toy_dataset(), *how, *TRAIN)
    assert_all_end_well(kills, first=".run.json.tmp-", at_least=3)


def test_fit_codebook(stills: Callable[..., Path], tmp_path: Path, drill: Drill) -> None:
    how = ["--crop", "32", "--vocab-size", "16", "--steps", "2"]
    kills = drill("fit-codebook", stills(), tmp_path / "out", *how)
    assert_all_end_well(kills, first=".step-000001.safetensors.tmp-", at_least=5)


def test_demo(tmp_path: Path) -> None:
    """Of the demo only its own file: the rest are the commands."""
    from vfm.cli.demo import stages

    options = stages.DemoOptions()
    (tmp_path / f".{stages.SETTINGS_NAME}.tmp-99999").write_text("{")
    stages._refuse_other(tmp_path, options)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(stages.UsageError, match="is not empty and holds no demo"):
        stages._refuse_other(tmp_path, options)
