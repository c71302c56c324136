"""The numbers of VIMPAC: what its model, its masks and its two losses can be set to."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import DataConfig, OptimConfig, Recipe, TrainConfig

Positions = Literal["hw_separation", "temporal_separation", "default"]
AXES = ("T", "H", "W")

# The large model's schedule goes through both of its stages; its warm-up is 5 % of all updates.
_LARGE_LR, _LARGE_EPOCHS, _LARGE_WARMUP_EPOCHS = 3e-4, 100, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Shape of the VIMPAC transformer and of its two pretraining heads (arXiv 2106.11250).

    `None` stands for "take it from the data": the column's codebook and grid, and the clip length.

    Attributes:
        num_layers: number of residual blocks.
        dim: width D of the residual stream.
        num_heads: attention heads; None is dim // 64. `halve_att` narrows the heads, it does not drop any.
        vocab_size: codes of the codebook; the table holds five special ids more (see `VimpacBackbone`).
        clip_len: frames L of a clip.
        frame_px: side of the square that a frame's codes were made of, in pixels; any takes what is there.
        grid_height: rows H of a frame's code grid.
        grid_width: columns W of a frame's code grid.
        layout: attention blocks of a layer, in order, separated by commas; "|" splits the channels of one
            block between axes that run side by side.
        pos_emb: "hw_separation", "temporal_separation" or "default" (one table).
        pre_activation: normalise before each branch instead of after it.
        halve_att: attention works in D / 2 channels.
        halve_mlp: the MLP is 2 D wide instead of 4 D.
        dropout: after the embeddings, on attention probabilities and after every branch.
        nce_proj_layers: linear layers of the contrastive head.
        nce_proj_dim: width between those layers.
        nce_out_dim: width of the space in which clips are compared.
        init_std: standard deviation of the first weights; the reference's is 0.02, narrow models learn sooner
            from more.
    """

    # What becomes of positions where clips have another shape than those of the pretraining.
    RESHAPING: ClassVar[str] = "its tables of positions are stretched"

    num_layers: int = 6
    dim: int = 512
    num_heads: int | None = None
    vocab_size: int | None = None
    clip_len: int | None = None
    frame_px: int | Literal["any"] = "any"
    grid_height: int | None = None
    grid_width: int | None = None
    layout: str = "T,H|W"
    pos_emb: Positions = "hw_separation"
    pre_activation: bool = False
    halve_att: bool = False
    halve_mlp: bool = False
    dropout: float = 0.1
    nce_proj_layers: int = 2
    nce_proj_dim: int = 2048
    nce_out_dim: int = 256
    init_std: float = 0.02

    def __post_init__(self) -> None:
        _check_sizes(self)
        if self.pos_emb not in get_args(Positions):
            raise UsageError(
                f"model.pos_emb is {self.pos_emb!r}, but must be one of {', '.join(get_args(Positions))}."
            )
        if self.init_std <= 0.0:
            raise UsageError(f"model.init_std is {self.init_std}, but must be greater than 0.")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"model.dropout is {self.dropout}, but must be in [0, 1).")
        if self.pre_activation and self.halve_att:
            raise UsageError("model.pre_activation and model.halve_att do not go together; switch one off.")
        for axes in parse_layout(self.layout):
            _check_split(self, len(axes))

    @property
    def heads(self) -> int:
        """Attention heads of a block, all its axes together."""
        return max(self.dim // 64, 1) if self.num_heads is None else self.num_heads

    @property
    def attention_dim(self) -> int:
        """Channels in which a block attends, all its axes together."""
        return self.dim // 2 if self.halve_att else self.dim

    @property
    def mlp_dim(self) -> int:
        """Width of the MLP between its two linear layers."""
        return self.dim * (2 if self.halve_mlp else 4)


def _check_sizes(config: ModelConfig) -> None:
    sizes = ("num_layers", "dim", "num_heads", "vocab_size", "clip_len", "grid_height", "grid_width")
    for name in (*sizes, "nce_proj_layers", "nce_proj_dim", "nce_out_dim"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UsageError(f"model.{name} is {value}, but must be at least 1.")


def _check_split(config: ModelConfig, num_axes: int) -> None:
    if config.attention_dim % config.heads or config.heads % num_axes:
        raise UsageError(
            f"model.layout {config.layout!r} puts {num_axes} axes in one block, but {config.attention_dim} "
            f"channels in {config.heads} heads do not split evenly; change model.dim or model.num_heads."
        )


def parse_layout(layout: str) -> tuple[tuple[str, ...], ...]:
    """Split a layout into blocks of axes: "T,H|W" is (("T",), ("H", "W")).

    Raises:
        UsageError: an axis that is not T, H or W.
    """
    blocks = tuple(tuple(block.split("|")) for block in layout.split(","))
    unknown = sorted({axis for block in blocks for axis in block} - set(AXES))
    if unknown:
        raise UsageError(
            f"model.layout {layout!r} names {unknown[0]!r}; axes are T, H and W, blocks are separated by "
            f"commas and axes side by side by '|', as in 'T,H|W'."
        )
    return blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is masked and how the two losses are weighed (arXiv 2106.11250, section 3).

    Attributes:
        mask_blocks: blocks masked per clip; a negative number -p masks every code with probability p / 1000
            instead.
        mask_rand_replace: per block, 80 % MASK, 10 % random codes, 10 % left as earlier blocks left them (the
            paper: diverges when large).
        mlm_weight: weight of the masked-code loss.
        nce_weight: weight of the contrastive loss.
        temperature: softmax temperature of the contrastive loss.
    """

    mask_blocks: int = 5
    mask_rand_replace: bool = False
    mlm_weight: float = 1.0
    nce_weight: float = 1.0
    temperature: float = 0.2

    def __post_init__(self) -> None:
        if self.temperature <= 0.0:
            raise UsageError(f"objective.temperature is {self.temperature}, but must be greater than 0.")
        if self.mask_blocks == 0 and self.mlm_weight > 0.0:
            raise UsageError(
                "objective.mask_blocks is 0, which masks nothing; set objective.mlm_weight=0 with it."
            )
        if self.mask_blocks < -1000:
            raise UsageError(
                f"objective.mask_blocks is {self.mask_blocks}; below 0 it counts thousandths, -1000 to -1."
            )
        if self.mask_rand_replace and self.mask_blocks < 0:
            raise UsageError(
                f"objective.mask_rand_replace decides block by block and objective.mask_blocks="
                f"{self.mask_blocks} draws no blocks; set objective.mask_blocks to 1 or more."
            )


def resolve(config: ModelConfig, *, vocab_size: int, clip_len: int, grid: tuple[int, int]) -> ModelConfig:
    """Fill in what the recipe left to the data, and refuse what contradicts it.

    Args:
        config: the recipe's model.
        vocab_size: codes of the column's codebook.
        clip_len: frames of a clip.
        grid: rows and columns of a frame's code grid.

    Raises:
        UsageError: the recipe asks for a number that the data does not have.
    """
    found = {"vocab_size": vocab_size, "clip_len": clip_len, "grid_height": grid[0], "grid_width": grid[1]}
    for name, value in found.items():
        wanted = getattr(config, name)
        if wanted not in (None, value):
            raise UsageError(
                f"The recipe sets model.{name}={wanted}, but the data has {value}; leave model.{name} out "
                f"or choose another column."
            )
    return replace(config, vocab_size=vocab_size, clip_len=clip_len, grid_height=grid[0], grid_width=grid[1])


def small() -> Recipe:
    """The released small model and its pretraining, but for the codebook (its script "small")."""
    return Recipe(
        name="vimpac-small",
        method="vimpac",
        model=ModelConfig(frame_px=128),
        objective=Objective(),
        data=DataConfig(columns=("vq.*",), clip_len=5, seconds_apart=0.5),
        optim=OptimConfig(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, clip_norm=1.0, warmup=0.1),
        train=TrainConfig(seed=9595, epochs=10, batch_size=1024, drop_last=True, micro_batch_size=8),
    )


def tiny() -> Recipe:
    """A model that learns something on a CPU in minutes; our own configuration, not from the paper."""
    recipe = small()
    return replace(
        recipe,
        name="vimpac-tiny",
        model=replace(
            recipe.model,
            num_layers=2,
            frame_px="any",
            dim=64,
            num_heads=2,
            halve_mlp=True,
            dropout=0.0,
            nce_proj_dim=256,
            nce_out_dim=128,
            init_std=0.06,
        ),
        objective=replace(recipe.objective, mask_blocks=-300, nce_weight=0.1),
        data=replace(recipe.data, clip_len=4, seconds_apart="any", stride=1),
        optim=replace(recipe.optim, lr=2e-3),
        train=replace(recipe.train, seed=0, epochs=40, batch_size=32, micro_batch_size=None),
    )


def large_half() -> Recipe:
    """The released large model with narrow branches, its first stage (script "large", at 128 px).

    The reference schedules 100 epochs and stops after 90; a rate that falls to what it has then is the same.
    A micro-batch of two videos is one GPU's share: negatives come from all of them, the
    paper's 255 from 64.
    """
    recipe = small()
    return replace(
        recipe,
        name="vimpac-large-half",
        model=replace(
            recipe.model,
            num_layers=24,
            dim=1024,
            halve_att=True,
            halve_mlp=True,
            nce_proj_layers=3,
            nce_proj_dim=4096,
        ),
        optim=replace(
            recipe.optim, lr=_LARGE_LR, warmup_epochs=_LARGE_WARMUP_EPOCHS, min_lr=_large_lr_after(90)
        ),
        train=replace(recipe.train, epochs=90, micro_batch_size=2),
    )


def large_half_256() -> Recipe:
    """The second stage of `large_half`: its last ten epochs, at 256 px, from the weights of the first."""
    recipe = large_half()
    return replace(
        recipe,
        name="vimpac-large-half-256",
        model=replace(recipe.model, frame_px=256),
        objective=replace(recipe.objective, mask_blocks=6),
        optim=replace(recipe.optim, lr=_large_lr_after(90), warmup=0, warmup_epochs=None, min_lr=0.0),
        train=replace(recipe.train, epochs=10, micro_batch_size=1),
    )


def _large_lr_after(epochs: int) -> float:
    """Return the rate of the large model's schedule of 100 epochs after some of them."""
    return _LARGE_LR * (_LARGE_EPOCHS - epochs) / (_LARGE_EPOCHS - _LARGE_WARMUP_EPOCHS)


RECIPES: dict[str, Callable[[], Recipe]] = {
    "vimpac-tiny": tiny,
    "vimpac-small": small,
    "vimpac-large-half": large_half,
    "vimpac-large-half-256": large_half_256,
}
