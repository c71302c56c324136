"""Updates of UMT's student one by one, and moments on a device's clock, for the benchmark of a GPU."""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vfm.shards.order import Place
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.stream import BatchStream, StepInput
from vfm.trainer.distributed import World
from vfm.trainer.engine.updates.optim import build_optimizer
from vfm.trainer.engine.updates.precision import autocast
from vfm.trainer.methods.umt.pretrain import build_method
from vfm.trainer.recipes.recipe import Recipe


class Updates:
    """The student's updates as `vfm pretrain` does them: loader, losses, norm of gradients, optimizer."""

    def __init__(self, recipe: Recipe, dataset: Dataset, *, device: torch.device) -> None:
        self.recipe, self.dataset, self.world = recipe, dataset, World(device=device)
        self.method = build_method(recipe, dataset).to(device).train()
        self.optimizer = build_optimizer(
            self.method,
            config=recipe.optim.for_run(batch_size=recipe.train.batch_size, updates_per_epoch=1),
        )

    def stream(self, num_updates: int) -> Iterator[StepInput]:
        """Yield what is read for each update."""
        stream = BatchStream(
            dataset=self.dataset, prepare=self.method.prepare, config=self.recipe.train, world=self.world
        )
        return stream.updates(Place(seed=0, epoch=0, samples_seen=0), num_updates=num_updates)

    def move(self, step: StepInput) -> dict[str, Tensor]:
        """Return the batch of an update on the device."""
        batch = next(step.micro_batches).batch
        return {name: array.to(self.world.device, non_blocking=True) for name, array in batch.items()}

    def update(self, batch: dict[str, Tensor]) -> None:
        """Do one update."""
        self.backward(batch)
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), math.inf)
        assert math.isfinite(norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, batch: dict[str, Tensor]) -> None:
        """Compute the gradients of a batch."""
        with autocast("bf16", device=self.world.device):
            loss = self.method(batch)["loss"]
        loss.backward()

    def gflop(self, batch: dict[str, Tensor]) -> float:
        """Return what a clip takes, forward and backward, with attention but without the smaller things."""
        with FlopCounterMode(display=False) as counter:
            self.backward(batch)
        self.optimizer.zero_grad(set_to_none=True)
        total: int = counter.get_total_flops()
        return total / len(batch["clip"]) / 1e9


class Mark:
    """A moment on the clock of a device: what was asked of it before is done by then."""

    def __init__(self, device: torch.device) -> None:
        self.event: torch.cuda.Event | None = None
        if device.type == "cuda":
            self.event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it so
            self.event.record()
        self.time_s = time.perf_counter()

    def seconds_until(self, other: "Mark") -> float:
        """Return the seconds from this moment to a later one."""
        if self.event is None or other.event is None:
            return other.time_s - self.time_s
        other.event.synchronize()
        between_ms: float = self.event.elapsed_time(other.event)
        return between_ms / 1e3
