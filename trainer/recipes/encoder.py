"""The sizes of the video transformers that methods share, as a recipe gives them."""

from dataclasses import dataclass
from typing import ClassVar, Self

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSizes:
    """Shape of an encoder; the frames of a clip are ``data.clip_len``.

    Attributes:
        image_px: side of a frame, in pixels.
        patch_px: side of a token, in pixels.
        dim: channels of a token.
        depth: number of blocks.
        num_heads: attention heads of each block.
        drop_path: how often the last block is left out in training; earlier ones less, the first never (Huang
            et al. 2016).
    """

    # Not of the encoder but of how it is trained: finetuning takes these from its own recipe.
    OF_TRAINING: ClassVar[tuple[str, ...]] = ("drop_path",)
    # What becomes of positions where clips have another shape than those of the pretraining.
    RESHAPING: ClassVar[str] = "its table of positions is computed anew"

    # Whether images are pretrained on as well, as clips of one frame.
    READS_IMAGES: ClassVar[bool] = False

    image_px: int = 224
    patch_px: int = 16
    dim: int = 768
    depth: int = 12
    num_heads: int = 12
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        self.check_multiple("image_px", "patch_px")
        self.check_multiple("dim", "num_heads")
        self.check_positive("depth")
        if not 0.0 <= self.drop_path < 1.0:
            raise UsageError(f"model.drop_path is {self.drop_path}, but must be in [0, 1).")

    def check_multiple(self, whole: str, part: str) -> None:
        """Refuse a size that is not a multiple of another, both at least 1."""
        large, small = getattr(self, whole), getattr(self, part)
        if small < 1 or large < 1 or large % small:
            raise UsageError(
                f"model.{whole} is {large} and model.{part} is {small}; "
                "the first must be a multiple of the second."
            )

    def check_positive(self, *names: str) -> None:
        """Refuse numbers below 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise UsageError(f"model.{name} is {getattr(self, name)}, but must be at least 1.")

    @property
    def has_own_shape(self) -> bool:
        """Whether a finetuning recipe is for clips of its own shape, not for those of the pretraining."""
        return False

    def begun(self, *, clip_len: int) -> Self:
        """Return the sizes of an encoder that starts from one of these, which reads so many frames."""
        del clip_len
        return self

    @property
    def frame_px(self) -> int:
        """Side of the square that the network sees."""
        return self.image_px

    @property
    def cells_per_frame(self) -> int:
        """Tokens of one slice of time."""
        return (self.image_px // self.patch_px) ** 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderSizes(EncoderSizes):
    """Shape of VideoMAE's encoder and of the decoder that pretraining adds (arXiv 2203.12602, table 8).

    Attributes:
        tubelet: frames of a token.
        decoder_dim: channels of the decoder.
        decoder_depth: number of its blocks.
        decoder_heads: attention heads of each.
    """

    tubelet: int = 2
    decoder_dim: int = 384
    decoder_depth: int = 4
    decoder_heads: int = 6

    def __post_init__(self) -> None:
        EncoderSizes.__post_init__(self)
        self.check_multiple("decoder_dim", "decoder_heads")
        self.check_positive("tubelet", "decoder_depth")


def reads_images(recipe: Recipe) -> bool:
    """Return whether a pretraining recipe learns from images beside videos."""
    return recipe.task is None and getattr(recipe.model, "READS_IMAGES", False)
