"""A teacher of single frames, from bytes to features: a column is computed by it, or a student is taught."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from vfm.shards.pixels.imagenet import MEAN, STD
from vfm.video2token.teachers.loading import LoadedTeacher, find_teacher, load_teacher
from vfm.video2token.teachers.vit import TeacherOutput, normalized

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class FrameTeacher:
    """Features and attention of frames as they are stored.

    Attributes:
        dim: channels of a feature.
        weights_sha256: of the teacher's tensors.
        projects: whether tokens go through CLIP's projection.
        input_px: side of the frames that the network itself is given.
        mean: constants that pixels are normalized by, of each channel.
        std: the same.
    """

    def __init__(
        self, loaded: LoadedTeacher, *, mean: Sequence[float], std: Sequence[float], precision: str
    ) -> None:
        """Take a network.

        Args:
            loaded: with its weights.
            mean: of each channel, for values in [0, 1].
            std: the same.
            precision: of its products, ``fp32``, ``bf16`` or ``fp16``.
        """
        self._network = loaded.teacher
        self.dim, self.weights_sha256 = loaded.teacher.dim, loaded.weights_sha256
        self.projects, self.input_px = loaded.projects, loaded.input_px
        self.mean, self.std = tuple(mean), tuple(std)
        self._dtype = _DTYPES.get(precision)
        if self._dtype is not None:
            _round_weights(self._network, self._dtype)

    def __call__(self, frames: Tensor) -> TeacherOutput:
        """Return features [N, h·w, K, C] and attention [N, h·w], float32, on the frames' device.

        Args:
            frames: uint8 [N, S, S, 3], RGB.
        """
        self._network.to(frames.device)
        is_mixed = self._dtype is not None
        with torch.no_grad(), torch.autocast(frames.device.type, dtype=self._dtype, enabled=is_mixed):
            images = normalized(frames, mean=self.mean, std=self.std, input_px=self.input_px)
            output: TeacherOutput = self._network(images)
        return output


def _round_weights(network: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights of products once; autocast, which would do it for every batch, gives the same."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(dtype)


def open_teacher(  # noqa: PLR0913 (keyword-only)
    name: str,
    *,
    grid: int,
    levels: int,
    level_interval: float = 1,
    weights: str | None = None,
    normalization: str = "imagenet",
    precision: str = "fp32",
) -> FrameTeacher:
    """Return a teacher for frames of ``grid`` x ``grid`` tokens; see `load_teacher`.

    Args:
        name: of timm.
        grid: tokens along a side of a frame.
        levels: of how many blocks features are given, the last one among them.
        level_interval: blocks from one of them to the next.
        weights: a file; None downloads timm's.
        normalization: ``imagenet`` or ``model``.
        precision: of its products.
    """
    facts = find_teacher(name)
    loaded = load_teacher(
        name,
        grid=grid,
        num_levels=levels,
        level_interval=level_interval,
        weights=None if weights is None else Path(weights),
    )
    mean, std = (MEAN, STD) if normalization == "imagenet" else (facts.mean, facts.std)
    return FrameTeacher(loaded, mean=mean, std=std, precision=precision)
