import json
import math
import os
import signal
from dataclasses import replace

import pytest
import torch

from vfm.trainer.engine.checkpoint import newest, read
from vfm.trainer.engine.divergence import DivergenceError
from vfm.trainer.engine.loop import CHECKPOINTS_FOLDER, train
from vfm.trainer.recipes.settings import override


def last(job):
    found = newest(job.out / CHECKPOINTS_FOLDER, fall_back=False, say=print)
    assert found is not None
    return found


def assert_same_state(one, other):
    """Every tensor and every number a run consists of, bit for bit."""
    for kind in ("model", "optim"):
        mine, theirs = getattr(one, kind)(), getattr(other, kind)()
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert torch.equal(mine[name], theirs[name]), name
    for key in ("step", "num_steps", "place", "meter", "recipe", "dataset", "tied"):
        assert one.state[key] == other.state[key], key


def stop_after(job, step, number=signal.SIGTERM):
    """Return the job, sending itself a signal while it does the given step."""
    method, forward, calls = job.method, job.method.forward, [0]

    def counting(batch):
        calls[0] += 1
        if calls[0] == step:
            os.kill(os.getpid(), number)
        return forward(batch)

    method.forward = counting
    return job


def test_loss_falls_and_every_step_is_told(toy):
    job = toy.job(
        recipe=override(toy.recipe(max_steps=60, log_every=20), ["model.dropout=0", "optim.lr=0.05"])
    )
    outcome = train(job, resume=None)
    records = [json.loads(line) for line in (job.out / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [20, 40, 60]
    assert records[-1]["loss"] < 0.7 * records[0]["loss"]
    assert records[-1]["half"] == pytest.approx(records[-1]["loss"] / 2)
    assert records[-1]["epoch"] == 20.0
    assert (outcome.step, outcome.num_steps, outcome.signal) == (60, 60, 0)
    assert [told.split()[0] for told in toy.progress.figures] == ["loss"] * 3
    assert "samples/s" in toy.progress.figures[0]
    assert "waiting for data" in toy.progress.figures[0]


@pytest.mark.parametrize("stop", [1, 3, 4, 7])
def test_resumed_equals_unbroken(toy, stop):
    train(unbroken := toy.job("unbroken"), resume=None)
    first = train(stop_after(toy.job("broken"), stop), resume=None)
    assert (first.step, first.signal) == (stop, signal.SIGTERM)
    again = toy.job("broken")
    second = train(again, resume=last(again))
    assert (second.step, second.signal) == (10, 0)
    assert_same_state(last(unbroken), last(again))


def test_resumed_run_logs_what_an_unbroken_one_does(toy):
    train(unbroken := toy.job("unbroken"), resume=None)
    train(stop_after(toy.job("broken"), 5, signal.SIGINT), resume=None)
    train(again := toy.job("broken"), resume=last(toy.job("broken")))

    def logged(job):
        records = [json.loads(line) for line in (job.out / "log.jsonl").read_text().splitlines()]
        timings = ("samples_per_s", "data_wait", "left_s", "elapsed_s")
        return [{k: v for k, v in record.items() if k not in timings} for record in records]

    assert logged(again) == logged(unbroken)


def test_old_handlers_are_back_after_training(toy):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    train(stop_after(toy.job(), 2, signal.SIGUSR1), resume=None)
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == before


def test_second_interrupt_stops_at_once(toy):
    job = stop_after(stop_after(toy.job(), 2, signal.SIGINT), 2, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(job, resume=None)


def test_micro_batches_give_the_large_batch(toy):
    plain = override(toy.recipe(max_steps=3, batch_size=6), ["model.dropout=0"])
    train(whole := toy.job("whole", recipe=plain), resume=None)
    # 6 = 4 + 2: micro_batches of unequal size count by their samples.
    train(parts := toy.job("parts", recipe=override(plain, ["train.micro_batch_size=4"])), resume=None)
    for (name, a), b in zip(last(whole).model().items(), last(parts).model().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)


def test_gradient_is_cut_to_the_norm(toy, monkeypatch):
    seen = []
    step = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        seen.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in grads]))))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    outcome = train(toy.job(recipe=override(toy.recipe(max_steps=2), ["optim.clip_norm=0.01"])), resume=None)
    assert seen == pytest.approx([0.01, 0.01], rel=1e-3)
    assert outcome.record["grad_norm"] > 0.01


def spoil(job, key, value):
    """Return the job with a value put in place of the loss or the gradient of one sample's batch."""
    prepare, forward = job.method.prepare, job.method.forward

    def marked(dataset, index, rng):
        arrays = prepare(dataset, index, rng)
        arrays["noise"] = arrays["noise"] * 0 + (dataset.keys[index] == key)
        return arrays

    def poisoned(batch):
        losses = forward(batch)
        if bool(batch["noise"].any()):
            losses["loss"] = value(losses["loss"])
        return losses

    job.method.prepare, job.method.forward = marked, poisoned
    return job


class _BadGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * math.inf


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (lambda loss: loss * math.nan, "loss"),
        (lambda loss: loss + math.inf, "loss"),
        (_BadGradient.apply, "gradient"),
    ],
)
def test_stops_before_the_update_and_names_step_and_samples(toy, value, what):
    recipe = toy.recipe(batch_size=4, micro_batch_size=2, checkpoint_every=1)
    job = spoil(toy.job(recipe=recipe), "clip-007", value)
    with pytest.raises(DivergenceError, match=rf"The {what} of step \d+ is not finite.*clip-007") as error:
        train(job, resume=None)
    assert error.value.exit_code == 3
    bad_step = int(str(error.value).split("step ")[1].split()[0])
    state = last(job)
    assert state.step == bad_step - 1
    for name, parameter in job.method.named_parameters():
        assert torch.equal(parameter, state.model()[name]), name
    named = str(error.value).split("samples ")[1].split(":")[0].split(", ")
    assert len(named) == (2 if what == "loss" else 4)  # a micro-batch, or the whole update


def test_failing_log_is_told_once_and_training_goes_on(toy):
    job = toy.job()
    (job.out / "log.jsonl").mkdir()
    assert train(job, resume=None).step == 10
    assert len([said for said in toy.said if "log.jsonl stopped" in said]) == 1
    assert "Is a directory" in "".join(toy.said)


def test_disk_full_at_a_checkpoint_is_told_and_the_last_one_stops(toy, monkeypatch):
    job = toy.job()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("vfm.trainer.engine.loop.save", full)
    with pytest.raises(OSError, match="No space left"):
        train(job, resume=None)
    assert sum("could not be written (No space left on device)" in said for said in toy.said) == 2


def test_keeps_the_newest_checkpoints(toy):
    job = toy.job(recipe=toy.recipe(checkpoint_every=2, keep_checkpoints=3))
    train(job, resume=None)
    found = sorted(path.name for path in (job.out / CHECKPOINTS_FOLDER).iterdir())
    assert found == ["step-000006", "step-000008", "step-000010"]


def test_finished_run_has_nothing_to_do(toy):
    train(job := toy.job(), resume=None)
    outcome = train(again := toy.job(), resume=last(job))
    assert (outcome.step, outcome.record) == (10, {})
    assert_same_state(last(job), last(again))


def test_bf16_trains_and_resumes_bitwise(toy):
    recipe = toy.recipe(precision="bf16")
    train(unbroken := toy.job("unbroken", recipe=recipe), resume=None)
    train(stop_after(toy.job("broken", recipe=recipe), 5), resume=None)
    again = toy.job("broken", recipe=recipe)
    train(again, resume=last(again))
    assert_same_state(last(unbroken), last(again))


def test_checkpoint_holds_all_that_a_run_is(toy):
    train(job := toy.job(), resume=None)
    found = read(job.out / CHECKPOINTS_FOLDER / "step-000010")
    assert found.model().keys() == job.method.state_dict().keys()
    assert "norm.running_mean" in found.model()
    learned = {name for name, _ in job.method.named_parameters()}
    assert found.optim().keys() == {
        f"{kind}/{name}" for kind in ("step", "exp_avg", "exp_avg_sq") for name in learned
    }
    assert found.state["place"] == {"seed": 0, "epoch": 3, "samples_seen": 4}
    assert replace(job).identity["recipe"] == found.state["recipe"]
