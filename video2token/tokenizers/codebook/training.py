"""The loop that fits an autoencoder with a quantiser in its middle to frames, on a CPU within minutes."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.video2token.tokenizers.codebook.network import Autoencoder, to_pixels
from vfm.video2token.tokenizers.codebook.quantizer import Quantizer


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


class Learner:
    """Fits a network in place, and whatever its quantiser learns, to the mean squared error.

    The result follows from the arguments, the number of threads and the build of torch; on CUDA nearly.

    Attributes:
        step: how many steps are done.
        loss: of the last one.
        lr: the learning rate of the last one.

    Args:
        network: with its first weights.
        quantize: called with float32 features once a step.
        frames: uint8 [N, S, S, 3], S at least ``window_px``.
        options: how.
        seed: of the places of the windows.
    """

    def __init__(
        self, network: Autoencoder, quantize: Quantizer, frames: UInt8, options: LearnOptions, *, seed: int
    ) -> None:
        self.step, self.loss, self.lr = 0, math.nan, 0.0
        self._network, self._quantize, self._options = network, quantize, options
        self._parameters = list(network.parameters())
        self._device = self._parameters[0].device
        self._optimizer = torch.optim.Adam(self._parameters, lr=options.lr, betas=(0.9, 0.95))
        self._windows = draw_windows(frames, options, seed=seed)

    def run(self, on_step: Callable[["Learner"], None]) -> None:
        """Do the steps that are left, and call ``on_step`` after each.

        Raises:
            UsageError: the loss is not finite any more.
        """
        self._network.train()
        while self.step < self._options.steps:
            self._do()
            on_step(self)
        self._network.eval()

    def _do(self) -> None:
        loss = step_loss(self._network, self._quantize, next(self._windows).to(self._device))
        self.loss = loss.item()
        if not math.isfinite(self.loss):
            raise UsageError(f"Loss became non-finite at step {self.step + 1}: use another --seed.")
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, self._options.max_norm)
        self.lr = self._options.lr * _rate(self.step, self._options)
        for group in self._optimizer.param_groups:
            group["lr"] = self.lr
        self._optimizer.step()
        self.step += 1

    def state(self) -> dict[str, Tensor]:
        """Return weights, buffers and moments by name."""
        moments = self._optimizer.state_dict()["state"]
        return {
            **{f"network.{name}": tensor for name, tensor in self._network.state_dict().items()},
            **{f"adam.{i}.{name}": tensor for i, of in moments.items() for name, tensor in of.items()},
        }

    def restore(self, state: Mapping[str, Tensor], *, step: int) -> None:
        """Take up a state that was kept after ``step`` steps; call it once, before any step."""
        moments = {
            i: {
                "step": state[f"adam.{i}.step"],
                # In the layout of the parameter, as torch makes them: the file knows but one.
                **{
                    name: torch.empty_like(parameter).copy_(state[f"adam.{i}.{name}"])
                    for name in ("exp_avg", "exp_avg_sq")
                },
            }
            for i, parameter in enumerate(self._parameters)
        }
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})
        network = {name[8:]: tensor for name, tensor in state.items() if name.startswith("network.")}
        self._network.load_state_dict(network)
        for _ in range(step):  # the windows come from a generator of their own
            next(self._windows)
        self.step = step


def step_loss(network: Autoencoder, quantize: Quantizer, windows: Tensor) -> Tensor:
    """Return the loss of one batch of windows, uint8 [B, S, S, 3]."""
    pixels = to_pixels(windows)
    with _fast(pixels.device):
        features = network.encode(pixels)
    quantized = quantize(features.float())
    with _fast(pixels.device):
        rebuilt = network.decode(quantized.vectors)
    return functional.mse_loss(rebuilt.float(), pixels) + quantized.loss


def _fast(device: torch.device) -> torch.autocast:
    is_fast = device.type != "cpu" or has_fast_bfloat16()
    return torch.autocast(device.type, torch.bfloat16, enabled=is_fast)


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
