"""The last line of every command: the command that comes next; names in capitals are the user's choice."""

import shlex
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from vfm.cli.display import output

_TRAIN = "train"


def say_next(*words: str | Path, also: str = "") -> None:
    """Say the command that comes next; ``also`` is what else it could be."""
    output.say(f"next: {shlex.join(['vfm', *map(str, words)])}{also}")


def say_pretrain(data: Path, *, columns: Iterable[str], splits: Iterable[str]) -> None:
    """Say how to pretrain on a dataset: on its targets where a recipe reads one of them, else on its frames.

    Of a dataset with splits, only the samples to learn from are named: the others are to be counted on.
    """
    from vfm.shards.format.layout import FRAMES

    targets = [name for name in columns if name != FRAMES]
    found = _recipes_for(targets or [FRAMES])
    if not found:
        say_next("inspect", data)
        return
    first, *others = found
    chosen = ("--split", _TRAIN) if _TRAIN in set(splits) else ()
    also = f" (or {', '.join(others)})" if others else ""
    say_next("pretrain", first, data, *chosen, "--out", "RUN", also=also)


def _recipes_for(columns: Sequence[str]) -> list[str]:
    """Return the pretraining recipes that learn from these columns, the smallest batch first."""
    from vfm.trainer.registry import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    fitting = [recipe for recipe in recipes if recipe.task is None and _reads(recipe.data.columns, columns)]
    return [recipe.name for recipe in sorted(fitting, key=lambda recipe: recipe.train.batch_size)]


def _reads(patterns: Sequence[str], columns: Sequence[str]) -> bool:
    """Return whether each pattern has its column, the frames beside these, and one of these is read."""
    from vfm.shards.format.layout import FRAMES

    def finds(names: Iterable[str], pattern: str) -> bool:
        return any(fnmatchcase(name, pattern) for name in names)

    is_complete = all(finds([*columns, FRAMES], pattern) for pattern in patterns)
    return is_complete and any(finds(columns, pattern) for pattern in patterns)
