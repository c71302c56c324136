"""Two ranks that hold a part of everything each, against those that hold all of it."""

import json
import os
import shutil
import subprocess
import sys

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
CODES = ("model.dim=32", "model.num_layers=2", "model.nce_proj_dim=16", "data.clip_len=3")


def pretrain(recipe, data, out, *settings, steps=4, nproc=1):
    """Pretrain in processes of their own and return the last checkpoint and the records."""
    arguments = [recipe, data, "--out", out, "--steps", steps, "--batch-size", 8, "--nproc", nproc]
    arguments += [part for setting in (*COMMON, *settings) for part in ("--set", setting)]
    arguments += ["--device", "cpu", "--accept-data", "--split", "train", "--threads", 1]
    environment = {name: value for name, value in os.environ.items() if name != "RANK"}
    line = [sys.executable, "-m", "vfm.cli", "pretrain", *map(str, arguments)]
    done = subprocess.run(line, check=False, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    records = [json.loads(record) for record in (out / "log.jsonl").read_text().splitlines()]
    return newest(out / "checkpoints", fall_back=False, say=print), records


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


def test_parts_learn_what_the_whole_does_and_either_goes_on_with_the_other(data, tmp_path):
    alone, told = pretrain("videomae-tiny", data, tmp_path / "alone", *PIXELS)
    parts = ("train.parallel=fsdp", "train.activation_checkpointing=true")
    sharded, told_by_parts = pretrain("videomae-tiny", data, tmp_path / "sharded", *PIXELS, *parts, nproc=2)
    assert_close(alone, sharded)
    for mine, theirs in zip(told, told_by_parts, strict=True):
        for name in ("loss", "grad_norm", "val_loss", "knn_accuracy"):
            assert mine.get(name, 0) == pytest.approx(theirs.get(name, 0), rel=1e-5), name

    halfway = (*PIXELS, "train.max_steps=4")
    for first, then in ((parts, ()), ((), parts)):
        out = tmp_path / f"mixed{len(first)}"
        pretrain("videomae-tiny", data, out, *halfway, *first, "train.checkpoint_every=2", nproc=2)
        shutil.rmtree(out / "checkpoints" / "step-000004")
        found, _ = pretrain("videomae-tiny", data, out, *halfway, *then, "train.checkpoint_every=2", nproc=2)
        assert found.step == 4
        assert_close(alone, found)


def test_tied_weights_and_batch_norms_of_parts_are_as_those_of_the_whole(data, tmp_path):
    one, _ = pretrain("vimpac-tiny", data, tmp_path / "ddp", *CODES, nproc=2)
    other, _ = pretrain("vimpac-tiny", data, tmp_path / "fsdp", *CODES, "train.parallel=fsdp", nproc=2)
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
