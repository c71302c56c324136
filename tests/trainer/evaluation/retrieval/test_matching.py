"""Pairs of a video and a text are scored by looking at both, each once, on however many ranks."""

import subprocess

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from support.retrieval import ToyPairs
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.distributed import World
from vfm.trainer.engine.inference import Inference
from vfm.trainer.evaluation.retrieval import matching as module
from vfm.trainer.evaluation.retrieval.evaluate import texts_of
from vfm.trainer.evaluation.retrieval.matching import Matcher, pair_logits
from vfm.trainer.methods.simvtp.finetune import tiny_retrieve
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.recipes.settings import override
from vfm.trainer.tasks.retrieve import build

COLUMNS = ("frames", "text.toy")
RECIPE = override(with_columns(tiny_retrieve(), COLUMNS), ["model.image_px=32", "data.stride=1"])
CAPTIONED = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
# What every rank runs; each writes down what it computed.
RANK = """
import runpy, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from vfm.trainer.distributed import join

test, data, support, folder = sys.argv[1:]
sys.path.insert(0, support)
torch.set_num_threads(1)
with join("cpu") as world:
    found = runpy.run_path(test)["scores"](Path(data), world)
    save_file({"scores": found}, f"{folder}/rank{world.rank}.safetensors")
"""


def scores(data, world, **how):
    """Return the scores of a third of all pairs of a dataset."""
    dataset = open_dataset(data, columns=COLUMNS).select(CAPTIONED)
    task = build(RECIPE, dataset)
    task.backbone = ToyPairs()
    rows = texts_of(dataset, task.prepare.captions).rows
    wanted = torch.arange(22 * 11).view(22, 11) % 3 == 0
    matcher = Matcher(task=task, views=(2, 1), inference=Inference(world=world, batch_size=3), **how)
    return matcher.scores(dataset, rows=rows, wanted=wanted).contiguous()


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_toy_dataset):
    return write_toy_dataset(tmp_path_factory.mktemp("pairs") / "data", columns=("text.toy",))


@pytest.mark.parametrize("together", [64, 1, 3])
def test_pairs_are_scored_in_steps_as_one_by_one(monkeypatch, together):
    monkeypatch.setattr(module, "_TOGETHER", together)
    model, generator = ToyPairs(), torch.Generator().manual_seed(1)
    texts = [torch.rand(length, 3, generator=generator) for length in (2, 5, 1, 3)]
    clips = torch.rand(3, 4, 3, generator=generator)
    wanted = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.bool)
    found = pair_logits(model, texts, clips, wanted=wanted)
    for clip in range(3):
        for text in range(4):
            expected = -(texts[text].mean(0) - clips[clip].mean(0)).abs().sum() * wanted[clip, text]
            torch.testing.assert_close(found[clip, text, 1], expected, msg=f"{clip} {text}")
            assert found[clip, text, 0] == 0.5 * wanted[clip, text]


def test_scores_are_means_over_the_views_of_a_video(data):
    found = scores(data, World(device=torch.device("cpu")))
    assert (found == 0).equal(torch.arange(22 * 11).view(22, 11) % 3 != 0)
    dataset, colours = open_dataset(data, columns=COLUMNS), ToyPairs().colours.detach()
    for text, video in ((0, 0), (3, 0), (21, 3)):
        frames = (
            torch.from_numpy(np.stack(dataset.frames(CAPTIONED[video], range(8)))).float().mean((1, 2)) / 255
        )
        # Two clips of four frames, the first and the last of eight.
        views = frames.view(2, 4, 3).mean(1)
        place, kind = 8 + CAPTIONED[text // 2] % 8, 5 + CAPTIONED[text // 2] % 2
        words = [2, place, 3] if text % 2 else [2, kind, place, 3]
        expected = -(colours[words].mean(0) - views).abs().sum(1).mean()
        torch.testing.assert_close(found[text, video], expected, atol=1e-5, rtol=0)


def test_probabilities_are_of_both_logits_and_averaged_over_views(data):
    world = World(device=torch.device("cpu"))
    found, logits = scores(data, world, as_probability=True), []
    dataset = open_dataset(data, columns=COLUMNS).select(CAPTIONED)
    task = build(RECIPE, dataset)
    for view in range(2):
        frames = torch.from_numpy(np.stack(dataset.frames(0, range(4 * view, 4 * view + 4)))).float()
        words = task.prepare.captions.rows(dataset, 0)[0]
        colour = ToyPairs().colours.detach()[words].mean(0)
        logits.append(-(colour - frames.mean((0, 1, 2)) / 255).abs().sum())
    expected = torch.sigmoid(torch.stack(logits) - 0.5).mean()
    torch.testing.assert_close(found[0, 0], expected, atol=1e-5, rtol=0)
    assert (found == 0).equal(torch.arange(22 * 11).view(22, 11) % 3 != 0)


def test_two_ranks_compute_what_one_does(data, tmp_path, rank_environments, warm_python, pytestconfig):
    support = pytestconfig.rootpath / "tests"
    arguments = [warm_python, "-c", RANK, __file__, data, support, tmp_path]
    running = [subprocess.Popen(arguments, env=environment) for environment in rank_environments(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    alone = scores(data, World(device=torch.device("cpu")))
    for rank in range(2):
        found = load_file(tmp_path / f"rank{rank}.safetensors")["scores"]
        torch.testing.assert_close(found, alone, atol=1e-6, rtol=1e-5)
