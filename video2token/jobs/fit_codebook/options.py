"""What a codebook is fitted to, and what came of it."""

from dataclasses import dataclass
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.tokenizers.codebook.network import STRIDE
from vfm.video2token.tokenizers.codebook.quality import Quality
from vfm.video2token.tokenizers.tokenizer import check_side


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """What is fitted, and to what.

    Attributes:
        name: of the codebook; its codes become the column ``vq.NAME``.
        crop_px: side of the frames it is for, a multiple of 8; they are fitted in the view ``centre``.
        vocab_size: how many codes there are.
        steps: of the optimizer.
        seed: of the weights and of what is drawn; 0 or more.
    """

    name: str
    crop_px: int = 128
    vocab_size: int = 1024
    steps: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a size that cannot be cut into codes, and numbers that mean nothing."""
        check_side(self.crop_px, stride=STRIDE)
        if self.steps < 1 or self.seed < 0:
            raise UsageError(
                f"{self.steps} steps with seed {self.seed} fit nothing: use 1 step and seed 0 or more."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """A fitted codebook.

    Attributes:
        codebook: its folder.
        picture: originals above reconstructions, PNG.
        name: its codes become the column ``vq.NAME``.
        vocab_size: how many codes there are.
        weights_sha256: of the safetensors file.
        num_train_frames: frames it was fitted to.
        num_held_out_frames: frames it was judged by.
        quality: on the frames held out.
        elapsed_s: wall time of this run.
        is_new: False when an earlier run had fitted the same.
    """

    codebook: Path
    picture: Path
    name: str
    vocab_size: int
    weights_sha256: str
    num_train_frames: int
    num_held_out_frames: int
    quality: Quality
    elapsed_s: float
    is_new: bool
