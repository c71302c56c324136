"""Going through samples gives the same on any number of loader processes, and leaves none behind."""

import multiprocessing
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from vfm.shards.errors import DamageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.distributed import World
from vfm.trainer.engine.inference import Inference

CPU = World(device=torch.device("cpu"))
WORTH_IT = 16  # batches for which processes are started


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Gives the codes of a sample's first frame and numbers that are drawn for it."""

    def __call__(self, dataset, index, rng):
        codes = dataset.array(index, "vq.toy", "codes")[0, 0].astype(np.float32)
        return {"codes": codes, "draw": rng.random(3, dtype=np.float32)}


class Compute:
    """Puts the arrays of a batch side by side and notes how many processes were started meanwhile."""

    def __init__(self):
        self.before = set(multiprocessing.active_children())  # those of other tests may still end
        self.num_processes = []

    def started(self):
        return set(multiprocessing.active_children()) - self.before

    def __call__(self, batch):
        self.num_processes.append(len(self.started()))
        return torch.cat([batch["codes"].flatten(1), batch["draw"]], dim=1)


def damage(folder):
    """Change a code of the first sample of the second shard, which is the fifth of all."""
    tar = folder / "vq.toy" / "000001.tar"
    data = bytearray(tar.read_bytes())
    data[512 + 200] ^= 1
    tar.write_bytes(data)


@pytest.fixture
def folder(toy_dataset):
    return toy_dataset(num_samples=2 * WORTH_IT - 1)


def rows(folder, compute, **how):
    dataset = open_dataset(folder, columns=("vq.toy",))
    return Inference(world=CPU, batch_size=2, **how).rows(dataset, Codes(), compute=compute)


def test_processes_change_no_bit_and_no_order(folder):
    alone, helped = Compute(), Compute()
    expected = rows(folder, alone)
    assert torch.equal(rows(folder, helped, num_workers=2), expected)
    assert alone.num_processes == [0] * WORTH_IT
    assert helped.num_processes[0] == 2
    dataset = open_dataset(folder, columns=("vq.toy",))
    codes = [dataset.array(i, "vq.toy", "codes")[0, 0].ravel().tolist() for i in range(len(dataset))]
    assert expected[:, :-3].tolist() == codes
    assert len({tuple(draw) for draw in expected[:, -3:].tolist()}) == len(dataset)
    assert not helped.started()


def test_for_few_batches_none_is_started(toy_dataset):
    compute = Compute()
    found = rows(toy_dataset(num_samples=2 * WORTH_IT - 2), compute, num_workers=2)
    assert len(found) == 2 * WORTH_IT - 2
    assert compute.num_processes == [0] * (WORTH_IT - 1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_damage_is_told_as_it_is(folder, num_workers):
    damage(folder)
    compute = Compute()
    with pytest.raises(DamageError, match="clip-005") as error:
        rows(folder, compute, num_workers=num_workers)
    assert "Traceback" not in str(error.value)
    assert compute.num_processes[0] == num_workers
    assert not compute.started()


def test_who_is_asked_to_stop_leaves_no_process_behind(folder):
    compute = Compute()
    stopped = rows(folder, compute, num_workers=1, should_stop=lambda: len(compute.num_processes) == 3)
    assert stopped is None
    assert compute.num_processes == [1, 1, 1]
    assert not compute.started()


def test_an_interrupt_leaves_no_process_behind(folder):
    compute = Compute()

    def interrupted(batch):
        compute(batch)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows(folder, interrupted, num_workers=1)
    assert compute.num_processes == [1]
    assert not compute.started()
