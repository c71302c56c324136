import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from click.testing import CliRunner

from vfm.cli.commands.pretrain import command
from vfm.cli.main import group
from vfm.shards.errors import UsageError
from vfm.trainer.engine.checkpoint import newest
from vfm.trainer.recipes.settings import override
from vfm.trainer.recipes.yaml.writer import to_yaml
from vfm.trainer.registry import load_recipe

SHRUNK = (
    "model.num_layers=1",
    "model.dim=16",
    "model.num_heads=2",
    "model.nce_proj_dim=8",
    "data.clip_len=3",
)
SETTINGS = [part for setting in SHRUNK for part in ("--set", setting)]


def invoke(*arguments):
    return CliRunner().invoke(
        command, [*map(str, arguments), *SETTINGS], catch_exceptions=False, standalone_mode=False
    )


@pytest.fixture
def args(toy_dataset, tmp_path):
    return ["vimpac-tiny", toy_dataset(), "--out", tmp_path / "run", "--batch-size", 4, "--device", "cpu"]


def test_trains_and_tells(args, tmp_path):
    done = invoke(*args, "--steps", 2, "--set", "train.log_every=1", "--json")
    assert done.return_value == 0
    told = json.loads(done.stdout)
    assert (told["step"], told["num_steps"], told["signal"]) == (2, 2, 0)
    assert told["last"]["step"] == 2
    assert told["last"]["loss"] > 0
    assert "\n1 of 2 updates, loss " in done.stderr
    assert f"Trained to the end, step 2: {tmp_path / 'run'}" in done.stderr


def test_again_is_already_done(args):
    invoke(*args, "--steps", 2)
    done = invoke(*args, "--steps", 2)
    assert done.return_value == 0
    assert done.stdout == ""
    assert "Already trained to the end, step 2" in done.stderr


@pytest.fixture
def own(tmp_path):
    """Return what writes a recipe, changed by settings, to a file."""

    def write(name, *settings):
        path = tmp_path / "mine.yaml"
        path.write_text(to_yaml(override(load_recipe(name), settings)))
        return path

    return write


def test_a_file_trains_as_the_recipe_does_and_resumes(args, own, tmp_path):
    name, data, *rest = args
    quick = [*rest[2:], "--steps", 2, "--set", "train.log_every=1", "--json"]
    of_name = json.loads(invoke(name, data, "--out", tmp_path / "name", *quick).stdout)
    path = own(name)
    done = invoke(path, data, "--out", tmp_path / "file", *quick)
    assert json.loads(done.stdout)["last"]["loss"] == of_name["last"]["loss"]
    told = [json.loads((tmp_path / run / "run.json").read_text())["recipe"] for run in ("name", "file")]
    assert told[0] == told[1]
    assert f"next: vfm finetune classify {data} --init {tmp_path / 'file'} --out CLASSIFIER" in done.stderr
    again = invoke(path, data, "--out", tmp_path / "file", *quick)
    assert "Already trained to the end, step 2" in again.stderr
    path.write_text(path.read_text().replace("lr: 0.002", "lr: 0.003"))
    with pytest.raises(UsageError, match=r"optim.lr: 0.002 -> 0.003"):
        invoke(path, data, "--out", tmp_path / "file", *quick)


def test_settings_change_what_a_file_says_and_another_name_has_no_finetuning(args, own, tmp_path):
    _, data, *rest = args
    path = own("vimpac-tiny", "optim.lr=0.5")
    path.write_text(path.read_text().replace("name: vimpac-tiny", "name: mine"))
    done = invoke(path, data, *rest, "--steps", 1, "--set", "optim.lr=1e-3")
    recipe = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]
    assert (recipe["name"], recipe["optim"]["lr"], recipe["model"]["dim"]) == ("mine", 1e-3, 16)
    assert f"--init {tmp_path / 'run'} --recipe RECIPE --out CLASSIFIER" in done.stderr


def test_a_file_of_finetuning_is_not_pretrained(args, own):
    with pytest.raises(UsageError, match="give it this recipe by --recipe in place of --init"):
        invoke(own("vimpac-tiny-classify"), *args[1:], "--set", "train.max_steps=1")


def test_epochs_replace_steps(args):
    assert json.loads(invoke(*args, "--epochs", 1, "--json").stdout)["num_steps"] == 3


def test_set_wins_over_the_short_options(args):
    assert json.loads(invoke(*args, "--steps", 9, "--set", "train.max_steps=1", "--json").stdout)["step"] == 1


def test_split_is_kept_in_the_recipe(args, tmp_path):
    invoke(*args, "--steps", 1, "--split", "train")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["data"]["split"] == "train"


@pytest.mark.parametrize("words", [["--split", "all"], ["--set", "data.split=all"]])
def test_split_all_is_the_run_without_a_split(args, tmp_path, words):
    invoke(*args, "--steps", 1)
    before = json.loads((tmp_path / "run" / "run.json").read_text())
    assert before["recipe"]["data"]["split"] is None
    assert "Already trained to the end" in invoke(*args, "--steps", 1, *words).stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == before


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--split", "none"], "--split none names no split: --split all takes every sample"),
        (["--set", "optim.rl=1"], "has no key 'optim.rl'"),
        (["--set", "optim.lr=big"], "optim.lr is a number"),
        (["--split", "test"], r"choose one of these: train \(8\), val \(4\), all \(12\)\."),
    ],
)
def test_refuses(args, tmp_path, extra, message):
    with pytest.raises(UsageError, match=message):
        invoke(*args, "--steps", 1, *extra)
    assert not (tmp_path / "run").exists()


def test_unknown_recipe(args):
    with pytest.raises(UsageError, match=r"Unknown recipe 'vimpac-tyni' \(nearest: vimpac-tiny"):
        invoke("vimpac-tyni", *args[1:])


def test_starts_from_another_run_and_trains_it_for_longer(args, tmp_path):
    invoke(*args, "--steps", 2)
    second = [*args[:2], "--init", tmp_path / "run", "--out", tmp_path / "second", *args[4:]]
    done = invoke(*second, "--steps", 3)
    assert f"Starting from the weights of {tmp_path}/run/checkpoints/step-000002.\n" in done.stderr
    with pytest.raises(UsageError, match=r"max_steps: 3 -> 5\): .*, add --extend to train it for longer"):
        invoke(*second, "--steps", 5)
    done = invoke(*second, "--steps", 5, "--extend")
    assert f"Extending {tmp_path / 'second'} from step 3 of 3 to 5: the learning rate, last " in done.stderr
    assert f"Trained to the end, step 5: {tmp_path / 'second'}" in done.stderr


def test_ranks_train_together(args, tmp_path, warm_python):
    code = f"import sys; sys.executable = {warm_python!r}; from vfm.cli.main import main; main()"  # of ranks
    line = [warm_python, "-c", code, "pretrain", *map(str, args), *SETTINGS, "--steps", "2", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "RANK"}
    done = subprocess.run(
        [*line, "--nproc", "2"], check=False, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "on 2 ranks, each a CPU with" in done.stderr
    assert json.loads(done.stdout)["step"] == 2  # said once
    missing = [*line[:5], str(tmp_path / "missing"), *line[6:]]
    done = subprocess.run(
        [*missing, "--nproc", "2"], check=False, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("is not a vfm dataset") == 1
    odd = [*line, "--batch-size", "3", "--out", str(tmp_path / "odd"), "--nproc", "2"]
    done = subprocess.run(odd, check=False, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    # A rank that leaves at once is not one that failed to meet the others.
    assert done.stderr == (
        "vfm: A batch of 3 does not divide among 2 ranks: use a multiple of 2 as batch size.\n"
    )


def test_nothing_to_extend_makes_no_folder(args, tmp_path):
    with pytest.raises(UsageError, match="holds no checkpoint to extend: leave out --extend"):
        invoke(*args, "--steps", 2, "--extend")
    assert not (tmp_path / "run").exists()


def test_help_shows_every_option():
    text = CliRunner().invoke(group, ["pretrain", "--help"]).stdout
    for option in (
        "--init",
        "--extend",
        "--out",
        "--set",
        "--epochs",
        "--steps",
        "--batch-size",
        "--workers",
        "--no-fallback",
    ):
        assert option in text


# From here on, whole processes that are signalled and killed.


def start(
    data: Path, out: Path, *more: str, python: str = sys.executable, steps: int = 40
) -> subprocess.Popen[str]:
    arguments = ["pretrain", "vimpac-tiny", str(data), "--out", str(out), "--steps", str(steps), *SETTINGS]
    every = ["--batch-size", "4", "--set", "train.checkpoint_every=3", "--set", "train.log_every=1"]
    return subprocess.Popen(
        [python, "-m", "vfm.cli", *arguments, *every, "--device", "cpu", *more],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    said = process.communicate(timeout=120)[1]
    return process.returncode, said


def wait_for(process: subprocess.Popen[str], *texts: str) -> None:
    """Wait until the process says one of these."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if any(text in line for text in texts):
            return
    pytest.fail(f"the process ended without saying {' or '.join(texts)}: {''.join(said)}")


def state(out: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, object]]:
    found = newest(out / "checkpoints", fall_back=False, say=print)
    assert found is not None
    kept = {key: found.state[key] for key in ("step", "place", "meter", "recipe", "dataset", "tied")}
    return found.model(), found.optim(), kept


def assert_same(one: Path, other: Path) -> None:
    """Every tensor and number of two finished runs is equal, bit for bit."""
    for mine, theirs in zip(state(one), state(other), strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            same = (
                torch.equal(value, theirs[name]) if isinstance(value, torch.Tensor) else value == theirs[name]
            )
            assert same, name


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, write_toy_dataset, warm_python):
    """Return a dataset and a run on it that nothing disturbed."""
    root = tmp_path_factory.mktemp("unbroken")
    data = write_toy_dataset(root / "data")
    status, said = finish(start(data, root / "run", python=warm_python))
    assert status == 0, said
    return data, root / "run"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_saves_and_the_same_command_goes_on(unbroken, tmp_path, warm_python, number, status):
    data, whole = unbroken
    process = start(data, tmp_path / "run", python=warm_python)
    wait_for(process, "2 of 40 updates, loss ")
    process.send_signal(number)
    found, said = finish(process)
    assert found == status, said
    name = signal.Signals(number).name
    assert f"Stopped by {name} after step " in said
    assert "run the same command again to resume" in said
    stopped_at = int(said.split(f"{name} after step ")[1].split()[0])
    assert newest(tmp_path / "run" / "checkpoints", fall_back=False, say=print).step == stopped_at
    found, said = finish(start(data, tmp_path / "run", python=warm_python))
    assert found == 0, said
    assert f"Going on from step {stopped_at} of 40" in said
    assert_same(whole, tmp_path / "run")


def kill_at_random_moments(data: Path, out: Path, *, python: str, kills: int, seed: int) -> int:
    """Kill a run again and again, wherever it is, until it is done; return how often it was hit."""
    rng, hits = random.Random(seed), 0
    while hits < kills:
        process = start(data, out, python=python)
        wait_for(process, " of 40 updates, loss ", "Already trained to the end")
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        status, said = finish(process)
        if status == 0 or "Already" in said:
            break
        hits += 1
    status, said = finish(start(data, out, python=python))
    assert status == 0, said
    return hits


def test_killed_and_run_again_equals_unbroken(unbroken, tmp_path, warm_python):
    data, whole = unbroken
    assert kill_at_random_moments(data, tmp_path / "run", python=warm_python, kills=2, seed=0) >= 1
    assert_same(whole, tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_many_times_equals_unbroken(unbroken, tmp_path, seed):
    data, whole = unbroken
    kill_at_random_moments(data, tmp_path / "run", python=sys.executable, kills=10, seed=seed)
    assert_same(whole, tmp_path / "run")


@pytest.mark.parametrize("name", ["videomae-tiny-classify", "vimpac-small-classify"])
def test_a_recipe_for_finetuning_is_one_sentence(toy_dataset, tmp_path, name):
    with pytest.raises(UsageError, match=f"{name} is a recipe for finetuning: use `vfm finetune classify"):
        CliRunner().invoke(
            command,
            [name, str(toy_dataset()), "--out", str(tmp_path / "run")],
            catch_exceptions=False,
            standalone_mode=False,
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGUSR1, 138, marks=pytest.mark.slow)],
)
def test_signal_to_all_processes_saves_and_ends_the_workers(unbroken, tmp_path, number, status):
    """What a scheduler sends, it sends to the workers too."""
    process = start(unbroken[0], tmp_path / "run", "--workers", "2", steps=100_000)
    wait_for(process, "2 of 100000 updates, loss ")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    os.killpg(process.pid, number)
    ended, said = finish(process)
    assert ended == status, said
    assert "Traceback" not in said
    assert newest(tmp_path / "run" / "checkpoints", fall_back=False, say=print) is not None
    assert psutil.wait_procs(children, timeout=5)[1] == []
