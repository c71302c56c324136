import json

import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.trainer.engine.checkpoint import newest, read
from vfm.trainer.engine.loop import CHECKPOINTS_FOLDER, train
from vfm.trainer.recipes.settings import override

DECAY = 0.75


def averaging(toy, **train_settings):
    return override(toy.recipe(**train_settings), [f"optim.ema_decay={DECAY}"])


def checkpoint_of(job):
    found = newest(job.out / CHECKPOINTS_FOLDER, fall_back=False, say=print)
    assert found is not None
    return found


def test_average_is_that_of_every_update(toy):
    job = toy.job(recipe=averaging(toy, max_steps=5, checkpoint_every=1, keep_checkpoints=9))
    first = {name: tensor.clone() for name, tensor in job.method.state_dict().items()}
    train(job, resume=None)
    average = {name: tensor.double() for name, tensor in first.items()}
    for path in sorted((job.out / CHECKPOINTS_FOLDER).iterdir()):
        weights = read(path).model()
        for name, tensor in weights.items():
            average[name] = DECAY * average[name] + (1 - DECAY) * tensor.double()
    found = checkpoint_of(job).average()
    assert found.keys() == first.keys()
    for name, tensor in found.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), average[name], rtol=1e-5, atol=1e-7)
    assert int(found["norm.num_batches_tracked"]) == 5
    assert torch.equal(found["decoder.weight"], found["embedding.weight"])
    assert not torch.equal(found["mix.weight"], checkpoint_of(job).model()["mix.weight"])


def test_average_of_a_resumed_run_is_that_of_an_unbroken_one(toy):
    train(whole := toy.job("whole", recipe=averaging(toy, max_steps=8)), resume=None)
    train(toy.job("broken", recipe=averaging(toy, max_steps=8)), resume=None)
    again = toy.job("broken", recipe=averaging(toy, max_steps=8))
    (path, *_) = sorted((again.out / CHECKPOINTS_FOLDER).iterdir())
    assert path.name == "step-000004"
    train(again, resume=read(path))
    one, other = checkpoint_of(whole).average(), checkpoint_of(again).average()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_average_changes_nothing_of_the_training(toy):
    train(plain := toy.job("plain"), resume=None)
    train(kept := toy.job("kept", recipe=averaging(toy)), resume=None)
    one, other = checkpoint_of(plain), checkpoint_of(kept)
    assert all(torch.equal(one.model()[name], tensor) for name, tensor in other.model().items())
    assert not one.has_average
    assert other.has_average
    losses = [
        [json.loads(line)["loss"] for line in (job.out / "log.jsonl").read_text().splitlines()]
        for job in (plain, kept)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("decay", ["0", "1", "-0.5"])
def test_decay_outside_of_its_range_is_refused(toy, decay):
    with pytest.raises(UsageError, match=r"optim\.ema_decay is .*, but must be in \(0, 1\), or none"):
        override(toy.recipe(), [f"optim.ema_decay={decay}"])
