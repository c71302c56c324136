"""How an encoder sees frames, where a test may choose."""

from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.trainer.evaluation.result import Views
from vfm.trainer.recipes.recipe import Recipe


def seen_as(recipe: Recipe, views: Views | None) -> Recipe:
    """Return a recipe whose encoder sees frames in another way; None is its own.

    Raises:
        UsageError: it is an encoder that knows no other.
    """
    if views is None:
        return recipe
    if not hasattr(recipe.model, "views"):
        raise UsageError(f"{recipe.name} is no recipe of UMT, which alone has --views: leave it out.")
    return replace(recipe, model=replace(recipe.model, views=views))
