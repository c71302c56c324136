"""The samples that a run learns from: those of a dataset, or of several that are mixed by weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.reading.dataset import Dataset
from vfm.shards.reading.mixture import Source, open_mixture
from vfm.shards.wording import counted
from vfm.trainer.data.labels import with_labels
from vfm.trainer.recipes.columns import learns_classes, reads_captions, resolve_columns
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.video_text.captioned import with_captions


def open_training_data(
    recipe: Recipe, data: Path | Sequence[Source], *, say: Callable[[str], None]
) -> tuple[Recipe, Dataset]:
    """Return the recipe with its columns resolved, and the samples of its split that are `usable`.

    Args:
        recipe: to train by.
        data: a dataset's folder, or several datasets and their weights.
        say: takes a sentence about what is left out, and what is mixed.

    Raises:
        UsageError: a dataset lacks what the recipe reads, has no labels, or they cannot be mixed.
        DamageError: one is not as it was written.
    """
    sources = [Source(data=data)] if isinstance(data, Path) else data
    recipe = resolve_columns(recipe, read_manifest(sources[0].data))
    dataset = open_mixture(sources, columns=recipe.data.columns, select_split=recipe.data.split)
    dataset = usable(recipe, dataset, say=say)
    if len(dataset.parts) > 1:
        _check_drawn(dataset)
        say(_told_of_weights(dataset))
        if learns_classes(recipe) and (told := _told_of_classes(dataset)):
            say(told)
    return recipe, dataset


def usable(recipe: Recipe, dataset: Dataset, *, say: Callable[[str], None]) -> Dataset:
    """Return the samples that a recipe can learn from or be judged by: with captions, or with labels.

    Raises:
        UsageError: there is none.
    """
    if reads_captions(recipe):
        return with_captions(dataset, recipe, say=say)
    return with_labels(dataset, say=say) if learns_classes(recipe) else dataset


def _check_drawn(dataset: Dataset) -> None:
    for part, share in zip(dataset.parts, dataset.shares, strict=True):
        if share.per_epoch == 0:
            raise UsageError(
                f"An epoch draws none of the {counted(len(part), 'sample')} of {part.data} that there are to "
                "learn from: give it a larger weight, or leave it out."
            )


def _told_of_weights(dataset: Dataset) -> str:
    """Return which part of an epoch each dataset is."""
    total = sum(share.per_epoch for share in dataset.shares)
    shares = [
        f"{share.per_epoch} from the {len(part)} samples of {part.data}, {share.per_epoch / total:.0%} of it"
        for part, share in zip(dataset.parts, dataset.shares, strict=True)
    ]
    return f"An epoch draws {'; and '.join(shares)}."


def _told_of_classes(dataset: Dataset) -> str | None:
    """Return a sentence where the datasets have different classes."""
    if len({part.classes for part in dataset.parts}) == 1:
        return None
    counts = " and ".join(f"the {len(part.classes)} of {part.data}" for part in dataset.parts)
    return f"Classes of the same name are one: {counts} make {len(dataset.classes)}."
