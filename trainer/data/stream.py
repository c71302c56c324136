"""From a dataset to the batches of every update: one stream, the same on any number of workers and ranks."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vfm.shards.errors import UsageError, VfmError
from vfm.shards.order import Place, SampleDraw, batches, epoch_len, rank_share, sample_rng
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.workers import POLL_S, leave_signals_to_the_parent, next_batch, reading
from vfm.trainer.distributed import World
from vfm.trainer.method import SampleReader
from vfm.trainer.recipes.recipe import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """What one forward pass reads.

    Attributes:
        indices: which samples of the dataset, in order.
        batch: the arrays of `SampleReader`, stacked along a new first dimension, on the CPU.
    """

    indices: list[int]
    batch: dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInput:
    """What one rank reads for one update.

    Attributes:
        place: where the stream stands once the update is done.
        sizes: samples in each of this rank's micro-batches.
        micro_batches: the micro-batches; each is fetched when it is asked for.
    """

    place: Place
    sizes: list[int]
    micro_batches: Iterator[MicroBatch]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStream:
    """Reads samples in an order that follows from the seed; prepares each with a generator of its own."""

    dataset: Dataset
    prepare: SampleReader
    config: TrainConfig
    world: World

    def updates(self, place: Place, *, num_updates: int) -> Iterator[StepInput]:
        """Yield what this rank reads for each of the next ``num_updates`` updates after ``place``.

        Raises:
            DamageError: stored bytes are not what was written.
            MachineError: a worker died or hangs.
        """
        plan = _BatchPlan(stream=self, place=place, num_updates=num_updates)
        loader = Loader(
            dataset=self.dataset,
            prepare=self.prepare,
            seed=self.config.seed,
            num_workers=num_workers(self.config.num_workers, device=self.world.device),
            device=self.world.device,
        )
        with loader.batches(plan) as loaded:
            for after, micro_batches in plan.updates():
                sizes = [len(micro_batch) for micro_batch in micro_batches]
                yield StepInput(place=after, sizes=sizes, micro_batches=_fetch(loaded, micro_batches))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """Reads batches of samples in an order that is given, the same on any number of workers.

    Attributes:
        dataset: what holds the samples.
        prepare: reads one, with a generator of its own.
        seed: of these generators, with the epoch and the sample's key.
        num_workers: processes that read ahead; without any, a batch is read when it is asked for.
        device: where batches go from here; for a GPU they are in memory that it copies from by itself.
    """

    dataset: Dataset
    prepare: SampleReader
    seed: int
    num_workers: int
    device: torch.device

    @contextmanager
    def batches(self, order: Iterable[list[SampleDraw]]) -> Iterator[Iterator[dict[str, Tensor]]]:
        """Give an iterator over stacked batches, on the CPU; its processes end with the block.

        The iterator raises:
            DamageError: stored bytes are not what was written.
            MachineError: a worker died or hangs.
        """
        with reading(self._opened(order)) as loaded:
            yield _sound(loaded)

    def _opened(self, order: Iterable[list[SampleDraw]]) -> DataLoader[Any]:
        # spawn: a fork of a process in which torch's threads run can deadlock.
        return DataLoader(
            _Prepared(dataset=self.dataset, prepare=self.prepare, seed=self.seed),  # type: ignore[arg-type]
            batch_sampler=order,
            num_workers=self.num_workers,
            collate_fn=stack,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=leave_signals_to_the_parent,
            generator=torch.Generator(),  # keeps the loader from drawing from the global one
            multiprocessing_context="spawn" if self.num_workers else None,
            timeout=POLL_S if self.num_workers else 0.0,
        )


def num_workers(wanted: int | None, *, device: torch.device) -> int:
    """Return how many loader processes a rank has; none on a CPU unless asked: the model needs the cores."""
    if wanted is not None:
        return wanted
    return 4 if device.type == "cuda" else 0


def micro_batch_sizes(config: TrainConfig, *, world_size: int) -> list[int]:
    """Return how many samples each micro-batch of one rank's share of an update has.

    Raises:
        UsageError: the batch does not divide among the ranks; or, where an epoch is made of whole batches, a
            rank's share does not divide into micro-batches, so that the last would have fewer negatives.
    """
    share = len(rank_share([(0, 0)] * config.batch_size, rank=0, world_size=world_size))
    size = config.micro_batch_size or share
    if config.drop_last and share % size:
        raise UsageError(
            f"The {share} samples per update of a rank do not divide into micro-batches of {size}, and where "
            f"samples are contrasted each needs as many others: set train.micro_batch_size to a divisor."
        )
    return [min(size, share - start) for start in range(0, share, size)]


def stack(samples: Sequence[Any]) -> Any:
    """Stack the arrays of samples by name; a fault told by a worker is passed on as it is."""
    fault = next((sample for sample in samples if isinstance(sample, VfmError)), None)
    if fault is not None:
        return fault
    return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}


def step_seed(seed: int, *, step: int, rank: int) -> int:
    """Return the seed of everything a rank draws while it does one update, such as dropout."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """The samples as a worker sees them: found by (epoch, index), prepared with their own generator."""

    dataset: Dataset
    prepare: SampleReader
    seed: int

    def __getitem__(self, draw: SampleDraw) -> dict[str, np.ndarray] | VfmError:
        epoch, index = draw
        rng = sample_rng(seed=self.seed, epoch=epoch, key=self.dataset.keys[index])
        try:
            return self.prepare(self.dataset, index, rng)
        except VfmError as fault:
            # Raised again in the main process: torch would wrap its sentence in a worker's traceback.
            return fault


@dataclass(frozen=True, slots=True, kw_only=True)
class _BatchPlan:
    """Which samples make this rank's next micro-batches; walked by the loader and by `BatchStream`."""

    # The loader walks ahead, because its workers prefetch; `BatchStream` follows, one update behind another.
    # Both walks follow from ``place`` alone, so they agree without telling each other.
    #
    #   loader         1a  1b  2a  2b  3a     samples to read; 1b: second micro-batch of update 1
    #   `BatchStream`  1a  1b                 the same, with their sizes and the place after update 1
    stream: BatchStream
    place: Place
    num_updates: int

    def updates(self) -> Iterator[tuple[Place, list[list[SampleDraw]]]]:
        stream = self.stream
        shares, batch_size = stream.dataset.shares, stream.config.batch_size
        num_samples = epoch_len(shares, batch_size=batch_size)
        in_epoch = epoch_samples(stream.config, num_samples=num_samples)
        endless = batches(shares, place=self.place, batch_size=batch_size, epoch_samples=in_epoch)
        world = stream.world
        sizes = micro_batch_sizes(stream.config, world_size=world.size)
        for before, batch in islice(endless, self.num_updates):
            mine = iter(rank_share(batch, rank=world.rank, world_size=world.size))
            micro_batches = [list(islice(mine, size)) for size in sizes]
            yield before.advance(batch_size, num_samples=in_epoch), micro_batches

    def __iter__(self) -> Iterator[list[SampleDraw]]:
        for _, micro_batches in self.updates():
            yield from micro_batches


def _sound(loaded: Iterator[Any]) -> Iterator[dict[str, Tensor]]:
    """Yield batches; a fault that was passed on in the place of one is raised."""
    while True:
        try:
            batch = next_batch(loaded)
        except StopIteration:
            return
        if isinstance(batch, VfmError):
            raise batch
        yield batch


def _fetch(
    loaded: Iterator[dict[str, Tensor]], micro_batches: list[list[SampleDraw]]
) -> Iterator[MicroBatch]:
    for micro_batch in micro_batches:
        yield MicroBatch(indices=[index for _, index in micro_batch], batch=next(loaded))


def epoch_samples(config: TrainConfig, *, num_samples: int) -> int:
    """Return how many samples an epoch has; ``drop_last`` leaves those of an unfinished batch out."""
    return num_samples - num_samples % config.batch_size if config.drop_last else num_samples
