"""What weights of ours say of themselves, in the metadata of a file or in the ``config.json`` beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import to_dict
from vfm.trainer.registry import from_dict
from vfm.trainer.weights.files import WeightsFile
from vfm.trainer.weights.fit import HEAD

KEY = "vfm"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutWeights:
    """Where weights come from, and what their rows mean.

    Attributes:
        recipe: that they were trained by.
        made_from: the project whose file they were, ``vfm`` for a run of ours.
        is_encoder: whether they are the encoder alone, without what the recipe trains beside it.
        columns: what a run of ours was trained on, with the options of each column; empty where unknown.
        classes: their names, in the order of the head; empty where they are unknown, or there is no head.
    """

    recipe: Recipe
    made_from: str
    is_encoder: bool = False
    columns: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "format": _FORMAT,
            "recipe": to_dict(self.recipe),
            "made_from": self.made_from,
            "is_encoder": self.is_encoder,
            "columns": {name: {"options": dict(column["options"])} for name, column in self.columns.items()},
            "classes": list(self.classes),
        }

    def to_metadata(self) -> dict[str, str]:
        """Return it as safetensors keep it."""
        return {KEY: json.dumps(self.to_dict())}


def about(file: WeightsFile) -> AboutWeights | None:
    """Return what a file, or the options beside it, says if it is one of ours.

    Raises:
        UsageError: another version of vfm wrote it, or it is damaged.
    """
    if KEY not in file.metadata and KEY not in file.options:
        return None
    try:
        values = json.loads(file.metadata[KEY]) if KEY in file.metadata else file.options[KEY]
        number = values["format"]
    except (ValueError, TypeError, LookupError):
        raise _unreadable(file.path) from None
    if number != _FORMAT:
        raise UsageError(
            f"{file.path} was written by another version of vfm (format {number}, and this one reads "
            f"{_FORMAT}): export or convert the weights again, or use that version."
        )
    try:
        return AboutWeights(
            recipe=from_dict(values["recipe"]),
            made_from=str(values["made_from"]),
            is_encoder=bool(values["is_encoder"]),
            columns={name: {"options": dict(each["options"])} for name, each in values["columns"].items()},
            classes=tuple(map(str, values["classes"])),
        )
    except (ValueError, TypeError, LookupError, AttributeError):  # not what `to_dict` returns
        raise _unreadable(file.path) from None


def _unreadable(path: Path) -> UsageError:
    return UsageError(f"{path} does not say of which recipe it is: export or convert the weights again.")


def check_classes(classes: Sequence[str], state: Mapping[str, Tensor], *, path: Path) -> None:
    """Refuse names of classes that are not as many as a head has, or not each another.

    Raises:
        UsageError: they are not.
    """
    num_classes = len(state.get(f"{HEAD}weight", ()))
    if classes and (len(classes) != num_classes or len(set(classes)) != num_classes):
        raise UsageError(
            f"{path} names {len(set(classes))} different classes, and the head of the weights has "
            f"{num_classes}: give weights and names that belong together."
        )
