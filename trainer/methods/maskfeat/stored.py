"""The column of HOG that a recipe reads, and whether it is the HOG that is meant."""

from dataclasses import asdict

from vfm.shards.errors import UsageError
from vfm.shards.pixels.hog.definition import MASKFEAT, HogDefinition
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.data.paired_clips import StoredTarget, paired_reader
from vfm.trainer.methods.maskfeat.reader import HOG, StoredReader
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe

_FIELD = "hog.npy"


def stored_reader(
    recipe: Recipe, dataset: Dataset, *, definition: HogDefinition, sampling: ClipSampling
) -> StoredReader:
    """Return what reads clips and their stored HOG.

    Args:
        recipe: with its columns resolved.
        dataset: opened with them.
        definition: that the column's must be.
        sampling: which frames a clip may hold.

    Raises:
        UsageError: the column has HOG of another definition, of other tokens, or of frames of another size.
    """
    column = column_of_kind(recipe, HOG)
    options = dataset.manifest.columns[column].options
    wrong = [
        f"{name} {options.get(name)} where {value} is meant"
        for name, value in asdict(definition).items()
        if name != "name" and options.get(name) != value
    ]
    sides_px = {view["crop_px"] for view in options["views"]}
    image_px = recipe.model.image_px
    if sides_px != {image_px}:
        wrong.append(f"frames of {' and '.join(map(str, sorted(sides_px)))} px where {image_px} px are meant")
    if wrong:
        target = "hog" if definition.name == MASKFEAT.name else f"hog:{definition.name}"
        raise UsageError(
            f"Column {column} has HOG of {', '.join(wrong)}: compute it with `vfm tokenize DATA --target "
            f"{target} --crop {image_px}`, name its definition with `--set objective.hog=...`, or leave the "
            "column out of data.columns to make HOG on line."
        )
    targets = {HOG: StoredTarget(column, _FIELD)}
    return StoredReader(stored=paired_reader(dataset, targets), sampling=sampling, objective=recipe.objective)
