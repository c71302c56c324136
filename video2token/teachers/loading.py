"""From the name of a model of timm to a teacher with its weights."""

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor
from torch.nn import functional

from vfm.shards.errors import MachineError, UsageError
from vfm.video2token.teachers.torchscript import is_torchscript
from vfm.video2token.teachers.vit import VitTeacher
from vfm.video2token.teachers.weights import State, read_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTeacher:
    """A teacher and what its features follow from.

    Attributes:
        teacher: float32, on the CPU.
        weights_sha256: of all its tensors, as they were before positions were resized.
        projects: whether tokens go through CLIP's projection.
        input_px: side of the frames that it takes.
    """

    teacher: VitTeacher
    weights_sha256: str
    projects: bool
    input_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherFacts:
    """What timm knows of a model without building it.

    Attributes:
        architecture: its name without the tag of the weights.
        tag: of the weights, empty where there are none.
        mean: the constants that it was trained with, of each channel.
        std: the same.
    """

    architecture: str
    tag: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def find_teacher(name: str) -> TeacherFacts:
    """Return what is known of a model of timm.

    Raises:
        UsageError: timm has none of that name, or weights of that name belong to a model with QuickGELU.
    """
    architecture = name.partition(".")[0]
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None:
        near = get_close_matches(name, [*timm.list_models(), *timm.list_pretrained()], n=3)
        hint = f" (nearest: {', '.join(near)})" if near else ""
        raise UsageError(f"timm has no model {name!r}{hint}: `timm.list_models('*clip*')` lists CLIP's.")
    if "QuickGELU" in " ".join(config.notes or ()) and "quickgelu" not in architecture:
        right = f"{architecture.replace('_clip_', '_clip_quickgelu_')}.{config.tag}"
        raise UsageError(
            f"The weights {name} were trained with QuickGELU, and the model of this name computes another "
            f"function: use clip:{right}."
        )
    return TeacherFacts(
        architecture=architecture, tag=config.tag or "", mean=tuple(config.mean), std=tuple(config.std)
    )


def load_teacher(
    name: str,
    *,
    grid: int,
    num_levels: int,
    level_interval: float = 1,
    weights: Path | None = None,
    **sizes: Any,
) -> LoadedTeacher:
    """Return a teacher for frames of one size.

    Args:
        name: of timm, with or without the tag of its weights.
        grid: tokens along one side of a frame; positions that were learned for another grid are resized.
        num_levels: how many blocks are matched, the last one among them.
        level_interval: blocks from one of them to the next.
        weights: a file of its weights; None downloads timm's.
        sizes: changes to the architecture, as ``timm.create_model`` takes them.

    Raises:
        UsageError: no such model, not a vision transformer, or weights that are not its own.
        MachineError: the weights cannot be downloaded.
    """
    facts = find_teacher(name)
    if weights is not None and _is_clip_with_gelu(facts) and is_torchscript(weights):
        raise UsageError(
            f"{weights} is a program, as OpenAI publishes CLIP, whose models have QuickGELU, "
            f"and {name} has not: use clip:{facts.architecture.replace('_clip_', '_clip_quickgelu_')}."
        )
    input_px = grid * _patch_px(name, **sizes)
    state = _downloaded(name) if weights is None else read_weights(weights)
    projects = _projects(facts, state=state, is_file=weights is not None)
    if not projects:
        state = {key: tensor for key, tensor in state.items() if not key.startswith("head.")}
    num_outputs = len(state["head.weight"]) if projects else 0
    model = _built(name, img_size=input_px, num_classes=num_outputs, **sizes)
    digest = _digest(state)
    _fill(model, state, name=name, source=str(weights or "the download"))
    return LoadedTeacher(
        teacher=VitTeacher(model, num_levels=num_levels, level_interval=level_interval, projects=projects),
        weights_sha256=digest,
        projects=projects,
        input_px=input_px,
    )


def _is_clip_with_gelu(facts: TeacherFacts) -> bool:
    return "_clip_" in facts.architecture and "quickgelu" not in facts.architecture


def _downloaded(name: str) -> State:
    try:
        with _quiet():
            model = timm.create_model(name, pretrained=True)
    except Exception as error:  # of the network, the hub and timm, each with classes of its own
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise MachineError(
            f"The weights of {name} cannot be downloaded ({reason}): give a file of them with --weights."
        ) from None
    return {key: tensor.float() for key, tensor in model.state_dict().items()}


def _projects(facts: TeacherFacts, *, state: Mapping[str, Tensor], is_file: bool) -> bool:
    """Return whether the head is CLIP's projection, which has no bias, and not one that names classes."""
    if "_clip_" not in facts.architecture or "head.weight" not in state:
        return False
    if is_file:
        return "head.bias" not in state or not bool(state["head.bias"].any())
    return "_ft_" not in facts.tag


def _patch_px(name: str, **sizes: Any) -> int:
    """Return the side of a model's patches, before anything is downloaded.

    Raises:
        UsageError: it is not a vision transformer whose last attention can be looked at.
    """
    with torch.device("meta"):
        model = _built(name, **sizes)
    needed = ("blocks", "norm", "patch_embed", "num_prefix_tokens", "forward_intermediates")
    missing = [part for part in needed if not hasattr(model, part)]
    if missing or not hasattr(getattr(model.blocks[-1], "attn", None), "attn_drop"):
        raise UsageError(f"Model {name} is not a plain vision transformer: choose a ViT of timm.")
    return int(model.patch_embed.patch_size[0])


def _built(name: str, **sizes: Any) -> Any:
    """Return a model with random weights."""
    try:
        return timm.create_model(name, pretrained=False, **sizes)
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(f"Model {name} cannot be built for these frames ({reason}): choose a ViT.") from None


def _fill(model: Any, state: State, *, name: str, source: str) -> None:
    """Load weights, positions resized to the model's grid."""
    wanted = model.state_dict()
    given = dict(state)
    if "pos_embed" in wanted and "pos_embed" in given:
        height, width = model.patch_embed.grid_size
        num_prefix = wanted["pos_embed"].shape[1] - height * width
        given["pos_embed"] = _resized(given["pos_embed"], num_prefix=num_prefix, side=height)
    shapes = {key: tuple(tensor.shape) for key, tensor in given.items()}
    differing = [
        key
        for key in sorted(wanted.keys() | shapes.keys())
        if shapes.get(key) != (tuple(wanted[key].shape) if key in wanted else None)
    ]
    if differing:
        there, needed = shapes.get(differing[0], "absent"), "absent"
        if differing[0] in wanted:
            needed = str(list(wanted[differing[0]].shape))
        raise UsageError(
            f"{source} does not hold the weights of {name}: {len(differing)} tensors differ, the first, "
            f"{differing[0]}, is {there} and should be {needed}."
        )
    model.load_state_dict(given)


def _resized(table: Tensor, *, num_prefix: int, side: int) -> Tensor:
    """Return positions [1, P + N, D] for another square grid, those of the prefix tokens as they are.

    Bicubic without antialiasing, as UMT's ``load_state_dict`` does; timm's own loading antialiases.
    """
    prefix, patches = table[:, :num_prefix], table[:, num_prefix:]
    old = math.isqrt(patches.shape[1])
    if old == side or old * old != patches.shape[1]:
        return table
    image = patches.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    image = functional.interpolate(image, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([prefix, image.flatten(2).transpose(1, 2)], dim=1)


def _digest(state: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 of tensors that does not depend on the file they came in."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {list(state[name].shape)}\n".encode())
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub's log of a failed download from the user, who is told in one sentence."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
