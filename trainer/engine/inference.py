"""What a network says of every sample of a dataset, in order, whoever computes it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from vfm.shards.errors import VfmError
from vfm.shards.order import SampleDraw, eval_share
from vfm.shards.progress import NoProgress, Progress
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.stream import Loader
from vfm.trainer.distributed import World, gather
from vfm.trainer.method import SampleReader

_BATCH_SIZE = 16
_SEED = 0
# Batches of a rank from which on processes are started. On two busy cores starting and ending two of them
# took 8 s, and reading one batch of 16 samples, 8 frames of 320 x 240 each, 0.55 s.
_WORTH_STARTING = 16


def never() -> bool:
    """Return that nobody asks to stop."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """How samples are gone through.

    Attributes:
        world: this process among those that share the samples.
        progress: receives this rank's progress.
        batch_size: samples that are computed at once.
        num_workers: processes of this rank that read ahead; where it has fewer than 16 batches, it reads them
            itself.
        should_stop: asked after every batch.
    """

    world: World
    progress: Progress = field(default_factory=NoProgress)
    batch_size: int = _BATCH_SIZE
    num_workers: int = 0
    should_stop: Callable[[], bool] = never

    def rows(
        self, dataset: Dataset, reader: SampleReader, *, compute: Callable[[dict[str, Tensor]], Tensor]
    ) -> Tensor | None:
        """Return what is computed of all samples, [N, ...] on the CPU; each rank does its share of them.

        Every rank must call this, and gets the rows of all samples, or None where any was asked to stop.

        Args:
            dataset: what to go through.
            reader: reads a sample; what it draws depends on the sample's key alone.
            compute: rows [B, ...] of a batch, without gradients.

        Raises:
            VfmError: that of the first rank that met one, on every rank.
        """
        mine = dataset.select(eval_share(len(dataset), rank=self.world.rank, world_size=self.world.size))
        found: list[Tensor] = []
        fault: VfmError | None = None
        is_stopped = False
        self.progress.start(len(mine), "samples")
        try:
            with torch.inference_mode(), self._loader(mine, reader).batches(self._order(mine)) as batches:
                for batch in batches:
                    found.append(compute(self._moved(batch)).cpu())
                    self.progress.advance(ok=len(found[-1]))
                    if is_stopped := self.should_stop():
                        break
        except VfmError as error:
            fault = error
        finally:
            self.progress.finish()
        everyone = gather((found, fault, is_stopped), world=self.world)
        for _, met, _ in everyone:
            if met is not None:
                raise met
        if any(stopped for _, _, stopped in everyone):
            return None
        return torch.cat([row for rows, _, _ in everyone for row in rows])

    def _loader(self, dataset: Dataset, reader: SampleReader) -> Loader:
        is_worth_it = len(self._order(dataset)) >= _WORTH_STARTING
        return Loader(
            dataset=dataset,
            prepare=reader,
            seed=_SEED,
            num_workers=self.num_workers if is_worth_it else 0,
            device=self.world.device,
        )

    def _order(self, dataset: Dataset) -> list[list[SampleDraw]]:
        batches = []
        for _, shares in groupby(dataset.shares, key=lambda share: share.kind):
            own = list(shares)
            draws = [(0, index) for index in range(own[0].start, own[-1].start + own[-1].num_samples)]
            starts = range(0, len(draws), self.batch_size)
            batches += [draws[start : start + self.batch_size] for start in starts]
        return batches

    def _moved(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: array.to(self.world.device, non_blocking=True) for name, array in batch.items()}
