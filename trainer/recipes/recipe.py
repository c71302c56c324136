"""What a run is made of: frozen dataclasses built by functions, changed by key, kept in every checkpoint.

A method's folder lists its recipes in ``recipe.py`` (pretraining) and, where it has them, ``finetune.py``:
each has ``RECIPES``, names to functions without arguments that return a `Recipe`. Neither may import torch,
so that listing recipes is instant. All recipes of one method and task share the dataclasses of ``model`` and
``objective``, which is how a recipe is read back from a checkpoint.
"""

import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from vfm.shards.errors import UsageError
from vfm.trainer import methods
from vfm.trainer.recipes.values import OtherVersionError, coerce, leaves, parse

if TYPE_CHECKING:  # keeps pyarrow out of `vfm recipes`
    from vfm.shards.format.manifest import Manifest

Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """What is read of each sample.

    Attributes:
        column: the column a method learns from; a pattern such as ``vq.*`` stands for the only match.
        clip_len: stored frames in a clip.
        seconds_apart: time from one frame of a clip to the next; ``any`` takes the next stored frame.
        stride: the same in stored frames; None follows from the time and the rate of the dataset.
        split: train on this split only; None takes every sample.
    """

    column: str = "vq.*"
    clip_len: int = 5
    seconds_apart: float | Literal["any"] = "any"
    stride: int | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        _check("data.clip_len", self.clip_len, self.clip_len >= 1, "at least 1")
        apart, stride = self.seconds_apart, self.stride
        _check("data.seconds_apart", apart, apart == "any" or apart > 0, "above 0, or any")
        _check("data.stride", stride, stride is None or stride >= 1, "at least 1, or none")

    @property
    def known_stride(self) -> int:
        """The stride, once it is known."""
        assert self.stride is not None, (
            "the stride is still left to the data: see vfm.trainer.recipes.requirements"
        )
        return self.stride


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedule.

    Attributes:
        lr: the highest learning rate, reached at the end of warm-up.
        betas: decay rates of the two moments.
        weight_decay: decoupled; parameters for which ``Method.no_weight_decay`` holds have none.
        clip_norm: the global gradient norm is cut to this; None leaves it alone.
        warmup: updates until ``lr`` is reached; below 1 a share of all updates.
        warmup_epochs: passes over the samples until ``lr`` is reached, in place of ``warmup``.
        warmup_peak: whether ``lr`` is reached by the last update of the warm-up or by the one after it.
        schedule: how the rate falls from there to the last update.
        min_lr: what it falls to.
        lr_batch_size: samples per update that ``lr`` and ``min_lr`` are meant for, with which they grow in
            proportion (Goyal et al. 2017, section 2.1); None leaves them as they are.
    """

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    eps: float = 1e-8
    clip_norm: float | None = 1.0
    warmup: float = 0.1
    warmup_epochs: float | None = None
    warmup_peak: Literal["last", "after"] = "after"
    schedule: Schedule = "linear"
    min_lr: float = 0.0
    lr_batch_size: int | None = None

    def __post_init__(self) -> None:
        _check("optim.lr", self.lr, self.lr > 0, "above 0")
        _check("optim.betas", self.betas, all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)")
        _check("optim.weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more")
        _check("optim.eps", self.eps, self.eps > 0, "above 0")
        clip = self.clip_norm
        _check("optim.clip_norm", clip, clip is None or clip > 0, "above 0 or none")
        _check("optim.warmup", self.warmup, self.warmup >= 0, "0 or more")
        epochs = self.warmup_epochs
        _check("optim.warmup_epochs", epochs, epochs is None or epochs >= 0, "0 or more, or none")
        _check("optim.min_lr", self.min_lr, 0 <= self.min_lr <= self.lr, "between 0 and optim.lr")
        size = self.lr_batch_size
        _check("optim.lr_batch_size", size, size is None or size >= 1, "at least 1 or none")

    def for_run(self, *, batch_size: int, updates_per_epoch: float) -> "OptimConfig":
        """Return the rates for so many samples per update, and the warm-up in updates or as a share."""
        config = self
        if self.lr_batch_size is not None:
            factor = batch_size / self.lr_batch_size
            config = replace(config, lr=self.lr * factor, min_lr=self.min_lr * factor, lr_batch_size=None)
        if self.warmup_epochs is not None:
            warmup = int(self.warmup_epochs * updates_per_epoch)
            config = replace(config, warmup=warmup, warmup_epochs=None)
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How long and in which portions.

    Attributes:
        seed: decides the order of samples, every draw made for them, the first weights and dropout.
        epochs: passes over the samples.
        max_steps: updates, in place of ``epochs``.
        batch_size: samples per update, all ranks together.
        drop_last: whether an epoch ends with its last whole batch, so that no sample meets itself in a batch:
            for methods that contrast the samples of a batch. Otherwise batches run across the border of
            epochs and no sample is left out.
        micro_batch_size: samples per forward pass of one rank; None takes the rank's whole share at once.
        precision: of matrix products; ``auto`` is bf16 on CUDA and on a CPU that multiplies it, else fp32.
        log_every: updates from one log line to the next.
        checkpoint_every: updates from one checkpoint to the next; the last update always has one.
        keep_checkpoints: how many of the newest stay on disk.
        num_workers: loader processes of each rank; None chooses by device.
    """

    seed: int = 0
    epochs: int = 1
    max_steps: int | None = None
    batch_size: int
    drop_last: bool = False
    micro_batch_size: int | None = None
    precision: Precision = "auto"
    log_every: int = 10
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    num_workers: int | None = None

    def __post_init__(self) -> None:
        _check("train.seed", self.seed, 0 <= self.seed < 2**32, "in [0, 2**32)")
        for name in ("epochs", "batch_size", "log_every", "checkpoint_every", "keep_checkpoints"):
            _check(f"train.{name}", getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("max_steps", "micro_batch_size"):
            value = getattr(self, name)
            _check(f"train.{name}", value, value is None or value >= 1, "at least 1 or none")
        workers = self.num_workers
        _check("train.num_workers", workers, workers is None or workers >= 0, "0 or more, or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole run but for the dataset and the output folder.

    Attributes:
        name: what ``vfm recipes`` lists.
        method: the folder under ``trainer/methods`` whose network this is.
        task: the file under ``trainer/tasks`` that is learned downstream; None is pretraining.
        model: the method's dataclass of network sizes; its ``frame_px`` is the side of the square that the
            network sees, or ``any``.
        objective: the method's (or task's) dataclass of mask and loss numbers.
    """

    name: str
    method: str
    task: str | None = None
    model: Any
    objective: Any
    data: DataConfig
    optim: OptimConfig
    train: TrainConfig


# What may differ between a run and its resumption: none of these changes a weight.
FREE_KEYS = frozenset(
    {"train.log_every", "train.checkpoint_every", "train.keep_checkpoints", "train.num_workers"}
)


def recipe_names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted(_functions())


def load_recipe(name: str) -> Recipe:
    """Return the recipe of that name, or raise a `UsageError` that names the nearest ones."""
    found = _functions()
    if name not in found:
        raise UsageError(f"Unknown recipe {name!r}{_nearest(name, found)}: `vfm recipes` lists all.")
    return found[name]()


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return ``recipe`` with settings such as ``optim.lr=1e-3`` applied together, then checked.

    Raises:
        UsageError: a setting without ``=``, an unknown key (with the nearest ones), a value of another type.
    """
    values = to_dict(recipe)
    known = {key: hint for key, hint in leaves(recipe).items() if "." in key}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"Cannot read the setting {setting!r}: write KEY=VALUE, e.g. optim.lr=1e-3.")
        if key not in known:
            raise UsageError(
                f"Recipe {recipe.name!r} has no key {key!r}{_nearest(key, known)}: "
                f"`vfm recipes show {recipe.name}` lists all."
            )
        *folders, leaf = key.split(".")
        target = values
        for folder in folders:
            target = target[folder]
        target[leaf] = parse(text, known[key], key=key)
    return _rebuild(recipe, values)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain JSON values; `from_dict` gives it back exactly."""
    plain = _plain(recipe)
    assert isinstance(plain, dict)
    return plain


def from_dict(values: dict[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` wrote, or raise a `UsageError` naming the key that does not fit."""
    same_kind = (
        recipe
        for recipe in (make() for make in _functions().values())
        if (recipe.method, recipe.task) == (values.get("method"), values.get("task"))
    )
    template = next(same_kind, None)
    if template is None:
        raise OtherVersionError(
            f"No recipe of method {values.get('method')!r} and task {values.get('task')!r} is known here: "
            f"it was written by another version of vfm."
        )
    return _rebuild(template, values)


def flatten(recipe: Recipe) -> dict[str, Any]:
    """Return every number of the recipe under its dotted key."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if not isinstance(value, dict):
            flat[prefix] = value
            return
        for key, inner in value.items():
            walk(f"{prefix}.{key}" if prefix else key, inner)

    walk("", to_dict(recipe))
    return flat


def differences(before: Recipe, after: Recipe) -> list[str]:
    """Return one ``key: old -> new`` for each number that differs and may not change on resume."""
    old, new = flatten(before), flatten(after)
    keys = [key for key in {**old, **new} if key not in FREE_KEYS and old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys]


def resolve_column(recipe: Recipe, manifest: "Manifest") -> Recipe:
    """Return ``recipe`` with the pattern in ``data.column`` replaced by the one column it matches.

    Raises:
        UsageError: several columns match, or none does.
    """
    pattern = recipe.data.column
    if pattern in manifest.columns:
        return recipe
    found = sorted(name for name in manifest.columns if fnmatchcase(name, pattern))
    if len(found) > 1:
        raise UsageError(
            f"Columns {', '.join(found)} all match {pattern!r}: "
            f"choose one with `--set data.column={found[0]}`."
        )
    if not found:
        raise UsageError(
            f"The dataset has no column {pattern!r} (it has {', '.join(sorted(manifest.columns))}): "
            f"make one with `vfm tokenize DATA --target {_target_for(pattern)}`."
        )
    return replace(recipe, data=replace(recipe.data, column=found[0]))


def _target_for(pattern: str) -> str:
    kind = pattern.partition(".")[0]
    return "vq:CODEBOOK" if kind == "vq" else kind


def _functions() -> dict[str, Callable[[], Recipe]]:
    found: dict[str, Callable[[], Recipe]] = {}
    for method in methods.names():
        for kind in ("recipe", "finetune"):
            module = f"{methods.__name__}.{method}.{kind}"
            if find_spec(module) is not None:
                found.update(importlib.import_module(module).RECIPES)
    return found


def _rebuild(template: Recipe, values: dict[str, Any]) -> Recipe:
    types = {"model": type(template.model), "objective": type(template.objective)}
    built: Recipe = coerce(values, Recipe, key="", types=types)
    return built


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _nearest(name: str, known: dict[str, Any]) -> str:
    # A key is often given without its section: its last part is compared as well.
    same_leaf = [key for key in known if key.rpartition(".")[2] == name]
    near = same_leaf + difflib.get_close_matches(name, known, n=3)
    near = list(dict.fromkeys(near))[:3]
    return f" (nearest: {', '.join(near)})" if near else ""


def _check(key: str, value: object, is_right: bool, allowed: str) -> None:
    if not is_right:
        raise UsageError(f"{key} is {value}, but must be {allowed}: change it with `--set {key}=...`.")
