"""The numbers of probes: small heads on a frozen encoder, which tell what it knows without being changed.

A probe has no recipes of its own in the methods' folders: `probing` makes it of any encoder's. Several heads
learn side by side, one for each learning rate.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig

ProbeName = Literal["linear", "attentive"]
PROBES: tuple[ProbeName, ...] = get_args(ProbeName)
_BATCH_SIZE, _SMALLEST_BATCH, _UPDATES_PER_EPOCH = 64, 8, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """A linear layer on the encoder's `features`, behind a batch norm without weights (He et al. 2022, A.1).

    Attributes:
        rates: the learning rates of the heads; ``optim.lr`` is the highest of them.
    """

    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        is_right = bool(self.rates) and min(self.rates, default=0) > 0
        if not is_right or len(set(self.rates)) != len(self.rates):
            raise _misfit("rates", self.rates, "one number or more above 0, each named once")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentiveConfig(ProbeConfig):
    """One learned query that looks at all tokens (Bardes et al. 2024, V-JEPA; Assran et al. 2025, V-JEPA 2).

    Attributes:
        depth: blocks; the last is the query's, those before it let tokens look at each other. 1 in V-JEPA, 4
            in V-JEPA 2.
        num_heads: of each block; None is as many as the encoder has, as in V-JEPA.
        mlp_ratio: width of a block's perceptron over the encoder's channels.
    """

    depth: int = 1
    num_heads: int | None = None
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        # Not super(): with slots it would mean the class before it had any.
        ProbeConfig.__post_init__(self)
        if self.depth < 1:
            raise _misfit("depth", self.depth, "at least 1")
        if self.num_heads is not None and self.num_heads < 1:
            raise _misfit("num_heads", self.num_heads, "at least 1, or none")
        if self.mlp_ratio <= 0:
            raise _misfit("mlp_ratio", self.mlp_ratio, "above 0")


def probing(recipe: Recipe, probe: ProbeName) -> Recipe:
    """Return the probe of an encoder: its model and its clips, the probe's numbers, called ``NAME-PROBE``.

    Both learn for 20 epochs by AdamW, at a rate that falls on half a cosine to 0 without a warm-up, as
    V-JEPA's attentive probe does, whose weight decay (0.01) and rate (1e-3, among others) that one has; the
    linear one has no weight decay, as MAE's, which learns by LARS. The other rates, the batches of 64 and
    clips that are not changed at random are our own.

    Args:
        recipe: of the encoder, pretrained or finetuned.
        probe: which.
    """
    objective: ProbeConfig
    if probe == "linear":
        objective, decay = ProbeConfig(rates=(1e-2, 3e-3, 1e-3, 3e-4, 1e-4)), 0.0
    else:
        objective, decay = AttentiveConfig(rates=(5e-3, 3e-3, 1e-3, 3e-4, 1e-4)), 0.01
    optim = OptimConfig(
        lr=max(objective.rates), weight_decay=decay, clip_norm=None, warmup=0, schedule="cosine"
    )
    return replace(
        recipe,
        name=f"{recipe.name.removesuffix(f'-{probe}')}-{probe}",
        task=probe,
        objective=objective,
        optim=optim,
        train=TrainConfig(seed=recipe.train.seed, epochs=20, batch_size=_BATCH_SIZE),
    )


def probe_batch_size(num_samples: int, *, world_size: int) -> int:
    """Return how many samples an update has: fewer where there are few, so that an epoch is several updates.

    Args:
        num_samples: to learn from.
        world_size: ranks, among which a batch is divided.
    """
    wanted = min(max(num_samples // _UPDATES_PER_EPOCH, _SMALLEST_BATCH), _BATCH_SIZE, num_samples)
    return max(wanted // world_size, 1) * world_size


def _misfit(name: str, value: object, allowed: str) -> UsageError:
    key = f"objective.{name}"
    return UsageError(f"{key} is {value}, but must be {allowed}: change it with `--set {key}=...`.")
