"""Weights of ours under the names of another project."""

from collections.abc import Mapping

from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import compared, override
from vfm.trainer.weights import layouts
from vfm.trainer.weights.files import State
from vfm.trainer.weights.fit import compare, shapes_of
from vfm.trainer.weights.layout import Layout, kind_of


def layout_for(project: str, recipe: Recipe) -> Layout:
    """Return a project's layout for the network of a recipe.

    Raises:
        UsageError: the project has no such network, or computes with it otherwise.
    """
    known = layouts.load_all()
    fitting = [layout for layout in known if (layout.method, layout.task) == (recipe.method, recipe.task)]
    chosen = next((layout for layout in fitting if layout.name == project), None)
    if chosen is None:
        others = ", ".join(sorted({layout.name for layout in fitting})) or "none of those known here"
        raise UsageError(
            f"{project} has no names for {kind_of(recipe.task)} of method {recipe.method}: "
            f"projects that do are {others}."
        )
    wanted = compared(recipe, override(recipe, chosen.settings))
    if differing := [key for key in wanted if key.startswith("model.")]:
        key = differing[0]
        ours, theirs = wanted[key]
        raise UsageError(
            f"{project} computes with {key}={theirs} and these weights were trained with {ours}: they would "
            f"not say the same there; train with --set {key}={theirs}, or choose another --to."
        )
    return chosen


def export_weights(state: Mapping[str, Tensor], recipe: Recipe, *, layout: Layout) -> State:
    """Return weights under a project's names, the constants that it saves among them.

    Raises:
        UsageError: the weights are not those of the recipe's network.
    """
    misfit = compare(state, shapes_of(recipe, state))
    if misfit.num_names:
        raise UsageError(f"The weights are not of the network of recipe {recipe.name}: {misfit.told()}.")
    return layout.to_theirs(state, recipe)
