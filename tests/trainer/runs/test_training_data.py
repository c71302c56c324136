"""A run that learns from several datasets: each gives what its weight says, resumed or not."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.shards.order import Place
from vfm.shards.reading.mixture import Source
from vfm.trainer.data.stream import BatchStream
from vfm.trainer.distributed import World
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.runs.run import pretrain
from vfm.trainer.runs.training_data import open_training_data

TINY = (
    "model.num_layers=1",
    "model.dim=16",
    "model.num_heads=2",
    "data.clip_len=3",
    "train.batch_size=4",
    "train.precision=fp32",
)
PRETRAINING = (*TINY, "model.nce_proj_dim=8", "train.checkpoint_every=3", "data.split=train")


@pytest.fixture
def said():
    return []


@pytest.fixture
def sources(toy_dataset):
    one, two = toy_dataset("one", num_samples=12), toy_dataset("two", num_samples=6)
    return [Source(data=one, weight=0.5), Source(data=two, weight=2)]


@pytest.fixture
def go(sources, tmp_path, said):
    def start(out, *settings, sources=sources):
        recipe = override(load_recipe("vimpac-tiny"), [*PRETRAINING, *settings])
        options = RunOptions(device="cpu", say=said.append)
        return pretrain(recipe, data=sources, out=tmp_path / out, options=options)

    return start


def test_epochs_hold_what_the_weights_say(sources, said):
    recipe = override(load_recipe("vimpac-tiny"), PRETRAINING)
    recipe, dataset = open_training_data(recipe, sources, say=said.append)
    assert recipe.data.columns == ("vq.toy",)
    one, two = sources[0].data, sources[1].data
    assert said == [
        f"An epoch draws 4 from the 8 samples of {one}, 33% of it; "
        f"and 8 from the 4 samples of {two}, 67% of it."
    ]
    config = override(recipe, ["train.batch_size=6", "train.drop_last=false"]).train
    stream = BatchStream(
        dataset=dataset, prepare=read_nothing, config=config, world=World(device=torch.device("cpu"))
    )
    drawn = [
        index
        for update in stream.updates(Place(seed=0), num_updates=4)
        for micro_batch in update.micro_batches
        for index in micro_batch.indices
    ]
    assert Counter(drawn) == {**dict.fromkeys(range(8), 1), **dict.fromkeys(range(8, 12), 4)}


def read_nothing(_dataset, index, _rng):
    return {"index": np.int64(index)}


def test_a_mixed_run_resumes_as_if_it_had_not_stopped(go, sources, tmp_path):
    assert go("run", "train.max_steps=6").step == 6
    out = tmp_path / "run"
    told = json.loads((out / "run.json").read_text())
    assert told["data"] == {str(sources[0].data): 4, str(sources[1].data): 8}
    last = newest_checkpoint(out, options=RunOptions(say=print))
    weights = (last.path / "model.safetensors").read_bytes()
    shutil.rmtree(last.path)
    assert go("run", "train.max_steps=6").step == 6
    assert (last.path / "model.safetensors").read_bytes() == weights


def test_other_weights_are_another_run(go, sources):
    go("run", "train.max_steps=2")
    with pytest.raises(UsageError, match="the samples of the dataset, or their order"):
        go("run", "train.max_steps=2", sources=[sources[0], Source(data=sources[1].data)])


def test_a_weight_that_draws_nothing_is_refused(go, sources):
    little = Source(data=sources[1].data, weight=0.05)
    with pytest.raises(UsageError, match="An epoch draws none of the 4 samples of .*two that there are"):
        go("run", sources=[sources[0], little])


def test_finetuning_joins_classes_aloud_and_validates_on_both(toy_dataset, tmp_path, said):
    one, two = toy_dataset("one"), toy_dataset("two", classes=("left", "up", "down"))
    start = InitialWeights(recipe=load_recipe("vimpac-tiny"))
    settings = [*TINY, "train.max_steps=3", "data.split=train"]
    recipe = finetune_recipe("classify", start=start.recipe, settings=settings)
    outcome = finetune(
        recipe,
        start=start,
        data=[Source(data=one), Source(data=two)],
        out=tmp_path / "fine",
        options=RunOptions(device="cpu", say=said.append),
    )
    assert outcome.step == 3
    assert f"Classes of the same name are one: the 2 of {one} and the 3 of {two} make 4." in said
    options = RunOptions(say=print)
    assert newest_checkpoint(tmp_path / "fine", options=options).state["classes"] == [
        "down",
        "left",
        "right",
        "up",
    ]


def test_what_is_said_to_be_drawn_has_labels(toy_dataset, said):
    one, two = toy_dataset("one"), toy_dataset("two", unlabelled=(0, 1, 2))
    recipe = finetune_recipe(
        "classify", start=load_recipe("vimpac-tiny"), settings=[*TINY, "data.split=none"]
    )
    open_training_data(recipe, [Source(data=one), Source(data=two)], say=said.append)
    assert said == [
        "3 of 24 samples have no label and are left out.",
        f"An epoch draws 12 from the 12 samples of {one}, 57% of it; "
        f"and 9 from the 9 samples of {two}, 43% of it.",
    ]
    none = toy_dataset("none", unlabelled=tuple(range(12)))
    with pytest.raises(UsageError, match="An epoch draws none of the 0 samples of .*none that there are"):
        open_training_data(recipe, [Source(data=one), Source(data=none)], say=said.append)


def test_how_clips_are_is_the_mean_over_what_is_drawn(toy_dataset, said):
    recipe = override(load_recipe("vimpac-tiny"), PRETRAINING)
    one, two = toy_dataset("one"), toy_dataset("two", enlargement=1.5)
    sources = [Source(data=one), Source(data=two, weight=3)]
    recipe, dataset = open_training_data(recipe, sources, say=said.append)
    _, fit = fit_to_data(recipe, dataset, accept=True, say=said.append)
    assert (fit.stride, fit.repeated_frames, fit.enlargement) == (1, 0.0, 1.5)
    long = override(recipe, ["data.clip_len=10"])
    assert fit_to_data(long, dataset, accept=True, say=said.append)[1].repeated_frames == pytest.approx(0.2)
