"""How a run is measured while it trains: on a split that it does not learn from."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.order import epoch_len
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import counted
from vfm.trainer.data.stream import num_workers
from vfm.trainer.distributed import World, largest
from vfm.trainer.engine.inference import Inference
from vfm.trainer.engine.updates.optim import updates_per_epoch
from vfm.trainer.engine.updates.precision import autocast
from vfm.trainer.engine.updates.sharding import whole_state
from vfm.trainer.engine.validation import Validation
from vfm.trainer.method import Method
from vfm.trainer.recipes.columns import learns_classes, reads_captions
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.runs.neighbours import neighbour_scores
from vfm.trainer.video_text.captioned import captioned

_BATCH_SIZE = 16
_BANK_SIZE = 2000  # samples that neighbours are looked for among: a monitor shall not cost an epoch
_SEED = 0


def validation_of(
    recipe: Recipe, dataset: Dataset, *, method: Method, world: World, say: Callable[[str], None]
) -> Validation | None:
    """Return how a run is measured; None where it is not, aloud where that may not be meant.

    Args:
        recipe: with its columns resolved.
        dataset: what is learned from.
        method: what learns.
        world: this process among its peers.
        say: takes a sentence.

    Raises:
        UsageError: neighbours are wanted, and samples have no labels.
    """
    config = recipe.train
    if config.validate_epochs is None:
        return None
    if recipe.data.split is None:
        say(f"Nothing is validated: this run learns from every sample of {dataset}, so none is held out.")
        return None
    held_out = _held_out(recipe, dataset)
    if len(held_out) < world.size:
        ranks = "" if world.size == 1 else f", for {world.size} ranks"
        say(
            f"Nothing is validated: {dataset} has {counted(len(held_out), 'sample')} of split "
            f"{config.validate_split} that this run does not learn from{ranks}."
        )
        return None
    num_samples = epoch_len(dataset.shares, batch_size=config.batch_size)
    updates = config.validate_epochs * updates_per_epoch(config, num_samples=num_samples)
    neighbours = _neighbours_of(dataset, held_out) if config.validate_knn else None
    runner = _Runner(recipe, method=method, world=world, held_out=held_out, neighbours=neighbours)
    return Validation(every=max(round(updates), 1), measure=runner)


class _Runner:
    """Measures a method on held-out samples; see `vfm.trainer.engine.validation.Measure`."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        method: Method,
        world: World,
        held_out: Dataset,
        neighbours: tuple[Dataset, Dataset] | None,
    ) -> None:
        self.recipe, self.method, self.world = recipe, method, world
        self.held_out, self.neighbours = held_out, neighbours

    def __call__(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        torch.manual_seed(_SEED)  # the next update is given its own
        found = self._figures(should_stop)
        if found is None or self.neighbours is None:
            return found
        right = self._count(*self.neighbours, should_stop=should_stop)
        return None if right is None else {**found, "knn_accuracy": right}

    def _figures(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        widths: dict[str, int] = {}

        def compute(batch: dict[str, Tensor]) -> Tensor:
            with autocast(self.recipe.train.precision, device=self.world.device):
                figures = self.method.held_out(batch)
            columns = [figure.double().reshape(len(figure), -1) for figure in figures.values()]
            widths.update(zip(figures, (column.shape[1] for column in columns), strict=True))
            return torch.cat(columns, dim=1)

        size, num_samples = self._portions()
        how = replace(self._how(self._together(should_stop)), batch_size=size)
        held_out = self.held_out.select(np.arange(num_samples))
        rows = how.rows(held_out, self.method.held_out_reader, compute=compute)
        if rows is None:
            return None
        found = dict(zip(widths, torch.split(rows, list(widths.values()), dim=1), strict=True))
        return {f"val_{name}": value for name, value in self.method.held_out_figures(found).items()}

    def _how(self, should_stop: Callable[[], bool]) -> Inference:
        workers = num_workers(self.recipe.train.num_workers, device=self.world.device)
        return Inference(world=self.world, num_workers=workers, should_stop=should_stop)

    @property
    def _is_contrasted(self) -> bool:
        """Whether the samples of a batch are; a task compares them all in the end."""
        return self.recipe.train.drop_last and self.recipe.task is None

    def _portions(self) -> tuple[int, int]:
        """Return the size of batches, and how many samples are looked at.

        What contrasts the samples of a batch, on all ranks, needs whole batches, as many on every rank.
        """
        size = min(_BATCH_SIZE, max(len(self.held_out) // self.world.size, 1))
        if not self._is_contrasted:
            return size, len(self.held_out)
        whole = size * self.world.size
        return size, len(self.held_out) // whole * whole

    def _together(self, should_stop: Callable[[], bool]) -> Callable[[], bool]:
        """Return what all ranks are told alike, where they wait for each other in every batch."""
        if not self._is_contrasted:
            return should_stop
        return lambda: largest([should_stop()], world=self.world)[0] > 0

    def _count(self, asked: Dataset, bank: Dataset, *, should_stop: Callable[[], bool]) -> float | None:
        """Return the share of samples whose nearest neighbours name their class."""
        scores = neighbour_scores(
            recipe=self.recipe,
            state=whole_state(self.method),
            dataset=asked,
            bank=bank,
            views=(1, 1),
            how=self._how(should_stop),
        )
        if scores is None:
            return None
        return float((scores.argmax(1) == torch.from_numpy(asked.class_indices)).double().mean())


def _held_out(recipe: Recipe, dataset: Dataset) -> Dataset:
    """Return the samples of the split to validate on; none where they are learned from."""
    split = recipe.train.validate_split
    if recipe.data.split == split:
        return dataset.select([])
    every = dataset.every_sample()
    is_wanted = every.splits == split
    if learns_classes(recipe):
        is_wanted &= every.class_indices >= 0
    found = every.select(np.flatnonzero(is_wanted))
    return captioned(found, recipe) if reads_captions(recipe) else found


def _neighbours_of(dataset: Dataset, held_out: Dataset) -> tuple[Dataset, Dataset]:
    """Return the samples whose class is asked for, and those among which neighbours are looked for."""
    asked, known = (np.flatnonzero(part.class_indices >= 0) for part in (held_out, dataset))
    if not len(asked) or not len(known):
        raise UsageError(
            f"{dataset} has no labels that neighbours could vote by: leave out train.validate_knn."
        )
    if len(known) > _BANK_SIZE:
        known = np.sort(np.random.default_rng(_SEED).choice(known, _BANK_SIZE, replace=False))
    return held_out.select(asked), dataset.select(known)
