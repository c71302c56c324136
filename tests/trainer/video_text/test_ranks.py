"""Two processes with half of the pairs each compute what one with all of them does."""

import subprocess

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vfm.trainer.data.tube_masked_clips import TubeMaskedClips
from vfm.trainer.distributed import World
from vfm.trainer.evaluation.retrieval.similarity import text_vectors
from vfm.trainer.methods.simvtp.finetuned import build_video_text
from vfm.trainer.methods.simvtp.pretrain import Simvtp
from vfm.trainer.methods.simvtp.recipe import tiny
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.recipes.settings import override
from vfm.trainer.tasks.retrieve.pairs import RandomPair
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.video_text.captions import CaptionReader, TextColumn
from vfm.trainer.video_text.contrast import contrast_loss, soft_contrast_loss

# What every rank runs; each writes down what it computed.
RANK = """
import runpy, sys, torch
from safetensors.torch import save_file
from vfm.trainer.distributed import join, wrap

test, folder = sys.argv[1:]
torch.set_num_threads(1)
make = runpy.run_path(test)

def step(name, network, world):
    start = 3 * world.rank
    mine = {key: array[start : start + 3] for key, array in make["batch"]().items()}
    wrapped = wrap(network, world=world)
    losses = wrapped(mine)
    losses["loss"].backward()
    grads = {key: p.grad for key, p in network.named_parameters() if p.grad is not None}
    found = {f"{name}/grad/{key}": grad for key, grad in grads.items()}
    return found | {f"{name}/{key}": value.detach() for key, value in losses.items()}

with join("cpu") as world:
    text, video, ids = make["vectors"]()
    half = slice(3 * world.rank, 3 * world.rank + 3)
    text, video = text[half].requires_grad_(), video[half].requires_grad_()
    loss = make["contrast_loss"](text, video, temperature=0.1, caption_ids=ids[half], across_ranks=True)
    loss.backward()
    found = {"loss": loss.detach(), "text": text.grad, "video": video.grad}
    text, video = (rows.detach().clone().requires_grad_() for rows in (text, video))
    temperature = torch.tensor(0.1, requires_grad=True)
    soft = make["soft_contrast_loss"](
        text, video, temperature=temperature, caption_ids=ids[half], across_ranks=True
    )
    soft.backward()
    found |= {"soft/loss": soft.detach(), "soft/text": text.grad, "soft/video": video.grad}
    found["soft/temperature"] = temperature.grad
    found |= step("retrieve", make["retrieve"](), world)
    found |= step("pretrain", make["pretrain"](), world)
    found["texts"] = make["text_vectors"](make["retrieve"]().eval(), make["rows"](), world=world)
    save_file(found, f"{folder}/rank{world.rank}.safetensors")
"""
COLUMN = TextColumn(name="text.x", vocab_size=16, pad_id=0, mask_id=4, special_ids=(0, 1, 2, 3, 4))
SIZES = (
    *("model.image_px=16", "model.dim=16", "model.num_heads=2", "model.depth=1", "model.decoder_dim=8"),
    *(
        "model.decoder_heads=2",
        "model.decoder_depth=1",
        "model.text_dropout=0",
        "objective.across_ranks=true",
    ),
    "data.stride=1",
)


def vectors():
    """Return vectors of six captions and six videos, and numbers of captions of which two are the same."""
    generator = torch.Generator().manual_seed(0)
    text, video = (torch.randn(6, 5, generator=generator) for _ in range(2))
    return text, video, torch.tensor([1, 2, 3, 4, 1, 6])


def retrieve():
    """Return the finetuning of two encoders."""
    recipe = override(tiny(), SIZES)
    pair = RandomPair(clips=None, captions=CaptionReader(column=COLUMN, max_ids=8))
    return Retrieve(build_video_text(recipe, COLUMN), config=RetrieveConfig(across_ranks=True), prepare=pair)


def pretrain():
    """Return the pretraining method."""
    method = Simvtp(override(tiny(), SIZES), column=COLUMN)
    assert isinstance(method.prepare.clips, TubeMaskedClips)
    method.initialize(torch.Generator().manual_seed(0))
    return method


def batch():
    """Return six pairs, as much hidden in the first three as in the last three."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 16, (6, 5), generator=generator)
    ids[:, 0], ids[:, 4] = 2, 3
    is_masked = torch.zeros(ids.shape, dtype=torch.bool)
    is_masked[:, 2] = True
    is_hidden = torch.zeros(6, 8, dtype=torch.bool)
    is_hidden[:, [0, 1, 2, 4, 5, 6]] = True
    clip = torch.randint(0, 256, (6, 4, 16, 16, 3), generator=generator, dtype=torch.uint8)
    return {
        "clip": clip,
        "is_hidden": is_hidden,
        "ids": ids,
        "num_ids": torch.full((6,), 5),
        "labels": ids.masked_fill(~is_masked, -100),
        "caption_id": torch.tensor([1, 2, 3, 4, 1, 6]),
    }


def rows():
    """Return 40 captions, of two to seven ids."""
    rng = np.random.default_rng(0)
    return tuple(rng.integers(5, 16, size) for size in rng.integers(2, 8, 40))


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, rank_environments, warm_python):
    """Return what each of two ranks computed."""
    folder = tmp_path_factory.mktemp("ranks")
    arguments = [warm_python, "-c", RANK, __file__, folder]
    running = [subprocess.Popen(arguments, env=environment) for environment in rank_environments(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    return [load_file(folder / f"rank{rank}.safetensors") for rank in range(2)]


def mean_of(ranks, name):
    return torch.stack([rank[name] for rank in ranks]).mean(0)


def test_contrast_reaches_over_ranks_and_its_gradient_comes_back(ranks):
    text, video, ids = vectors()
    text.requires_grad_(), video.requires_grad_()
    loss = contrast_loss(text, video, temperature=0.1, caption_ids=ids)
    loss.backward()
    torch.testing.assert_close(mean_of(ranks, "loss"), loss.detach())
    for name, whole in (("text", text.grad), ("video", video.grad)):
        # Twice as much, as the gradients of parameters are averaged over two ranks.
        parts = torch.cat([rank[name] for rank in ranks]) / 2
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-5)


def test_soft_contrast_reaches_over_ranks_too(ranks):
    text, video, ids = vectors()
    text.requires_grad_(), video.requires_grad_()
    temperature = torch.tensor(0.1, requires_grad=True)
    loss = soft_contrast_loss(text, video, temperature=temperature, caption_ids=ids, across_ranks=False)
    loss.backward()
    torch.testing.assert_close(mean_of(ranks, "soft/loss"), loss.detach())
    torch.testing.assert_close(mean_of(ranks, "soft/temperature"), temperature.grad)
    for name, whole in (("soft/text", text.grad), ("soft/video", video.grad)):
        parts = torch.cat([rank[name] for rank in ranks]) / 2
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-5)


def test_finetuning_takes_the_step_of_one_process(ranks):
    task = retrieve()
    losses = task(batch())
    losses["loss"].backward()
    torch.testing.assert_close(mean_of(ranks, "retrieve/loss"), losses["loss"].detach())
    learned = {name: p.grad for name, p in task.named_parameters() if p.grad is not None}
    assert len(learned) > 20
    for name, grad in learned.items():
        for rank in ranks:
            torch.testing.assert_close(rank[f"retrieve/grad/{name}"], grad, atol=1e-6, rtol=1e-4)


def test_pretraining_contrasts_the_pairs_of_both_ranks(ranks):
    method = pretrain()
    losses = method(batch())
    for name in ("pixel_loss", "mlm_loss", "vtc_loss"):
        torch.testing.assert_close(mean_of(ranks, f"pretrain/{name}"), losses[name])
    # Which clips are said not to belong is drawn among those of a rank.
    assert all(0 < rank["pretrain/vtm_loss"].item() < 2 for rank in ranks)


def test_captions_are_encoded_alike_on_any_number_of_ranks(ranks):
    task = retrieve().eval()
    alone = text_vectors(task, rows(), world=World(device=torch.device("cpu")))
    assert alone.shape == (40, 16)
    for rank in ranks:
        torch.testing.assert_close(rank["texts"], alone)
