from dataclasses import replace

import numpy as np
import pytest

from vfm.trainer.engine.checkpoint import newest
from vfm.trainer.engine.loop import CHECKPOINTS_FOLDER, train
from vfm.trainer.engine.opening import Schedule, doubts
from vfm.trainer.recipes.settings import override


def opened(toy, *settings, **train_settings):
    job = toy.job(recipe=override(toy.recipe(**train_settings), ["train.precision=fp32", *settings]))
    train(job, resume=None)
    return job


def test_the_first_line_says_what_is_trained(toy, monkeypatch):
    monkeypatch.setattr("vfm.trainer.engine.opening.torch.get_num_threads", lambda: 1)
    job = opened(toy, max_steps=6, batch_size=4)
    num_parameters = sum(parameter.numel() for parameter in job.method.parameters())
    assert toy.said[0] == (
        f"Training {job.recipe.name}, {num_parameters} parameters, in fp32 on a CPU with 1 thread: "
        f"6 updates of 4 samples, 2 epochs of 12; the log is {job.out / 'log.jsonl'}."
    )


def test_one_epoch_is_one(toy):
    opened(toy, max_steps=3, batch_size=4)
    assert ": 3 updates of 4 samples, 1 epoch of 12;" in toy.said[0]


def test_every_update_is_counted_and_a_resumed_run_goes_on(toy):
    opened(toy, max_steps=6, batch_size=4)
    watched = toy.progress
    assert (watched.started, watched.num_done, watched.num_finished) == ([(6, "updates", 0)], 6, 1)
    job = toy.job(recipe=override(toy.recipe(max_steps=6, batch_size=4), ["train.precision=fp32"]))
    found = newest(job.out / CHECKPOINTS_FOLDER, fall_back=False, say=print)
    assert train(job, resume=found).step == 6
    assert watched.num_done == 6


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["optim.warmup=5"], None),
        (
            ["optim.warmup=12", "optim.lr=0.012"],
            "The warm-up of 12 updates is longer than the run of 6: the learning rate only rises, to "
            "0.005 of 0.012; train for longer, or lower optim.warmup.",
        ),
        (
            ["optim.warmup_epochs=4", "optim.lr=0.012"],
            "The warm-up of 12 updates is longer than the run of 6: the learning rate only rises, to "
            "0.005 of 0.012; train for longer, or lower optim.warmup_epochs.",
        ),
    ],
)
def test_a_warm_up_as_long_as_the_run_is_said(toy, settings, told):
    opened(toy, *settings, max_steps=6, batch_size=4)
    assert [line for line in toy.said if line.startswith("The warm-up")] == ([told] if told else [])


@pytest.mark.parametrize(
    ("splits", "selected", "told"),
    [
        (["train", "val", "test"], None, "It learns from split test, val too"),
        (["train", "val", ""], "train", ""),
        (["train", "train", ""], None, ""),
        (["val", "test", ""], None, ""),
    ],
)
def test_learning_from_what_is_counted_on_is_said(toy, splits, selected, told):
    dataset = toy.job().dataset
    dataset.splits = np.array([*splits, *[""] * (len(dataset) - len(splits))])
    recipe = override(toy.recipe(), [f"data.split={selected or 'none'}"])
    schedule = Schedule(num_updates=6, epoch_samples=12, optim=recipe.optim)
    said = list(doubts(recipe, dataset=dataset, schedule=schedule))
    assert len(said) == bool(told)
    assert all(line.startswith(told) for line in said)
    tuned = replace(recipe, task="classify")
    assert not list(doubts(tuned, dataset=dataset, schedule=schedule))
