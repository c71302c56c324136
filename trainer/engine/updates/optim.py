"""AdamW with decay groups, and the learning rate of every update."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.wording import counted
from vfm.trainer.data.stream import epoch_samples
from vfm.trainer.engine.updates.sharding import Keep, part_of, whole
from vfm.trainer.method import Method
from vfm.trainer.recipes.recipe import OptimConfig, TrainConfig


def num_updates(config: TrainConfig, *, num_samples: int) -> int:
    """Return how many updates a run has: ``max_steps``, else every full batch of all epochs.

    Where epochs follow each other without a gap, at most one batch is left over in a whole run; with
    ``drop_last`` it is one in each epoch.

    Raises:
        UsageError: a batch is larger than the dataset, so that samples would be in it twice.
    """
    if config.batch_size > num_samples:
        raise UsageError(
            f"A batch of {config.batch_size} is more than the {counted(num_samples, 'sample')} there are: "
            f"lower it with --batch-size {num_samples} or less."
        )
    if config.max_steps is not None:
        return config.max_steps
    if config.drop_last:
        return config.epochs * (num_samples // config.batch_size)
    return config.epochs * num_samples // config.batch_size


def updates_per_epoch(config: TrainConfig, *, num_samples: int) -> float:
    """Return how many updates one pass over the samples is, a whole number with ``drop_last``."""
    return epoch_samples(config, num_samples=num_samples) / config.batch_size


def lr_at(update: int, *, num_updates: int, config: OptimConfig) -> float:
    """Return the learning rate of one update, counted from 0.

    It rises linearly over the warm-up, then falls to ``min_lr``, which the update after the last would
    have: on a line, on half a period of a cosine, or not at all (``constant``). The first update of a warm-up
    has the rate that it starts with, 0 unless told otherwise, as in the reference implementations.

    Args:
        update: which.
        num_updates: of the whole run.
        config: rates and warm-up of the run (`OptimConfig.for_run`).
    """
    warmup = int(config.warmup * num_updates) if config.warmup < 1 else int(config.warmup)
    if update < warmup:
        steps = warmup - 1 if config.warmup_peak == "last" else warmup
        rate = config.warmup_start + (config.lr - config.warmup_start) * update / max(steps, 1)
        return max(rate, config.lr_floor)
    progress = min((update - warmup) / max(num_updates - warmup, 1), 1.0)
    match config.schedule:
        case "linear":
            share = 1.0 - progress
        case "cosine":
            share = 0.5 * (1.0 + math.cos(math.pi * progress))
        case "constant":
            share = 1.0
    return max(config.min_lr + (config.lr - config.min_lr) * share, config.lr_floor)


def build_optimizer(method: Method, *, config: OptimConfig) -> torch.optim.AdamW:
    """Return AdamW over the parameters that learn, in groups of one weight decay and one learning rate.

    Each group holds its parameters' names (``param_names``), by which a checkpoint stores their moments, and
    the factor of its learning rate (``lr_scale``). Against the AdamW of the references this one decays before
    it steps, a difference of the order lr² * weight_decay.

    Raises:
        UsageError: the recipe has a layer decay and the method has no layers.
    """
    groups: dict[tuple[float, bool], list[tuple[str, Tensor]]] = {}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            scale = method.lr_factor(name) * lr_scale(name, method=method, layer_decay=config.layer_decay)
            groups.setdefault((scale, method.no_weight_decay(name)), []).append((name, parameter))
    settings = [
        {"params": named, "weight_decay": 0.0 if is_spared else config.weight_decay, "lr_scale": scale}
        for (scale, is_spared), named in sorted(groups.items(), key=lambda group: group[0])
    ]
    # The fused kernel needs every parameter on one kind of device that has it; both of ours do.
    kinds = {parameter.device.type for named in groups.values() for _, parameter in named}
    return torch.optim.AdamW(
        settings, lr=config.lr, betas=config.betas, eps=config.eps, fused=kinds <= {"cpu", "cuda"}
    )


def lr_scale(name: str, *, method: Method, layer_decay: float) -> float:
    """Return the factor of a parameter's learning rate: a power of the layer decay (Bao et al. 2021, BEiT).

    Raises:
        UsageError: the recipe has a layer decay and the method has no layers.
    """
    if layer_decay == 1.0:
        return 1.0
    layer = method.layers_above(name)
    if layer is None:
        raise UsageError(
            f"optim.layer_decay is {layer_decay:g}, and this recipe has no layers to tell apart, as those "
            "for finetuning have: change it with `--set optim.layer_decay=1`."
        )
    return layer_decay**layer


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate ``lr``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def moments(optimizer: torch.optim.Optimizer, *, keep: Keep = Tensor.cpu) -> dict[str, Tensor]:
    """Return the optimizer's tensors, whole and on the CPU, as ``moment/parameter``: ``exp_avg/head.weight``.

    Every rank must call this.
    """
    return {
        f"{kind}/{name}": keep(whole(tensor))
        for name, parameter in _named(optimizer)
        for kind, tensor in optimizer.state.get(parameter, {}).items()
    }


def load_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give the optimizer the tensors that `moments` returned; parameters without any start afresh."""
    index = {name: (i, parameter) for i, (name, parameter) in enumerate(_named(optimizer))}
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        number, parameter = index[name]
        is_count = tensor.ndim == 0  # of updates; moments are divided as their parameters are
        state.setdefault(number, {})[kind] = tensor if is_count else part_of(tensor, like=parameter)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _named(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for group in optimizer.param_groups:
        yield from zip(group["param_names"], group["params"], strict=True)
