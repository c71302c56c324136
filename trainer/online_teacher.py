"""What the trainer asks of a teacher that it is given: features of frames, while it learns."""

from typing import Protocol

from torch import Tensor


class OnlineTeacher(Protocol):
    """A teacher that looks at every clip in the training loop, instead of once before it.

    Attributes:
        dim: channels of a feature.
        weights_sha256: of its tensors.
    """

    dim: int
    weights_sha256: str

    def __call__(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, float32 [N, h·w, K, C], and attention, float32 [N, h·w], without gradients.

        Args:
            frames: uint8 [N, S, S, 3], RGB.
        """


class OpenTeacher(Protocol):
    """Makes an `OnlineTeacher`; networks of teachers are not the trainer's."""

    def __call__(  # noqa: PLR0913 (keyword-only)
        self,
        name: str,
        *,
        grid: int,
        levels: int,
        level_interval: float,
        weights: str | None,
        normalization: str,
        precision: str,
    ) -> OnlineTeacher:
        """Return the teacher of that name for frames of ``grid`` x ``grid`` tokens.

        Args:
            name: of timm.
            grid: tokens along a side of a frame.
            levels: of how many blocks features are given, the last one among them.
            level_interval: blocks from one of them to the next.
            weights: a file; None downloads timm's.
            normalization: ``imagenet`` or ``model``.
            precision: of its products.

        Raises:
            UsageError: there is no such teacher, or its weights are not in the file.
            MachineError: they cannot be downloaded.
        """
