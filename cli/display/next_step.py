"""The last line of every command: the command that comes next; names in capitals are the user's choice."""

import shlex
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from vfm.cli.display import output
from vfm.shards.columns.commands import kind_of
from vfm.shards.splits import ALL, TEST, TRAIN, VAL

if TYPE_CHECKING:
    from vfm.trainer.recipes.recipe import Recipe


def say_next(*words: str | Path, also: str = "") -> None:
    """Say the command that comes next; ``also`` is what else it could be."""
    output.say(f"next: {shlex.join(['vfm', *map(str, words)])}{also}")


def split_words(data: Path, *, wanted: str) -> tuple[str, ...]:
    """Return the option that a command needs where a dataset lacks the split it takes unless told."""
    from vfm.shards.reading.dataset import open_dataset

    there = set(open_dataset(data, columns=()).splits.tolist())
    if wanted in there:
        return ()
    return ("--split", TEST if wanted == VAL and TEST in there else ALL)


def say_use(weights: Path, *, method: str, task: str | None, is_encoder: bool) -> None:
    """Say what a file or folder of weights is for: a task that its method has numbers for, or counting.

    Args:
        weights: of it.
        method: that trained them.
        task: what was learned downstream; None is pretraining.
        is_encoder: whether it is the encoder of clips alone.
    """
    from vfm.trainer.registry import load_recipe, recipe_names

    if task == "retrieve" and not is_encoder:
        say_next("evaluate", weights, "DATA", "--protocol", "retrieval")
        return
    tasks = {recipe.task for recipe in map(load_recipe, recipe_names()) if recipe.method == method}
    other = "linear" if is_encoder else "retrieve"
    next_task = "classify" if "classify" in tasks else other
    say_next("finetune", next_task, "DATA", "--init", weights, "--out", "RUN")


def say_pretrain(data: Path, *, columns: Iterable[str], splits: Iterable[str], images: bool) -> None:
    """Say how to pretrain on a dataset: on its targets where a recipe reads one of them, else on its frames.

    Of a dataset with splits, only the samples to learn from are named: the others are to be counted on.
    Images are learned from beside videos.
    """
    from vfm.shards.format.layout import FRAMES
    from vfm.trainer.recipes.encoder import reads_images

    targets = [name for name in columns if name != FRAMES]
    fitting = _recipes_for(targets or [FRAMES])
    found = [recipe for recipe in fitting if reads_images(recipe) or not images]
    if not found:
        say_next("inspect", data)
        return
    first, *others = found
    changed = _with_stored(first, targets)
    chosen = ("--split", TRAIN) if TRAIN in set(splits) else ()
    same = [recipe.name for recipe in others if recipe.method == first.method]
    ways = {recipe.method: recipe.name for recipe in reversed(others) if recipe.method != first.method}
    also = f" (or {', '.join([*same, *ways.values()])})" if others else ""
    beside = ("VIDEOS",) if images else ()
    say_next("pretrain", first.name, *beside, data, *changed, *chosen, "--out", "RUN", also=also)


def _recipes_for(columns: Sequence[str]) -> list["Recipe"]:
    """Return the pretraining recipes that learn from these columns, the smallest batch first.

    Those that could read a column more, in place of what they make on line, come after others.
    """
    from vfm.trainer.registry import load_recipe, recipe_names

    recipes = [recipe for recipe in map(load_recipe, recipe_names()) if recipe.task is None]
    fitting = [
        recipe for recipe in recipes if _reads([*recipe.data.columns, *_stored(recipe, columns)], columns)
    ]
    return sorted(fitting, key=lambda recipe: (recipe.train.batch_size, bool(_storable(recipe))))


def _with_stored(recipe: "Recipe", columns: Sequence[str]) -> tuple[str, ...]:
    """Return the options that let a recipe read a column in place of what it makes on line."""
    stored = _stored(recipe, columns)
    return ("--set", f"data.columns={','.join([*recipe.data.columns, *stored])}") if stored else ()


def _stored(recipe: "Recipe", columns: Sequence[str]) -> list[str]:
    """Return those columns of a dataset, one of each kind, that a recipe could read; see `_with_stored`."""
    found = (next((name for name in columns if kind_of(name) == kind), None) for kind in _storable(recipe))
    return [name for name in found if name is not None]


def _storable(recipe: "Recipe") -> tuple[str, ...]:
    kinds: tuple[str, ...] = getattr(recipe.objective, "STORABLE", ())
    return kinds


def _reads(patterns: Sequence[str], columns: Sequence[str]) -> bool:
    """Return whether each pattern has its column, the frames beside these, and one of these is read."""
    from vfm.shards.format.layout import FRAMES

    def finds(names: Iterable[str], pattern: str) -> bool:
        return any(fnmatchcase(name, pattern) for name in names)

    is_complete = all(finds([*columns, FRAMES], pattern) for pattern in patterns)
    return is_complete and any(finds(columns, pattern) for pattern in patterns)
