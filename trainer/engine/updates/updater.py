"""One update after another of a method's weights, whatever the method and however many ranks."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vfm.trainer.data.stream import MicroBatch, StepInput
from vfm.trainer.distributed import World, unsynced, wrap
from vfm.trainer.engine.updates.average import WeightAverage
from vfm.trainer.engine.updates.blocks import as_written, compile_blocks, compiling, recompute
from vfm.trainer.engine.updates.optim import build_optimizer, moments, set_lr
from vfm.trainer.engine.updates.precision import autocast
from vfm.trainer.engine.updates.sharding import kept_by, shard, unreduced, whole, whole_state
from vfm.trainer.engine.updates.waiting import Waiting
from vfm.trainer.method import Method
from vfm.trainer.recipes.recipe import OptimConfig, Parallel, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """What a rank has found of its samples of an update; the gradients themselves lie at the parameters.

    Attributes:
        found: what the method returned of each micro-batch, on its device.
        shares: of each micro-batch, the share of this rank's samples.
        indices: the samples of each micro-batch.
        norm: of the gradients of all ranks, before they are cut.
        waiting: the time that the device waited for data, once `values` has waited for the device.
    """

    found: list[dict[str, Tensor]]
    shares: list[float]
    indices: list[list[int]]
    norm: Tensor
    waiting: Waiting

    def scalars(self) -> Iterator[tuple[dict[str, Tensor], float]]:
        """Yield what is logged, each with its share of an update."""
        yield from zip(self.found, self.shares, strict=True)
        yield {"grad_norm": self.norm}, 1.0

    def values(self) -> tuple[list[float], float]:
        """Return the loss of each micro-batch, and the norm; this waits for the device."""
        *losses, norm = torch.stack([*(found["loss"] for found in self.found), self.norm]).tolist()
        return losses, norm


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """What a checkpoint holds of an updater, see `vfm.trainer.engine.checkpoint.save`."""

    model: dict[str, Tensor]
    optim: dict[str, Tensor]
    average: dict[str, Tensor] | None


class Updater:
    """Holds a method as it is trained on this rank, its optimizer, and the average of its weights.

    Args:
        method: what learns; it is brought to the device.
        optim: rates and warm-up of the run (`OptimConfig.for_run`).
        config: precision, and what is done with the network's blocks.
        world: this process among its peers.

    Raises:
        UsageError: see `build_optimizer`.
    """

    def __init__(self, method: Method, *, optim: OptimConfig, config: TrainConfig, world: World) -> None:
        self.method = method.to(world.device).train()
        self.optim, self.precision, self.world = optim, config.precision, world
        if config.activation_checkpointing:
            recompute(self.method)
        if config.compile:
            compile_blocks(self.method)
        self._wrapped = self._together(config.parallel)
        self.optimizer = build_optimizer(method, config=optim)
        self.average = None if optim.ema_decay is None else WeightAverage(method, decay=optim.ema_decay)
        self._is_rehearsal = False

    def _together(self, parallel: Parallel) -> nn.Module:
        """Return the method as all ranks call it together."""
        if parallel == "ddp" or self.world.size == 1:
            return wrap(self.method, world=self.world)
        shard(self.method, world=self.world)
        return self.method

    def gradients(self, update: StepInput, *, seed: int) -> Gradients:
        """Add up the gradients of all micro-batches, each weighed by its share of the samples, and cut them.

        Args:
            update: what this rank reads.
            seed: of everything that is drawn meanwhile, such as dropout.
        """
        torch.manual_seed(seed)
        found: list[dict[str, Tensor]] = []
        indices: list[list[int]] = []
        shares = [size / sum(update.sizes) for size in update.sizes]
        waiting = Waiting(self.world.device)
        for share in shares:
            with waiting.time():
                micro_batch = next(update.micro_batches)
            is_last = len(found) == len(shares) - 1
            with nullcontext() if is_last else self._unsynced():
                found.append(self._backward(self._wrapped, micro_batch, share=share))
            indices.append(micro_batch.indices)
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), self.optim.clip_norm or math.inf)
        return Gradients(found=found, shares=shares, indices=indices, norm=whole(norm), waiting=waiting)

    def _unsynced(self) -> AbstractContextManager[None]:
        is_sharded = self._wrapped is self.method and self.world.size > 1
        return unreduced(self.method) if is_sharded else unsynced(self._wrapped)

    def apply(self, *, lr: float) -> None:
        """Change the weights by the gradients, forget these, and follow the weights with their average."""
        set_lr(self.optimizer, lr)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None and not self._is_rehearsal:
            self.average.update(self.method)

    def tensors(self) -> Tensors:
        """Return what a checkpoint holds, whole on rank 0; every rank must call this."""
        keep = kept_by(self.world)
        return Tensors(
            model=whole_state(self.method, keep=keep),
            optim=moments(self.optimizer, keep=keep),
            average=None if self.average is None else self.average.state(keep=keep),
        )

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        """Let updates at learning rate 0 pass without a trace: buffers, moments and average are kept."""
        buffers = {name: buffer.clone() for name, buffer in self.method.named_buffers()}
        kept = {
            parameter: {kind: tensor.cpu() for kind, tensor in state.items()}
            for parameter, state in self.optimizer.state.items()
        }
        self.optimizer.state.clear()
        self._is_rehearsal = True
        try:
            yield
        finally:
            self._is_rehearsal = False
            self.optimizer.zero_grad(set_to_none=True)
            self.optimizer.state.clear()
            for parameter, state in kept.items():
                self.optimizer.state[parameter] = {
                    kind: tensor.to(parameter.device) for kind, tensor in state.items()
                }
            for name, buffer in self.method.named_buffers():
                buffer.copy_(buffers[name])

    def plain_backward(self, micro_batch: MicroBatch, *, seed: int) -> None:
        """Compute the gradients of some samples, with blocks as they are written, averaged over no ranks."""
        torch.manual_seed(seed)
        with as_written(self.method):
            self._backward(self.method, micro_batch, share=1.0)

    def _backward(self, network: nn.Module, micro_batch: MicroBatch, *, share: float) -> dict[str, Tensor]:
        device = self.world.device
        on_device = {name: array.to(device, non_blocking=True) for name, array in micro_batch.batch.items()}
        with compiling(), autocast(self.precision, device=device):
            found: dict[str, Tensor] = network(on_device)
            loss = found["loss"] * share
        with compiling():
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        return {name: value.detach() for name, value in found.items()}
