import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from support.jobs import wait_for
from vfm.shards.errors import UsageError
from vfm.trainer.distributed import World, from_chief, gather, join, largest, mean, unsynced, wrap
from vfm.trainer.engine.checkpoint import newest

CPU = World(device=torch.device("cpu"))

# What every rank runs: a toy method; given a fourth argument, a loss on rank 1 becomes NaN.
SCRIPT = """
import json, math, os, sys
from pathlib import Path
import numpy as np, torch
from torch import nn
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.errors import VfmError
from vfm.trainer.method import Method
from vfm.trainer.recipes.recipe import DataConfig, OptimConfig, Recipe, TrainConfig
from vfm.trainer.recipes.requirements import Fit
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.runs.run import RunOptions, run
from vfm.trainer.methods.vimpac.recipe import ModelConfig, Objective

torch.set_num_threads(1)
data, out, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rank = int(os.environ.get("RANK", "0"))
seen = []

class Prepare:
    def __call__(self, dataset, index, rng):
        seen.append(dataset.keys[index])
        codes = dataset.array(index, "vq.toy", "codes")[0, 0].astype(np.int64)
        return {"codes": codes, "noise": rng.random(4)}

class Toy(Method):
    columns = ("vq.toy",)
    def __init__(self, bad_rank):
        super().__init__()
        torch.manual_seed(0)
        self.prepare, self.bad_rank, self.calls = Prepare(), bad_rank, 0
        self.embedding, self.head = nn.Embedding(16, 4), nn.Linear(8, 16)
    def forward(self, batch):
        self.calls += 1
        hidden = self.embedding(batch["codes"].flatten(1)).mean(1)
        logits = self.head(torch.cat([hidden, batch["noise"].float()], 1))
        loss = nn.functional.cross_entropy(logits, batch["codes"][:, 0, 0])
        if rank == self.bad_rank and self.calls == 3:
            loss = loss * math.nan
        return {"loss": loss}
    def no_weight_decay(self, name):
        return False

def go(name, bad_rank, steps):
    recipe = Recipe(name="vimpac-tiny", method="vimpac", model=ModelConfig(), objective=Objective(),
        data=DataConfig(columns=("vq.toy",)), optim=OptimConfig(lr=0.05, warmup=0.0, schedule="constant"),
        train=TrainConfig(batch_size=4, max_steps=6, log_every=1, checkpoint_every=2, micro_batch_size=1))
    def build():
        method = Toy(bad_rank)
        forward = method.forward
        def stopping(batch):
            if method.calls == steps * (4 // int(os.environ.get("WORLD_SIZE", "1"))) - 1:
                os.kill(os.getpid(), 15)
            return forward(batch)
        method.forward = stopping
        return method
    dataset = open_dataset(data, columns=("vq.toy",))
    options = RunOptions(device="cpu", say=lambda text: None)
    start = InitialWeights(recipe=recipe)
    fit = Fit(stride=1, seconds_apart=None, repeated_frames=0.0, enlargement=1.0)
    return run(recipe, dataset=dataset, fit=fit, build=build, out=out / name, start=start, options=options)

def threads():
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]

told = {"seen": seen}
try:
    outcome = go("sound", 1 if len(sys.argv) > 4 else -1, steps)
    told |= {"step": outcome.step, "signal": outcome.signal}
except VfmError as error:
    told["error"] = str(error)
    told["threads_in_except"] = threads()
told["threads"] = threads()
(out / f"rank{rank}.json").write_text(json.dumps(told))
"""


@pytest.fixture(scope="session")
def launch(rank_environments, warm_python):
    """Return a function that runs a script in ``size`` processes and returns what each of them told."""

    def run(data, out, *arguments, size, script=SCRIPT):
        out.mkdir(exist_ok=True)
        (out / "script.py").write_text(script)
        line = [warm_python, *map(str, (out / "script.py", data, out, *arguments))]
        return _launch(line, out, environments=rank_environments(size))

    return run


def _launch(line, out, *, environments):
    ranks = [subprocess.Popen(line, env=environment, stderr=subprocess.PIPE) for environment in environments]
    complaints = [_wait(process) for process in ranks]
    assert not any(process.returncode for process in ranks), "\n".join(complaints)
    return [json.loads((out / f"rank{rank}.json").read_text()) for rank in range(len(ranks))]


def _wait(process: subprocess.Popen[bytes]) -> str:
    """Return the end of what a rank complained of; a rank that hangs is ended."""
    try:
        return process.communicate(timeout=60)[1].decode()[-2000:]
    except subprocess.TimeoutExpired:
        process.kill()
        return "timeout: " + process.communicate()[1].decode()[-2000:]


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "sound" / "log.jsonl").read_text().splitlines()]


def last(out: Path):
    return newest(out / "sound" / "checkpoints", fall_back=False, say=print)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, write_toy_dataset, launch):
    """Return the folder of the same run on one rank and on two, and what they told."""
    root = tmp_path_factory.mktemp("ranks")
    data = write_toy_dataset(root / "data")
    (alone,) = launch(data, root / "one", 99, size=1)
    pair = launch(data, root / "two", 99, size=2)
    return root, alone, pair


def test_two_ranks_share_the_stream_of_one(runs):
    _, alone, pair = runs
    for start in range(0, 24, 4):
        mine, theirs = (rank["seen"][start // 2 : start // 2 + 2] for rank in pair)
        assert mine + theirs == alone["seen"][start : start + 4]


def test_two_ranks_learn_what_one_does(runs):
    root, _, _ = runs
    assert losses(root / "two") == pytest.approx(losses(root / "one"), rel=1e-5)
    one, two = last(root / "one"), last(root / "two")
    assert one.state["place"] == two.state["place"]
    for name, tensor in one.model().items():
        torch.testing.assert_close(tensor, two.model()[name], rtol=1e-4, atol=1e-5)


def test_nan_on_one_rank_stops_all_and_names_its_samples(runs, launch, tmp_path):
    root, _, _ = runs
    pair = launch(root / "data", tmp_path, 99, "poison", size=2)
    assert pair[0]["error"] == pair[1]["error"]
    assert "The loss of step 2 is not finite" in pair[0]["error"]
    # Third micro-batch of rank 1: the first of its two samples in the second update.
    assert f"with samples {pair[1]['seen'][2]}: no weight" in pair[0]["error"]
    assert [(rank["threads_in_except"], rank["threads"]) for rank in pair] == [([], []), ([], [])]


def test_no_thread_of_the_group_outlives_it(runs):
    assert [rank["threads"] for rank in runs[2]] == [[], []]


def test_signal_to_one_rank_stops_both_and_one_rank_goes_on(runs, launch, tmp_path):
    root, alone, _ = runs
    pair = launch(root / "data", tmp_path, 3, size=2)
    assert [(rank["step"], rank["signal"]) for rank in pair] == [(3, 15), (3, 15)]
    (rest,) = launch(root / "data", tmp_path, 99, size=1)
    assert rest["seen"] == alone["seen"][12:]
    assert losses(tmp_path) == pytest.approx(losses(root / "one"), rel=1e-5)


def test_alone_nothing_is_exchanged():
    assert largest([1.0, 2.0], world=CPU) == [1.0, 2.0]
    assert mean(torch.tensor([3.0]), world=CPU).item() == 3.0
    assert gather("x", world=CPU) == ["x"]
    assert from_chief("x", world=CPU) == "x"
    module = torch.nn.Linear(1, 1)
    assert wrap(module, world=CPU) is module
    with unsynced(module):
        pass


def test_device(monkeypatch):
    with join("cpu") as world:
        assert (world.device.type, world.size, world.is_chief) == ("cpu", 1, True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with join("auto") as world:
        assert world.device.type == "cpu"
    with (
        pytest.raises(UsageError, match="torch finds no CUDA device it can use: choose --device cpu"),
        join("cuda"),
    ):
        pass


def test_what_stops_the_first_rank_is_told_by_all(runs, launch, tmp_path):
    root, _, _ = runs
    (tmp_path / "sound").write_text("")
    pair = launch(root / "data", tmp_path, 99, size=2)
    assert all("sound is a file: give --out a folder" in rank["error"] for rank in pair)


BUFFERS = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from vfm.trainer.distributed import join, wrap

class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(1))
    def forward(self, value):
        return self.scale * value + self.seen

with join("cpu") as world:
    method = Counted()
    wrapped = wrap(method, world=world)
    method.seen.fill_(10 + world.rank)
    told = []
    for _ in range(2):
        loss = wrapped(torch.ones(1))
        loss.backward()
        told.append([loss.item(), method.seen.item()])
(Path(sys.argv[2]) / f"rank{world.rank}.json").write_text(json.dumps(told))
"""


def test_every_rank_keeps_its_own_buffers(launch, tmp_path):
    first, second = launch(tmp_path, tmp_path, size=2, script=BUFFERS)
    assert (first, second) == ([[11, 10], [11, 10]], [[12, 11], [12, 11]])


RANK = """
import sys, time
from pathlib import Path
from vfm.trainer.distributed import join
with join("cpu") as world:
    (Path(sys.argv[1]) / f"rank{world.rank}").touch()
    time.sleep(120)
"""


def test_ranks_end_with_a_torchrun_that_is_killed(tmp_path):
    (tmp_path / "rank.py").write_text(RANK)
    how = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    torchrun = subprocess.Popen([sys.executable, *how, str(tmp_path / "rank.py"), str(tmp_path)])
    wait_for(lambda: len(list(tmp_path.glob("rank[01]"))) == 2, limit_s=60)
    ranks = psutil.Process(torchrun.pid).children(recursive=True)
    torchrun.kill()
    torchrun.wait()
    gone, alive = psutil.wait_procs(ranks, timeout=5)
    for rank in alive:
        rank.kill()
    assert (len(gone) >= 2, alive) == (True, [])
