import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vfm.shards.errors import UsageError
from vfm.trainer.engine.updates.optim import (
    build_optimizer,
    load_moments,
    lr_at,
    moments,
    num_updates,
    set_lr,
    updates_per_epoch,
)
from vfm.trainer.recipes.recipe import OptimConfig, TrainConfig
from vfm.trainer.registry import load_recipe


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # 10 updates, 4 of them warm-up: 0, 1/4, 2/4, 3/4, then from 1 down over the other 6.
        ("linear", [0, 0.25, 0.5, 0.75, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ("cosine", [0, 0.25, 0.5, 0.75, *(0.5 + 0.5 * math.cos(math.pi * k / 6) for k in range(6))]),
        ("constant", [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1]),
    ],
)
@pytest.mark.parametrize("warmup", [4, 0.4, 0.45])
def test_schedule_by_hand(schedule, expected, warmup):
    config = OptimConfig(lr=2.0, warmup=warmup, schedule=schedule)
    rates = [lr_at(update, num_updates=10, config=config) for update in range(10)]
    assert rates == pytest.approx([2.0 * share for share in expected])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_rate_is_zero_after_the_last_update(schedule):
    config = OptimConfig(lr=2.0, warmup=0.1, schedule=schedule)
    assert lr_at(100, num_updates=100, config=config) == pytest.approx(0)


@pytest.mark.needs("shared")
def test_a_cosine_with_a_floor_is_that_of_the_reference(shared):
    fixture = shared / "golden" / "videomae_schedule_a"
    of = json.loads(fixture.with_suffix(".json").read_text())["config"]
    num_updates = of["epochs"] * of["niter_per_ep"]
    warmup = of["warmup_epochs"] * of["niter_per_ep"]
    config = OptimConfig(
        lr=of["base_value"], min_lr=of["final_value"], warmup=warmup, warmup_peak="last", schedule="cosine"
    )
    rates = [1e6 * lr_at(update, num_updates=num_updates, config=config) for update in range(num_updates)]
    expected = load_file(fixture.with_suffix(".safetensors"))["output/schedule_times_1e6"]
    assert rates == pytest.approx(expected.tolist(), rel=1e-6)


PUBLISHED = {
    # highest rate, lowest, first; epochs, of which warm-up; samples, draws of each; layer decay, drop path
    "umt-base-classify": (4e-4, 2e-6, 2e-6, 35, 2, 256, 2, 0.75, 0.1),
    "umt-large-classify": (2e-4, 2e-6, 2e-6, 20, 2, 256, 2, 0.85, 0.2),
    "umt-base-classify-k400": (4e-5, 2e-6, 2e-6, 5, 1, 256, 2, 0.75, 0.1),
    "umt-large-classify-k400": (2e-5, 2e-6, 2e-6, 5, 1, 256, 2, 0.85, 0.2),
    "umt-base-classify-mit": (2e-4, 2e-6, 2e-6, 40, 5, 512, 1, 0.75, 0.1),
    "umt-large-classify-mit": (2e-4, 2e-6, 2e-6, 20, 5, 512, 1, 0.85, 0.2),
    "umt-base-classify-ssv2": (4e-4, 2e-6, 2e-6, 30, 5, 256, 2, 0.75, 0.1),
    "umt-large-classify-ssv2": (8e-4, 2e-6, 2e-6, 14, 4, 256, 2, 0.85, 0.2),
    "videomae-small-classify": (7.5e-4, 1.5e-6, 0, 150, 5, 384, 2, 0.75, 0.1),
    "videomae-base-classify": (7.5e-4, 1.5e-6, 0, 75, 5, 384, 2, 0.75, 0.1),
    "videomae-base-classify-800": (2e-3, 2e-6, 0, 100, 5, 512, 1, 0.75, 0.1),
    "videomae-large-classify": (1e-3, 5e-7, 0, 35, 5, 128, 2, 0.75, 0.1),
    "videomae-huge-classify": (2e-3, 2e-5, 0, 50, 5, 512, 2, 0.75, 0.2),
    "videomae-base-classify-ssv2": (7.5e-4, 1.5e-6, 0, 30, 5, 384, 2, 0.75, 0.1),
    "videomae-small-classify-ssv2": (1.5e-3, 1.5e-6, 0, 40, 5, 384, 2, 0.7, 0.1),
    "videomae-base-classify-ucf101": (2.5e-4, 5e-6, 0, 100, 5, 128, 2, 0.7, 0.2),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_finetunings_have_their_numbers(name):
    highest, lowest, first, epochs, warmup, batch_size, num_draws, layer_decay, drop_path = PUBLISHED[name]
    recipe = load_recipe(name)
    assert (recipe.name, recipe.task) == (name, "classify")
    config = recipe.optim.for_run(batch_size=batch_size, updates_per_epoch=100)
    run = {"num_updates": 100 * epochs, "config": config}
    rates = [lr_at(update, **run) for update in (0, 100 * warmup - 1, 100 * warmup, 100 * epochs)]
    assert rates == pytest.approx([first, highest, highest, lowest])
    assert (recipe.train.epochs, recipe.train.batch_size) == (epochs, batch_size)
    assert (config.betas, config.weight_decay, config.clip_norm) == ((0.9, 0.999), 0.05, None)
    assert (config.layer_decay, recipe.model.drop_path) == (layer_decay, drop_path)
    augment, is_directed = recipe.objective.augment, "ssv2" in name
    assert (augment.num_draws, augment.flip) == (num_draws, 0.0 if is_directed else 0.5)
    assert (augment.rand_augment, augment.crop_area, augment.erase) == ("rand-m7-n4-mstd0.5-inc1", 0.08, 0.25)
    objective = recipe.objective
    assert (objective.mixup, objective.cutmix, objective.label_smoothing) == (0.8, 1.0, 0.1)
    has_few = name in ("videomae-huge-classify", "videomae-base-classify-ucf101")
    assert objective.last_dropout == (0.5 if has_few else 0.0)
    sampling = "ssv2" if is_directed else "sparse" if name.startswith("umt") else "dense"
    assert recipe.data.sampling == sampling


def test_a_warm_up_may_begin_above_zero():
    config = OptimConfig(lr=1.0, warmup_start=0.2, warmup=5, warmup_peak="last", schedule="constant")
    rates = [lr_at(update, num_updates=8, config=config) for update in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    with pytest.raises(UsageError, match=r"optim.warmup_start is 2.0, but must be between 0 and optim.lr"):
        OptimConfig(lr=1.0, warmup_start=2.0)


def test_rates_grow_with_the_batch():
    run = {"batch_size": 2048, "updates_per_epoch": 10}
    config = OptimConfig(lr=1.5e-4, min_lr=1e-5, lr_batch_size=256).for_run(**run)
    assert (config.lr, config.min_lr) == (pytest.approx(1.2e-3), pytest.approx(8e-5))
    assert config.for_run(batch_size=64, updates_per_epoch=1) == config
    assert OptimConfig(lr=1.0).for_run(**run) == OptimConfig(lr=1.0)


@pytest.mark.parametrize(("drop_last", "expected"), [(False, 12), (True, 10)])
def test_a_warm_up_in_epochs_does_not_grow_with_the_run(drop_last, expected):
    for epochs in (8, 80):
        train = TrainConfig(epochs=epochs, batch_size=8, drop_last=drop_last)
        per_epoch = updates_per_epoch(train, num_samples=20)
        config = OptimConfig(lr=1.0, warmup_epochs=5).for_run(batch_size=8, updates_per_epoch=per_epoch)
        total = num_updates(train, num_samples=20)
        rates = [lr_at(update, num_updates=total, config=config) for update in range(expected + 1)]
        assert rates == pytest.approx([update / expected for update in range(expected + 1)])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_rates_end_at_their_floor(schedule):
    config = OptimConfig(lr=1.0, min_lr=0.25, warmup=0, schedule=schedule)
    assert lr_at(0, num_updates=8, config=config) == 1.0
    assert lr_at(4, num_updates=8, config=config) == pytest.approx(0.625)
    assert lr_at(8, num_updates=8, config=config) == pytest.approx(0.25)


def test_no_warm_up_starts_at_the_top():
    config = OptimConfig(lr=2.0, warmup=0)
    assert [lr_at(update, num_updates=4, config=config) for update in range(4)] == [2.0, 1.5, 1.0, 0.5]


def test_warm_up_longer_than_the_run_never_reaches_the_top():
    config = OptimConfig(lr=1.0, warmup=10)
    assert [lr_at(update, num_updates=3, config=config) for update in range(3)] == [0.0, 0.1, 0.2]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"epochs": 10, "batch_size": 4}, 25),
        ({"epochs": 3, "batch_size": 4}, 7),
        ({"epochs": 10, "batch_size": 4, "drop_last": True}, 20),
        ({"epochs": 3, "batch_size": 10, "drop_last": True}, 3),
        ({"max_steps": 5, "batch_size": 4}, 5),
    ],
)
def test_number_of_updates(settings, expected):
    assert num_updates(TrainConfig(**settings), num_samples=10) == expected


@pytest.mark.parametrize("settings", [{"epochs": 20}, {"max_steps": 5}, {"epochs": 20, "drop_last": True}])
def test_a_batch_larger_than_the_dataset_is_refused(settings):
    with pytest.raises(
        UsageError, match="A batch of 11 is more than the 10 samples there are: lower it with"
    ):
        num_updates(TrainConfig(batch_size=11, **settings), num_samples=10)


class Net(nn.Sequential):
    """Two layers and a head, of which biases are not decayed."""

    def no_weight_decay(self, name):
        return "bias" in name

    def layers_above(self, name):
        return 2 - int(name[0])

    def lr_factor(self, name):
        return 1.0


class WithoutLayers(Net):
    def layers_above(self, name):
        return None


def net():
    torch.manual_seed(0)
    return Net(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 1))


def test_decay_groups_and_frozen_parameters():
    model = net()
    model[2].weight.requires_grad_(False)
    config = OptimConfig(lr=1.0, weight_decay=0.3, betas=(0.8, 0.9), eps=1e-6)
    optimizer = build_optimizer(model, config=config)
    groups = [(g["weight_decay"], g["param_names"], g["betas"], g["eps"]) for g in optimizer.param_groups]
    assert groups == [
        (0.3, ["0.weight", "1.weight"], (0.8, 0.9), 1e-6),
        (0.0, ["0.bias", "1.bias", "2.bias"], (0.8, 0.9), 1e-6),
    ]
    assert all(group["fused"] for group in optimizer.param_groups)


def test_layers_learn_at_rates_of_their_own():
    config = OptimConfig(lr=1.0, weight_decay=0.3, layer_decay=0.5)
    optimizer = build_optimizer(net(), config=config)
    set_lr(optimizer, 0.8)
    groups = [(group["lr"], group["weight_decay"], group["param_names"]) for group in optimizer.param_groups]
    assert groups == [
        (0.2, 0.3, ["0.weight"]),
        (0.2, 0.0, ["0.bias"]),
        (0.4, 0.3, ["1.weight"]),
        (0.4, 0.0, ["1.bias"]),
        (0.8, 0.3, ["2.weight"]),
        (0.8, 0.0, ["2.bias"]),
    ]


def test_a_method_gives_parameters_a_share_of_the_rate():
    model = net()
    model.lr_factor = lambda name: 0.1 if name == "2.weight" else 1.0
    optimizer = build_optimizer(model, config=OptimConfig(lr=1.0, layer_decay=0.5))
    set_lr(optimizer, 0.8)
    found = {name: group["lr"] for group in optimizer.param_groups for name in group["param_names"]}
    assert found["2.weight"] == pytest.approx(0.08)
    assert (found["2.bias"], found["1.weight"], found["0.weight"]) == (0.8, 0.4, 0.2)


def test_layer_decay_of_a_method_without_layers_is_refused():
    model = WithoutLayers(nn.Linear(1, 1))
    assert len(build_optimizer(model, config=OptimConfig(lr=1.0)).param_groups) == 2
    with pytest.raises(UsageError, match=r"optim.layer_decay is 0.75, and this recipe has no layers"):
        build_optimizer(model, config=OptimConfig(lr=1.0, layer_decay=0.75))
    with pytest.raises(UsageError, match=r"optim.layer_decay is 0.0, but must be above 0, at most 1"):
        OptimConfig(lr=1.0, layer_decay=0.0)


def test_one_step_by_hand():
    model = Net(nn.Linear(1, 1, bias=False))
    model[0].weight.data.fill_(1.0)
    config = OptimConfig(lr=0.5, weight_decay=0.1, betas=(0.9, 0.98), eps=1e-8)
    optimizer = build_optimizer(model, config=config)
    set_lr(optimizer, 0.1)
    model[0].weight.grad = torch.full((1, 1), 3.0)
    optimizer.step()
    # Bias correction makes the first Adam step the sign of the gradient.
    assert model[0].weight.item() == pytest.approx(1.0 * (1 - 0.1 * 0.1) - 0.1, abs=1e-6)


def test_moments_survive_by_name():
    def trained(steps, carried=None):
        model = net()
        config = OptimConfig(lr=0.1, layer_decay=0.5)
        optimizer = build_optimizer(model, config=config)
        for step in range(steps):
            if step == 2 and carried:
                other = net()
                other.load_state_dict(model.state_dict())
                tensors = {name: tensor.clone() for name, tensor in moments(optimizer).items()}
                model, optimizer = other, build_optimizer(other, config=config)
                load_moments(optimizer, tensors)
            optimizer.zero_grad()
            model(torch.ones(4, 3) * (step + 1)).square().sum().backward()
            optimizer.step()
        return model.state_dict(), moments(optimizer)

    (weights, plain), (carried_weights, carried) = trained(5), trained(5, carried=True)
    assert sorted(plain)[:2] == ["exp_avg/0.bias", "exp_avg/0.weight"]
    for mine, theirs in ((weights, carried_weights), (plain, carried)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
