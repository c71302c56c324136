import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from vfm.shards.errors import DamageError, MachineError, UsageError
from vfm.shards.order import Place
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.stream import BatchStream, num_workers, stack, step_seed
from vfm.trainer.distributed import World
from vfm.trainer.methods.vimpac.reader import CodeReader, PretrainReader
from vfm.trainer.methods.vimpac.recipe import Objective
from vfm.trainer.recipes.recipe import TrainConfig

CPU = torch.device("cpu")
START = Place(seed=3, epoch=0, samples_seen=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Gives the sample's number and one random number."""

    def __call__(self, dataset, index, rng):
        return {"index": np.array(index), "draw": rng.random(1)}


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(), columns=("vq.toy",))


def read(dataset, place, count, *, rank=0, size=1, prepare=None, **settings):
    """Return, for each update, the samples and draws of one rank, and the place after the last."""
    config = TrainConfig(**{"seed": 3, "batch_size": 4, **settings})
    world = World(rank=rank, size=size, device=CPU)
    stream = BatchStream(dataset=dataset, prepare=prepare or Draw(), config=config, world=world)
    updates, after = [], place
    for update in stream.updates(place, num_updates=count):
        micro_batches = list(update.micro_batches)
        assert update.sizes == [len(micro_batch.indices) for micro_batch in micro_batches]
        for micro_batch in micro_batches:
            assert micro_batch.batch["index"].tolist() == micro_batch.indices
        updates.append(
            [
                pair
                for p in micro_batches
                for pair in zip(p.indices, p.batch["draw"][:, 0].tolist(), strict=True)
            ]
        )
        after = update.place
    return updates, after


def test_every_epoch_holds_every_sample_once(dataset):
    updates, after = read(dataset, START, 9)
    order = [index for update in updates for index, _ in update]
    for epoch in range(3):
        assert sorted(order[epoch * 12 : epoch * 12 + 12]) == list(range(12))
    assert order[:12] != order[12:24]
    assert after == Place(seed=3, epoch=3, samples_seen=0)


def test_draws_differ_between_epochs_and_seeds(dataset):
    updates, _ = read(dataset, START, 6)
    draws = [draw for update in updates for _, draw in update]
    assert len(set(draws)) == 24
    other, _ = read(dataset, Place(seed=4, epoch=0, samples_seen=0), 3, seed=4)
    assert not set(draws) & {draw for update in other for _, draw in update}


@pytest.mark.parametrize("seen", [1, 3, 5])
def test_resumed_reads_what_was_left_on_other_ranks_and_portions(dataset, seen):
    unbroken, end = read(dataset, START, 8)
    _, place = read(dataset, START, seen, micro_batch_size=3)
    shares = [read(dataset, place, 8 - seen, rank=rank, size=2, micro_batch_size=1) for rank in (0, 1)]
    assert all(after == end for _, after in shares)
    joined = [first + second for first, second in zip(shares[0][0], shares[1][0], strict=True)]
    assert joined == unbroken[seen:]


def test_batch_that_does_not_divide_among_ranks(dataset):
    with pytest.raises(UsageError, match="batch of 4 does not divide among 3 ranks"):
        read(dataset, START, 1, size=3)


def test_workers_give_the_same_samples(dataset):
    sampler = PretrainReader(
        reader=CodeReader(column="vq.toy", vocab_size=16),
        clip_len=3,
        stride=1,
        objective=Objective(mask_blocks=2),
    )

    def codes(**settings):
        config = TrainConfig(batch_size=4, micro_batch_size=2, **settings)
        stream = BatchStream(dataset=dataset, prepare=sampler, config=config, world=World(device=CPU))
        return torch.cat(
            [p.batch["codes"] for u in stream.updates(START, num_updates=4) for p in u.micro_batches]
        )

    assert torch.equal(codes(num_workers=0), codes(num_workers=2))


def spoil(folder):
    tar = folder / "vq.toy" / "000001.tar"
    data = bytearray(tar.read_bytes())
    data[512 + 200] ^= 1  # in the codes of the first sample of the second shard
    tar.write_bytes(data)


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_told_as_it_is(toy_dataset, workers):
    folder = toy_dataset()
    spoil(folder)
    dataset = open_dataset(folder, columns=("vq.toy",))
    sampler = PretrainReader(
        reader=CodeReader(column="vq.toy", vocab_size=16), clip_len=3, stride=1, objective=Objective()
    )
    config = TrainConfig(batch_size=4, num_workers=workers)
    stream = BatchStream(dataset=dataset, prepare=sampler, config=config, world=World(device=CPU))
    with pytest.raises(DamageError, match=r"clip-005") as error:
        for update in stream.updates(START, num_updates=3):
            list(update.micro_batches)
    assert "Traceback" not in str(error.value)


def test_killed_worker_is_one_sentence(dataset):
    sampler = PretrainReader(
        reader=CodeReader(column="vq.toy", vocab_size=16), clip_len=3, stride=1, objective=Objective()
    )
    config = TrainConfig(batch_size=1, num_workers=1)
    stream = BatchStream(dataset=dataset, prepare=sampler, config=config, world=World(device=CPU))
    import multiprocessing

    def kill_and_go_on():
        for update in stream.updates(START, num_updates=10_000):
            list(update.micro_batches)
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(MachineError, match="A loader process failed .*run the same command again"):
        kill_and_go_on()


def test_other_errors_are_not_swallowed(dataset):
    class Bug:
        def __call__(self, dataset, index, rng):
            raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        read(dataset, START, 1, prepare=Bug())


def test_stack_keeps_types_and_order():
    batch = stack(
        [{"a": np.array([1, 2]), "b": np.float32(0.5)}, {"a": np.array([3, 4]), "b": np.float32(1)}]
    )
    assert batch["a"].tolist() == [[1, 2], [3, 4]]
    assert batch["a"].dtype == torch.int64
    assert batch["b"].dtype == torch.float32


def test_reading_leaves_the_global_generator_alone(dataset):
    torch.manual_seed(1)
    expected = torch.random.get_rng_state()
    read(dataset, START, 3)
    assert torch.equal(torch.random.get_rng_state(), expected)


def test_default_number_of_workers():
    assert num_workers(None, device=CPU) == 0
    assert num_workers(None, device=torch.device("cuda")) == 4
    assert num_workers(3, device=CPU) == 3


def test_step_seeds_differ():
    seeds = {step_seed(seed, step=step, rank=rank) for seed in (0, 1) for step in range(5) for rank in (0, 1)}
    assert len(seeds) == 20
