"""``clip:NAME``: features and attention of a vision transformer of timm, the targets of UMT.

A vector of each of the last blocks for every patch (arXiv 2303.16058, section 3.1), and how much the class
token attends to it, from which masks are drawn.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vfm.shards.array_types import UInt8
from vfm.shards.codecs.scalar import DTYPES, FEATURES, SCALE, encode
from vfm.shards.columns.arrays import ATTENTION
from vfm.shards.columns.views import parse_views
from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_name
from vfm.shards.pixels.imagenet import MEAN, STD
from vfm.shards.pixels.views import View
from vfm.video2token.target import Arrays, FrameTarget, TargetOptions, check_device

if TYPE_CHECKING:
    from vfm.video2token.teachers.loading import LoadedTeacher

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What only this kind may be told.

    Attributes:
        crop_px: side of the square that the student will see.
        token_px: side of the student's patches: the teacher sees the square at a size that gives as many.
        views: ``centre``, ``random:K`` or a file, see `vfm.shards.columns.views.parse_views`.
        levels: of how many blocks features are kept, the last one among them.
        level_interval: blocks from one of them to the next.
        normalization: constants that the teacher's pixels are normalized by: ``imagenet``, as UMT's teacher
            sees them although CLIP was trained with others, or ``model``, those that it was trained with.
        precision: of the network's products, ``fp32``, ``bf16`` or ``fp16``.
        store: how features are kept, ``fp32``, ``fp16`` or ``int8``.
        weights: a file of the teacher's weights; None downloads timm's.
    """

    crop_px: int = 224
    token_px: int = 16
    views: str = "centre"
    levels: int = 6
    level_interval: float = 1
    normalization: str = "imagenet"
    precision: str = "fp32"
    store: str = "int8"
    weights: str | None = None


def build(argument: str, own: Options, options: TargetOptions) -> "ClipTarget":
    """Return the target of the teacher that ``argument`` names.

    Raises:
        UsageError: no such model, weights of another, a view that is not made of whole patches, or an option
            that has no such value.
        MachineError: the weights cannot be downloaded.
    """
    if not argument:
        raise UsageError(
            "Target clip needs a vision transformer of timm: write clip:NAME, such as "
            "clip:vit_base_patch16_clip_quickgelu_224.openai."
        )
    _check(own)
    from vfm.video2token.teachers.loading import find_teacher, load_teacher

    facts = find_teacher(argument)
    name = facts.architecture if options.name is None else check_name(options.name)
    loaded = load_teacher(
        argument,
        grid=own.crop_px // own.token_px,
        num_levels=own.levels,
        level_interval=own.level_interval,
        weights=None if own.weights is None else Path(own.weights),
    )
    constants = (MEAN, STD) if own.normalization == "imagenet" else (facts.mean, facts.std)
    return ClipTarget(
        loaded,
        argument=argument,
        name=f"clip.{name}",
        own=own,
        constants=constants,
        options=options,
    )


def _check(own: Options) -> None:
    for name, value, allowed in (
        ("--normalization", own.normalization, ("imagenet", "model")),
        ("--precision", own.precision, PRECISIONS),
        ("--store", own.store, tuple(DTYPES)),
    ):
        if value not in allowed:
            raise UsageError(f"{name} of target clip cannot be {value!r}: use one of {', '.join(allowed)}.")
    if own.token_px < 1 or own.crop_px % own.token_px:
        raise UsageError(
            f"Frames of {own.crop_px} px cannot be cut into patches of {own.token_px} px: use another --crop "
            "or --token."
        )


class ClipTarget(FrameTarget):
    """Features [V, T, h, w, K, C] of unit length, token by token, and attention [V, T, h, w].

    The last batch of a shard is filled up, so that every frame is computed in a batch of one size: products
    of matrices of another size may round otherwise.
    """

    def __init__(
        self,
        loaded: "LoadedTeacher",
        *,
        argument: str,
        name: str,
        own: Options,
        constants: tuple[tuple[float, ...], tuple[float, ...]],
        options: TargetOptions,
    ) -> None:
        self.name = name
        self.kind = "clip"
        self.fields = (FEATURES, *((SCALE,) if own.store == "int8" else ()), ATTENTION)
        self.views: tuple[View, ...] = parse_views(own.views, crop_px=own.crop_px)
        self.token_px = own.token_px
        self.batch_size = options.batch_size
        self._device = check_device(options.device)
        self._teacher = loaded.teacher.to(self._device)
        self._own = own
        self._side = own.crop_px // own.token_px
        self._mean, self._std = constants
        self._input_px = loaded.input_px
        self.options: dict[str, Any] = {
            "teacher": argument,
            "weights_sha256": loaded.weights_sha256,
            "projected": loaded.projects,
            "levels": own.levels,
            "level_interval": own.level_interval,
            "dim": loaded.teacher.dim,
            "token_px": own.token_px,
            "input_px": self._input_px,
            "mean": list(self._mean),
            "std": list(self._std),
            "precision": own.precision,
            "batch_size": self.batch_size,
            "store": own.store,
            "views": [view.to_dict() for view in self.views],
        }

    def compute(self, frames: UInt8) -> Arrays:
        """Return ``features.npy`` [N, h, w, K, C] and ``attention.npy`` [N, h, w]; see `scalar.encode`."""
        features, attention = self.look_at(frames)
        grid = (len(frames), self._side, self._side)
        members = encode(features.reshape(*grid, *features.shape[2:]), self._own.store)
        dtype = np.float32 if self._own.store == "fp32" else np.float16
        smallest = np.finfo(dtype).smallest_subnormal  # rounded to zero, a patch could never be seen
        kept = np.maximum(attention.reshape(grid), smallest).astype(dtype)
        return {**members, ATTENTION: kept}

    def look_at(self, frames: UInt8) -> tuple[np.ndarray, np.ndarray]:
        """Return features [N, h·w, K, C] and attention [N, h·w] of frames, float32."""
        import torch

        from vfm.video2token.teachers.vit import normalized

        filled = np.zeros((max(self.batch_size, len(frames)), *frames.shape[1:]), np.uint8)
        filled[: len(frames)] = frames
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self._own.precision)
        with (
            torch.inference_mode(),
            torch.autocast(torch.device(self._device).type, dtype=dtype, enabled=dtype is not None),
        ):
            images = normalized(
                torch.from_numpy(filled).to(self._device),
                mean=self._mean,
                std=self._std,
                input_px=self._input_px,
            )
            features, attention = self._teacher(images)
        return features[: len(frames)].cpu().numpy(), attention[: len(frames)].cpu().numpy()
