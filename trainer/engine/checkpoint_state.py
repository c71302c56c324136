"""What a checkpoint's ``state.json`` holds, and what it is called."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.typed import coerce
from vfm.shards.order import Place
from vfm.trainer.engine.validation import Standing

MODEL, OPTIM, EMA, STATE = "model.safetensors", "optim.safetensors", "ema.safetensors", "state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    options: dict[str, Any]
    tars_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meter:
    num_updates: int
    sums: dict[str, float]


# What is read of a state; there may be more in it.
_TYPES: dict[str, Any] = {
    "step": int,
    "num_steps": int,
    "place": Place,
    "meter": _Meter,
    "elapsed_s": float,
    "recipe": dict[str, Any],
    "dataset": str,
    "classes": tuple[str, ...],
    "columns": dict[str, _Column],
    "parts": tuple[dict[str, str], ...],
    "origin": dict[str, Any],
    "fit": dict[str, float | None],
    "method": dict[str, str],
    "validation": Standing,
    "extended": tuple[dict[str, int], ...],
    "tied": dict[str, str],
    "files": dict[str, _File],
}
# The first two are absent before 0.2, the others in most runs.
_OPTIONAL = ("fit", "method", "validation", "extended", "parts")


def check_state(state: dict[str, Any], *, path: Path) -> None:
    """Refuse a state that no run writes, though its hash is right.

    Raises:
        DamageError: a key is missing, or a value is of another kind; names the file under ``path``.
    """
    if lacking := [name for name in _TYPES if name not in state and name not in _OPTIONAL]:
        raise no_state(path, why=f"it lacks the key {lacking[0]}")
    try:
        for name in _TYPES.keys() & state.keys():
            coerce(state[name], _TYPES[name], key=name)
    except (ValueError, UsageError) as error:
        raise no_state(path, why=str(error).rstrip(".")) from None
    if path.name != folder_name(state["step"]):
        raise no_state(path, why=f"its step is {state['step']}")
    if not {MODEL, OPTIM} <= state["files"].keys() <= {MODEL, OPTIM, EMA}:
        raise no_state(path, why=f"it names other files than {MODEL}, {OPTIM} and {EMA}")
    if state["meter"]["num_updates"] < 0:
        raise no_state(path, why=f"meter.num_updates is {state['meter']['num_updates']}")


def with_columns(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state from before 0.2, which knew of one column alone, as it is written today."""
    recipe = state.get("recipe")
    if not isinstance(recipe, dict) or "column" not in state:
        return state
    data = recipe.get("data")
    if not isinstance(data, dict) or "column" not in data:
        return state
    one = data["column"]
    others = {key: value for key, value in state.items() if key != "column"}
    config = {"columns": [one], **{key: value for key, value in data.items() if key != "column"}}
    columns = {str(one): {"options": state["column"], "tars_sha256": None}}
    return {**others, "recipe": {**recipe, "data": config}, "columns": columns}


def no_state(path: Path, *, why: str) -> DamageError:
    """Return the error about a state that no run writes."""
    return DamageError(f"{path / STATE} is not one that vfm wrote ({why}): restore it from a copy.")


def folder_name(step: int) -> str:
    """Return the name of the folder of a checkpoint."""
    return f"step-{step:06d}"
