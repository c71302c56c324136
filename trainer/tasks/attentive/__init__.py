"""Names the class of a sample by a learned query that looks at the tokens of a frozen encoder."""

from vfm.shards.reading.dataset import Dataset
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.tasks.attentive.pooled import AttentiveProbe
from vfm.trainer.tasks.linear.parts import parts_of


def build(recipe: Recipe, dataset: Dataset) -> AttentiveProbe:
    """Return the attentive probe of a recipe, its encoder drawn from the recipe's seed.

    Raises:
        UsageError: see `parts_of`; or channels do not divide among the heads of attention.
    """
    num_heads = recipe.objective.num_heads or recipe.model.num_heads
    return AttentiveProbe(parts_of(recipe, dataset), config=recipe.objective, num_heads=num_heads)
