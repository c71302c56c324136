"""The loop that fits an autoencoder with a quantiser in its middle to frames, on a CPU within minutes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from vfm.shards.errors import UsageError
from vfm.video2token.autoencoder import Autoencoder, to_pixels
from vfm.video2token.quantise import Quantiser

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnOptions:
    """How the network is fitted.

    Attributes:
        steps: of the optimizer.
        batch_size: windows to a step.
        window_px: side of the squares that are cut from the frames at random places.
        lr: highest learning rate of Adam; reached after ``warm_up`` steps, then a cosine down to 0.
        warm_up: steps.
        max_norm: gradients are scaled down to this norm; well above what a step has once learning is under
            way, it takes the edge off the first hundred.
    """

    steps: int = 2000
    batch_size: int = 16
    window_px: int = 64
    lr: float = 2e-3
    warm_up: int = 50
    max_norm: float = 0.05


def learn(
    network: Autoencoder,
    quantise: Quantiser,
    frames: UInt8,
    options: LearnOptions,
    *,
    seed: int,
    on_step: Callable[[int], None],
) -> None:
    """Fit ``network`` in place, and whatever ``quantise`` learns, to the mean squared error.

    The result follows from the arguments, the number of threads and the build of torch.

    Args:
        network: with its first weights.
        quantise: called with float32 features once a step.
        frames: uint8 [N, S, S, 3], S at least ``window_px``.
        options: how.
        seed: of the places of the windows.
        on_step: called after each step with the number of steps done.

    Raises:
        UsageError: the loss is not finite any more.
    """
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=options.lr, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, options))
    windows = draw_windows(frames, options, seed=seed)
    network.train()
    for step in range(1, options.steps + 1):
        loss = step_loss(network, quantise, next(windows))
        if not loss.isfinite():
            raise UsageError(f"Fitting got lost at step {step}, its error is not finite: use another --seed.")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, options.max_norm)
        optimizer.step()
        schedule.step()
        on_step(step)
    network.eval()


def step_loss(network: Autoencoder, quantise: Quantiser, windows: Tensor) -> Tensor:
    """Return the loss of one batch of windows, uint8 [B, S, S, 3]."""
    pixels = to_pixels(windows)
    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
        features = network.encode(pixels)
    quantised = quantise(features.float())
    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
        rebuilt = network.decode(quantised.vectors)
    return functional.mse_loss(rebuilt.float(), pixels) + quantised.loss


def has_fast_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 itself: 1.8 times as fast as float32, equally good here."""
    # Torch has no public name for this question in all versions we support.
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return ask is not None and bool(ask())


def draw_windows(frames: UInt8, options: LearnOptions, *, seed: int) -> Iterator[Tensor]:
    """Yield batches of squares cut from the frames, every other one mirrored: uint8 [B, S, S, 3], endless."""
    rng = np.random.default_rng(seed)
    size = options.window_px
    spare = frames.shape[1] - size
    while True:
        batch = np.empty((options.batch_size, size, size, 3), np.uint8)
        for out in batch:
            index, top, left = rng.integers(0, (len(frames), spare + 1, spare + 1))
            window = frames[index, top : top + size, left : left + size]
            out[:] = window[:, ::-1] if rng.integers(2) else window
        yield torch.from_numpy(batch)


def _rate(step: int, options: LearnOptions) -> float:
    """Return the share of the highest learning rate that step ``step``, from 0, is given."""
    warm = min(1.0, (step + 1) / options.warm_up)
    return warm * 0.5 * (1 + math.cos(math.pi * step / options.steps))
