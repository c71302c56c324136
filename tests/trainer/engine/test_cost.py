import json
import math

import pytest
import torch

from vfm.shards.order import Place
from vfm.trainer.data.stream import BatchStream
from vfm.trainer.engine import cost
from vfm.trainer.engine.checkpoint import newest, read
from vfm.trainer.engine.cost import Cost, measure_cost, peak_flops
from vfm.trainer.engine.loop import CHECKPOINTS_FOLDER, train
from vfm.trainer.engine.updates.optim import moments
from vfm.trainer.engine.updates.updater import Updater
from vfm.trainer.recipes.settings import override

COST = Cost(sample_flops=2e9, peak_flops=1e12, is_measured=True, floor_samples_per_s=100.0)


def updater_of(job):
    """Return what trains a toy job, and its stream of updates."""
    updater = Updater(job.method, optim=job.recipe.optim, config=job.recipe.train, world=job.world)
    stream = BatchStream(
        dataset=job.dataset, prepare=job.method.prepare, config=job.recipe.train, world=job.world
    )
    return updater, stream.updates(Place(seed=0, epoch=0, samples_seen=0), num_updates=9)


def state_of(updater):
    state = {**updater.method.state_dict(), **moments(updater.optimizer)}
    if updater.average is not None:
        state |= {f"average/{name}": tensor for name, tensor in updater.average.state().items()}
    return {name: tensor.clone() for name, tensor in state.items()}


def test_floating_point_operations_are_those_of_the_products_forward_and_backward(toy):
    job = toy.job(recipe=override(toy.recipe(), ["model.dim=8"]))
    updater, updates = updater_of(job)
    update = next(updates)
    first = next(update.micro_batches)
    found = measure_cost(updater, update, first, seed=0, batch_size=4)
    # mix: 12 inputs to 8, decoder: 8 to 16; each forward, and twice backward: by weights and by inputs.
    assert found.sample_flops == 3 * (2 * 12 * 8 + 2 * 8 * 16)
    assert found.floor_samples_per_s > 0


@pytest.mark.parametrize("num_before", [0, 2])
def test_measuring_leaves_no_trace(toy, num_before):
    job = toy.job(recipe=override(toy.recipe(), ["optim.ema_decay=0.9"]))
    updater, updates = updater_of(job)
    for _ in range(num_before):
        updater.gradients(next(updates), seed=1)
        updater.apply(lr=0.1)
    before = state_of(updater)
    update = next(updates)
    measure_cost(updater, update, next(update.micro_batches), seed=0, batch_size=4)
    after = state_of(updater)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in job.method.parameters())


def test_what_is_not_finite_spoils_no_weight(toy):
    job = toy.job()
    job.method.forward = lambda batch, forward=job.method.forward: {"loss": forward(batch)["loss"] * math.nan}
    updater, updates = updater_of(job)
    before = state_of(updater)
    update = next(updates)
    measure_cost(updater, update, next(update.micro_batches), seed=0, batch_size=4)
    after = state_of(updater)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_blocks_that_are_computed_twice_do_not_count_twice(toy):
    costs = []
    for setting in ("false", "true"):
        job = toy.job(recipe=override(toy.recipe(), [f"train.activation_checkpointing={setting}"]))
        job.method.blocks = torch.nn.ModuleList([job.method.mix])
        updater, updates = updater_of(job)
        assert ("forward" in vars(job.method.mix)) == (setting == "true")
        update = next(updates)
        costs.append(measure_cost(updater, update, next(update.micro_batches), seed=0, batch_size=4))
    assert costs[0].sample_flops == costs[1].sample_flops


def test_utilisation_is_a_share_of_the_peak():
    assert COST.utilisation(50.0) == pytest.approx(0.1)
    assert COST.told() == (
        "One cached batch again and again does 100 samples/s, which is the ceiling; a sample takes 2 GFLOP, "
        "and MFU is the share of the 1 TFLOP/s that a large product of matrices or this batch reaches "
        "here."
    )


def test_updates_faster_than_the_product_are_the_peak(toy, monkeypatch):
    monkeypatch.setattr(cost, "peak_flops", lambda *_, **__: (1.0, True))
    updater, updates = updater_of(toy.job())
    update = next(updates)
    found = measure_cost(updater, update, next(update.micro_batches), seed=0, batch_size=4)
    assert found.peak_flops == found.sample_flops * found.floor_samples_per_s > 1.0
    assert found.utilisation(found.floor_samples_per_s) == 1.0


def test_peak_of_a_known_card_is_that_of_its_data_sheet(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    assert peak_flops(torch.device("cuda"), precision="bf16") == (989e12, False)


def test_peak_of_a_cpu_is_measured():
    peak, is_measured = peak_flops(torch.device("cpu"), precision="fp32")
    assert is_measured
    assert 1e8 < peak < 1e14


def test_a_run_says_the_ceiling_once_and_logs_tokens_and_utilisation(toy, monkeypatch):
    job = toy.job(recipe=toy.recipe(max_steps=60, log_every=20))
    monkeypatch.setattr(type(job.method), "num_tokens", 18)
    train(job, resume=None)
    assert len([told for told in toy.said if "which is the ceiling" in told]) == 1
    for line in (job.out / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert record["tokens_per_s"] == pytest.approx(18 * record["samples_per_s"])
        assert 0 < record["mfu"] < math.inf
    assert "MFU" in toy.progress.figures[0]


def test_a_short_run_is_not_measured(toy):
    train(job := toy.job(), resume=None)
    assert not any("ceiling" in told for told in toy.said)
    assert "mfu" not in json.loads((job.out / "log.jsonl").read_text().splitlines()[0])


def test_measured_and_resumed_equals_not_measured(toy, monkeypatch):
    train(plain := toy.job("plain"), resume=None)
    monkeypatch.setattr("vfm.trainer.engine.loop._WORTH_MEASURING", 1)
    train(toy.job("broken"), resume=None)
    again = toy.job("broken")
    steps = sorted((again.out / CHECKPOINTS_FOLDER).iterdir())
    assert steps[0].name == "step-000008"
    train(again, resume=read(steps[0]))
    one, other = (newest(job.out / CHECKPOINTS_FOLDER, fall_back=False, say=print) for job in (plain, again))
    assert all(torch.equal(one.model()[name], tensor) for name, tensor in other.model().items())
    assert all(torch.equal(one.optim()[name], tensor) for name, tensor in other.optim().items())
