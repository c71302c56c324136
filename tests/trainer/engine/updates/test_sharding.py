"""Two ranks that hold a part of everything each, against those that hold all of it."""

import json
import shutil
import subprocess

import pytest
import torch

from vfm.trainer.engine.checkpoint import newest
from vfm.trainer.engine.updates.sharding import part_of, whole, whole_state

# Gradients that should be zero, such as those of a key's bias, which softmax cancels, are rounding noise, of
# which Adam would make whole steps but for an eps far above them.
COMMON = (
    *("train.log_every=1", "train.precision=fp32"),
    *("optim.clip_norm=0.5", "optim.ema_decay=0.9", "optim.eps=1e-3"),
)
PIXELS = (
    *("model.image_px=32", "model.depth=2", "data.clip_len=4", "train.micro_batch_size=2"),
    *("train.validate_epochs=1", "train.validate_knn=true"),
)
PARTS = ("train.parallel=fsdp", "train.activation_checkpointing=true")
CODES = ("model.dim=32", "model.num_layers=2", "model.nce_proj_dim=16", "data.clip_len=3")


@pytest.fixture
def pretrain(data, tmp_path, warm_python, rank_environments):
    """Return what pretrains in processes of their own and returns the last checkpoint and the records."""

    def run(recipe, name, *settings, steps=4, nproc=1):
        arguments = [recipe, data, "--out", tmp_path / name, "--steps", steps, "--batch-size", 8]
        arguments += [part for setting in (*COMMON, *settings) for part in ("--set", setting)]
        arguments += ["--device", "cpu", "--accept-data", "--split", "train", "--threads", 1]
        line = [warm_python, "-m", "vfm.cli", "pretrain", *map(str, arguments)]
        ranks = [subprocess.Popen(line, env=environment) for environment in rank_environments(nproc)]
        assert [rank.wait(timeout=300) for rank in ranks] == [0] * nproc
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        found = newest(tmp_path / name / "checkpoints", fall_back=False, say=print)
        return found, [json.loads(record) for record in lines]

    return run


def assert_close(one, other):
    for kind in ("model", "optim", "average"):
        mine, theirs = getattr(one, kind)(), getattr(other, kind)()
        assert mine.keys() == theirs.keys()
        for name, tensor in mine.items():
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-4, atol=1e-6, msg=f"{kind} {name}")
    assert one.state["tied"] == other.state["tied"]


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_toy_dataset):
    return write_toy_dataset(tmp_path_factory.mktemp("sharding") / "data", num_samples=24)


def test_parts_learn_what_the_whole_does(pretrain):
    alone, told = pretrain("videomae-tiny", "alone", *PIXELS)
    sharded, told_by_parts = pretrain("videomae-tiny", "sharded", *PIXELS, *PARTS, nproc=2)
    assert_close(alone, sharded)
    for mine, theirs in zip(told, told_by_parts, strict=True):
        for name in ("loss", "grad_norm", "val_loss", "knn_accuracy"):
            assert mine.get(name, 0) == pytest.approx(theirs.get(name, 0), rel=1e-5), name


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(PARTS, (), id="parts first"),
        pytest.param((), PARTS, id="whole first", marks=pytest.mark.slow),
    ],
)
def test_either_goes_on_with_the_other(pretrain, tmp_path, first, then):
    alone, _ = pretrain("videomae-tiny", "alone", *PIXELS)
    every = (*PIXELS, "train.checkpoint_every=2")
    pretrain("videomae-tiny", "mixed", *every, *first, nproc=2)
    shutil.rmtree(tmp_path / "mixed" / "checkpoints" / "step-000004")
    found, _ = pretrain("videomae-tiny", "mixed", *every, *then, nproc=2)
    assert found.step == 4
    assert_close(alone, found)


def test_tied_weights_and_batch_norms_of_parts_are_as_those_of_the_whole(pretrain):
    one, _ = pretrain("vimpac-tiny", "ddp", *CODES, nproc=2)
    other, _ = pretrain("vimpac-tiny", "fsdp", *CODES, "train.parallel=fsdp", nproc=2)
    assert_close(one, other)
    assert other.state["tied"]["mlm_head.decoder.weight"] == "backbone.embedding.weight"


def test_what_is_not_divided_is_whole():
    layer = torch.nn.Linear(2, 3)
    layer.again = layer.weight
    assert whole(layer.bias) is layer.bias
    assert torch.equal(part_of(torch.ones(3), like=layer.bias), torch.ones(3))
    state = whole_state(layer, keep=lambda tensor: 2 * tensor)
    assert torch.equal(state["weight"], 2 * layer.weight)
    assert state["weight"] is state["again"]
    assert not state["weight"].requires_grad
