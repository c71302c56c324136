"""Which teacher a recipe has, and whether it fits the student."""

from collections.abc import Mapping
from typing import Any

from vfm.shards.columns.commands import kind_of
from vfm.shards.columns.options import views_in
from vfm.shards.errors import UsageError
from vfm.shards.pixels.imagenet import MEAN
from vfm.shards.pixels.views import View
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.online_teacher import OnlineTeacher, OpenTeacher
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe


def check_teacher(recipe: Recipe, options: Mapping[str, Any], *, column: str) -> None:
    """Refuse a column whose teacher looked at other patches than the student, or at fewer blocks.

    Args:
        recipe: of the student.
        options: of the column.
        column: its name.

    Raises:
        UsageError: it does not fit; names the options of `vfm tokenize` that would.
    """
    model = recipe.model
    sides = {view["crop_px"] // options["token_px"] for view in options["views"]}
    side = model.image_px // model.patch_px
    if sides != {side}:
        grids = " and ".join(f"{found} x {found}" for found in sorted(sides))
        raise UsageError(
            f"Column {column} has {grids} tokens a frame and the student {side} x {side}: compute it with "
            f"`vfm tokenize DATA --target clip:{options['teacher']} --crop {model.image_px} "
            f"--token {model.patch_px}`."
        )
    if options["levels"] < model.num_levels:
        raise UsageError(
            f"Column {column} holds {options['levels']} levels of its teacher and the recipe compares "
            f"{model.num_levels}: compute it with --levels {model.num_levels}, or `--set "
            f"model.num_levels={options['levels']}`."
        )
    interval = options.get("level_interval", 1)  # absent before it could be chosen
    if model.num_levels > 1 and interval != model.level_interval:
        raise UsageError(
            f"Column {column} holds blocks of its teacher that are {interval:g} apart and the recipe "
            f"compares blocks {model.level_interval:g} apart: compute it with --level-interval "
            f"{model.level_interval:g}."
        )


def open_online(
    recipe: Recipe, dataset: Dataset, *, open_teacher: OpenTeacher
) -> tuple[OnlineTeacher, tuple[View, ...]]:
    """Return the teacher that is to look at every clip, and the views of its column; none without a column.

    Raises:
        UsageError: nothing tells which teacher, or the weights are not those of the column.
        MachineError: the weights cannot be downloaded.
    """
    objective, model = recipe.objective, recipe.model
    asked = {
        "grid": model.image_px // model.patch_px,
        "levels": model.num_levels,
        "level_interval": model.level_interval,
        "weights": objective.online_weights,
    }
    if not any(kind_of(column) == "clip" for column in recipe.data.columns):
        if objective.online_model is None:
            raise UsageError(
                "A teacher on line without a column has to be named: add `--set "
                "objective.online_model=NAME`, a vision transformer of timm."
            )
        precision = objective.online_precision
        made = open_teacher(objective.online_model, **asked, normalization="imagenet", precision=precision)
        return made, ()
    column = column_of_kind(recipe, "clip")
    options = dataset.manifest.columns[column].options
    check_teacher(recipe, options, column=column)
    made = open_teacher(
        options["teacher"],
        **asked,
        normalization="imagenet" if tuple(options["mean"]) == MEAN else "model",
        precision=options["precision"],
    )
    if made.weights_sha256 != options["weights_sha256"]:
        raise UsageError(
            f"The teacher on line has other weights than the one of column {column}: give the same file with "
            "`--set objective.online_weights=FILE`."
        )
    return made, views_in(options, name=column)
