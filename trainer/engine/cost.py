"""What an update costs: floating point operations, what the device can do, and the pace without any data."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import torch
from torch.utils.flop_counter import FlopCounterMode

from vfm.trainer.data.stream import MicroBatch, StepInput
from vfm.trainer.distributed import World, largest
from vfm.trainer.engine.updates.precision import concrete
from vfm.trainer.engine.updates.updater import Updater
from vfm.trainer.recipes.recipe import Precision

# Dense products in bf16 by the vendor's data sheets, FLOP/s; the first name that fits counts.
_DATA_SHEETS = {
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
}
_SIDE = {"cuda": 8192, "cpu": 1024}
_TRIES = 5
_SLOW_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run's updates cost.

    Attributes:
        sample_flops: floating point operations of a sample, forward and backward, nothing computed twice.
        peak_flops: of all ranks' devices in a second.
        is_measured: whether the peak is what a large product of matrices or the updates reached, or a data
            sheet's.
        floor_samples_per_s: pace on one batch that lies ready, which no loader can beat.
    """

    sample_flops: float
    peak_flops: float
    is_measured: bool
    floor_samples_per_s: float

    def utilisation(self, samples_per_s: float) -> float:
        """Return the share of the peak at a pace (Chowdhery et al. 2022, PaLM, appendix B)."""
        return self.sample_flops * samples_per_s / self.peak_flops

    def told(self) -> str:
        """Return it as a sentence."""
        origin = (
            "a large product of matrices or this batch reaches here"
            if self.is_measured
            else "the data sheet promises"
        )
        return (
            f"One cached batch again and again does {self.floor_samples_per_s:.4g} samples/s, which is the "
            f"ceiling; a sample takes {self.sample_flops / 1e9:.3g} GFLOP, and MFU is the share of the "
            f"{self.peak_flops / 1e12:.3g} TFLOP/s that {origin}."
        )


def measure_cost(
    updater: Updater, update: StepInput, first: MicroBatch, *, seed: int, batch_size: int
) -> Cost:
    """Do a few updates on one batch that change nothing, and return what they cost.

    Every rank must call this.

    Args:
        updater: what learns; its weights, buffers and moments are the same afterwards.
        update: how the samples of an update are portioned.
        first: the first portion, which stands for all.
        seed: of what is drawn meanwhile.
        batch_size: samples of an update, all ranks together.
    """
    world = updater.world
    flops = _flops(updater, first, seed=seed) / len(first.indices)
    with updater.rehearsing():

        def rehearse() -> float:
            start_s = time.perf_counter()
            again = StepInput(place=update.place, sizes=update.sizes, micro_batches=repeat(first))
            _, norm = updater.gradients(again, seed=seed).values()
            if math.isfinite(norm):  # 0 times what is not finite would spoil every weight
                updater.apply(lr=0.0)
            _synchronize(world)
            return time.perf_counter() - start_s

        (spent_s,) = largest([rehearse()], world=world)
        num_timed = 1 if spent_s > _SLOW_S else 3
        (update_s,) = largest([min(rehearse() for _ in range(num_timed))], world=world)
    peak, is_measured = peak_flops(world.device, precision=updater.precision)
    pace = batch_size / update_s
    peak = peak * world.size
    # Another job may have slowed the product down; what the updates reached, the device can do.
    reached = max(peak, flops * pace) if is_measured else peak
    return Cost(sample_flops=flops, peak_flops=reached, is_measured=is_measured, floor_samples_per_s=pace)


def peak_flops(device: torch.device, *, precision: Precision) -> tuple[float, bool]:
    """Return floating point operations per second of a device, and whether they were measured.

    Args:
        device: which.
        precision: of the products.
    """
    is_bf16 = concrete(precision, device=device) == "bf16"
    if device.type == "cuda" and is_bf16:
        name = torch.cuda.get_device_name(device)
        known = next((peak for part, peak in _DATA_SHEETS.items() if part in name), None)
        if known is not None:
            return known, False
    side = _SIDE[device.type]
    one = torch.ones(side, side, device=device, dtype=torch.bfloat16 if is_bf16 else torch.float32)
    return 2 * side**3 / _best_s(lambda: one @ one, device=device), True


def _best_s(work: Callable[[], object], *, device: torch.device) -> float:
    spent = []
    for _ in range(_TRIES):
        start_s = time.perf_counter()
        work()
        _synchronize(World(device=device))
        spent.append(time.perf_counter() - start_s)
    return min(spent)


def _flops(updater: Updater, batch: MicroBatch, *, seed: int) -> int:
    with updater.rehearsing(), FlopCounterMode(display=False) as counter:
        updater.plain_backward(batch, seed=seed)
    return int(counter.get_total_flops())


def _synchronize(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)
