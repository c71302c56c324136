"""Names the class of a sample by a linear layer on the features of a frozen encoder."""

from vfm.shards.reading.dataset import Dataset
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.tasks.linear.layer import LinearProbe
from vfm.trainer.tasks.linear.parts import parts_of


def build(recipe: Recipe, dataset: Dataset) -> LinearProbe:
    """Return the linear probe of a recipe, its encoder drawn from the recipe's seed; see `parts_of`."""
    return LinearProbe(parts_of(recipe, dataset))
