"""What a probe is made of: an encoder, and clips that know whether they are of the fifth that is left out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256
from vfm.shards.reading.dataset import Dataset
from vfm.trainer import methods
from vfm.trainer.data.clip_sampling import clip_sampling
from vfm.trainer.method import Backbone
from vfm.trainer.recipes.probe import ProbeConfig
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.tasks.classify import check_labels
from vfm.trainer.tasks.classify.clips import RandomClip

IS_LEFT_OUT = "is_left_out"
_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbeClip:
    """One clip of a labelled sample, drawn at random, and whether the sample is of the fifth left out.

    Attributes:
        clip: reads it.
        left_out: bool [N], of the samples that are learned from.
    """

    clip: RandomClip
    left_out: npt.NDArray[np.bool_]

    @property
    def share(self) -> float:
        """Return the share of samples left out, about a fifth."""
        return float(self.left_out.mean())

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the arrays of `RandomClip` and `is_left_out`, bool []."""
        return {**self.clip(dataset, index, rng), IS_LEFT_OUT: self.left_out[index]}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """What a probe is made of.

    Attributes:
        backbone: the encoder.
        num_classes: classes to tell apart.
        rates: the learning rate of each head.
        prepare: reads training clips.
        seed: of the heads' first weights.
    """

    backbone: Backbone
    num_classes: int
    rates: tuple[float, ...]
    prepare: ProbeClip
    seed: int


def parts_of(recipe: Recipe, dataset: Dataset) -> Parts:
    """Return what the probe of a recipe is made of, its encoder drawn from the recipe's seed.

    Args:
        recipe: of a probe, its columns resolved.
        dataset: the labelled samples to learn from.

    Raises:
        UsageError: samples without a label, too few of them, or fewer than two classes; rates that are not
            those of the optimizer.
    """
    check_labels(dataset)
    config: ProbeConfig = recipe.objective
    if recipe.optim.lr != max(config.rates):
        raise UsageError(
            f"optim.lr is {recipe.optim.lr:g} and the highest of objective.rates {max(config.rates):g}, but "
            "must be the same: change both with --set."
        )
    package = methods.load(recipe.method)
    clip = RandomClip(reader=package.build_clip_reader(recipe, dataset), sampling=clip_sampling(recipe.data))
    return Parts(
        backbone=package.build_backbone(recipe, dataset),
        num_classes=len(dataset.classes),
        rates=config.rates,
        prepare=ProbeClip(clip=clip, left_out=left_out(dataset)),
        seed=recipe.train.seed,
    )


def left_out(dataset: Dataset) -> npt.NDArray[np.bool_]:
    """Return which samples are of the fifth left out, bool [N]: every fifth in the order of class and hash.

    It follows from keys and classes alone, not from the order of samples, and each class has its share.

    Raises:
        UsageError: there are fewer than five samples.
    """
    if len(dataset) < _FOLDS:
        raise UsageError(
            f"A probe leaves a fifth of its samples out to choose a learning rate by, and there are "
            f"{len(dataset)}: it needs {_FOLDS} labelled samples or more to learn from."
        )
    hashes = [sha256(key.encode()) for key in dataset.keys]
    classes = dataset.class_indices.tolist()
    order = sorted(range(len(dataset)), key=lambda index: (classes[index], hashes[index]))
    found = np.zeros(len(dataset), dtype=np.bool_)
    found[order[_FOLDS - 1 :: _FOLDS]] = True
    return found
