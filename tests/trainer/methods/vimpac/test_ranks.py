"""Two processes with half a batch each take the step of one process with the whole batch."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vfm.trainer.methods.vimpac.pretrain import Vimpac
from vfm.trainer.methods.vimpac.reader import CodeReader, PretrainReader
from vfm.trainer.methods.vimpac.recipe import ModelConfig, Objective

NCE = Path(__file__).parents[3] / "golden" / "vimpac_nce_a.safetensors"
# What every rank runs; each writes down what it computed.
RANK = """
import runpy, sys, torch
from safetensors.torch import load_file, save_file
from vfm.trainer.distributed import join, wrap
from vfm.trainer.methods.vimpac.loss import nce_loss

test, fixture, temperature, folder = sys.argv[1:]
torch.set_num_threads(1)

def contrast(rank):
    first, second = load_file(fixture)["input/hidden"].chunk(2)
    half = slice(rank * len(first) // 2, (rank + 1) * len(first) // 2)
    hidden = torch.cat([first[half], second[half]]).requires_grad_()
    loss = nce_loss(hidden, temperature=float(temperature))
    loss.backward()
    return {"nce_loss": loss.detach(), "nce_grad": hidden.grad}

def step(world):
    make = runpy.run_path(test)
    method, batch = make["build"](), make["batch"]()
    start = 2 * world.rank
    wrapped = wrap(method, world=world)
    losses = wrapped({name: array[start : start + 2] for name, array in batch.items()})
    losses["loss"].backward()
    found = {f"grad/{name}": parameter.grad for name, parameter in method.named_parameters()}
    return found | {"loss": losses["loss"].detach()}

with join("cpu") as world:
    save_file(contrast(world.rank) | step(world), f"{folder}/rank{world.rank}.safetensors")
"""


def build() -> Vimpac:
    """Return a method without batch norm, which on CPUs sees one rank's half alone."""
    config = ModelConfig(
        num_layers=1,
        dim=16,
        num_heads=2,
        vocab_size=11,
        clip_len=2,
        grid_height=3,
        grid_width=3,
        dropout=0.0,
        nce_proj_layers=1,
        nce_out_dim=8,
    )
    sampler = PretrainReader(
        reader=CodeReader(column="x", vocab_size=11), clip_len=2, stride=1, objective=Objective()
    )
    method = Vimpac(config, objective=Objective(), prepare=sampler)
    method.initialize(torch.Generator().manual_seed(0))
    return method


def batch() -> dict[str, torch.Tensor]:
    """Return four samples, as many codes masked in the first two as in the last two."""
    codes = torch.randint(0, 11, (4, 2, 2, 3, 3), generator=torch.Generator().manual_seed(1))
    is_masked = torch.zeros(codes.shape, dtype=torch.bool)
    is_masked[:, :, 0, :2] = True
    return {"codes": codes.masked_fill(is_masked, 15), "labels": codes.masked_fill(~is_masked, -100)}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, rank_environments, warm_python):
    """Return what each of two ranks computed."""
    folder = tmp_path_factory.mktemp("ranks")
    temperature = json.loads(NCE.with_suffix(".json").read_text())["config"]["temperature"]
    arguments = [warm_python, "-c", RANK, __file__, NCE, str(temperature), folder]
    running = [subprocess.Popen(arguments, env=environment) for environment in rank_environments(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    return [load_file(folder / f"rank{rank}.safetensors") for rank in range(2)]


def test_contrast_reaches_over_ranks_as_in_the_reference(ranks):
    expected = load_file(NCE)
    losses = torch.stack([rank["nce_loss"] for rank in ranks])
    torch.testing.assert_close(losses, expected["output/world2_rank_losses"], atol=1e-6, rtol=0.0)
    torch.testing.assert_close(losses.mean(), expected["output/loss"], atol=1e-6, rtol=0.0)
    # Rows of a rank are first clips, then second clips; the fixture has all first clips in front.
    parts = [rank["nce_grad"].chunk(2) for rank in ranks]
    grads = torch.cat([part[clip] for clip in range(2) for part in parts])
    torch.testing.assert_close(grads, expected["output/world2_grad_hidden"], atol=1e-6, rtol=0.0)
    torch.testing.assert_close(grads, 2 * expected["output/grad_hidden"], atol=1e-6, rtol=0.0)


def test_gradients_are_those_of_the_whole_batch(ranks):
    method = build()
    loss = method(batch())["loss"]
    loss.backward()
    torch.testing.assert_close(torch.stack([rank["loss"] for rank in ranks]).mean(), loss.detach())
    for name, parameter in method.named_parameters():
        for rank in ranks:
            torch.testing.assert_close(rank[f"grad/{name}"], parameter.grad, atol=1e-6, rtol=1e-4)
