"""How an encoder sees a video, where a test may choose."""

from dataclasses import replace
from typing import get_args, get_type_hints

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
    known = get_args(get_type_hints(type(recipe.model)).get("views"))
    if views not in known:
        others = f"choose one of {', '.join(known)}" if known else "leave it out"
        raise UsageError(f"Encoders of {recipe.name} do not see frames as --views {views} says: {others}.")
    sampling = getattr(recipe.model, "SAMPLING_OF_VIEWS", {}).get(views, recipe.data.sampling)
    return replace(
        recipe,
        model=replace(recipe.model, views=views),
        data=replace(recipe.data, sampling=sampling),
    )
