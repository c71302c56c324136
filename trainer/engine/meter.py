"""Means of losses, and the speed, between two log lines."""

import time
from typing import Any, Self

import torch
from torch import Tensor

from vfm.trainer.distributed import World, mean


class Meter:
    """Adds up losses on their device, so that no step waits for it, and counts time and samples."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._num_updates = 0
        self.clear()

    def clear(self) -> None:
        """Begin the next line."""
        self._sums = {}
        self._num_updates = 0
        self._num_timed = self._num_samples = 0
        self._wait_s = 0.0
        self._start_s = time.perf_counter()

    def add(self, losses: dict[str, Tensor], *, share: float) -> None:
        """Add the losses of a micro-batch that makes up ``share`` of this rank's samples of an update."""
        for name, value in losses.items():
            added = value.detach().to(torch.float64) * share
            self._sums[name] = self._sums[name] + added if name in self._sums else added

    def count(self, *, num_samples: int, wait_s: float) -> None:
        """Count an update: its samples on all ranks together, and the seconds spent waiting for them."""
        self._num_updates += 1
        self._num_timed += 1
        self._num_samples += num_samples
        self._wait_s += wait_s

    def leave_out(self, seconds: float) -> None:
        """Count some seconds since the last line as not spent on training."""
        self._start_s += seconds

    @property
    def num_updates(self) -> int:
        """Updates since the last line."""
        return self._num_updates

    def means(self, *, world: World) -> dict[str, float]:
        """Return the mean of each loss per update, over all ranks; every rank must call this."""
        return {name: total / self._num_updates for name, total in self._totals(world).items()}

    def speed(self, *, updates_left: int) -> dict[str, float]:
        """Return samples per second, the share of time spent waiting for data, and the seconds left."""
        seconds = max(time.perf_counter() - self._start_s, 1e-9)
        return {
            "samples_per_s": self._num_samples / seconds,
            "data_wait": self._wait_s / seconds,
            "left_s": updates_left * seconds / max(self._num_timed, 1),
        }

    def state(self, *, world: World) -> dict[str, Any]:
        """Return the sums as JSON values; every rank must call this."""
        return {"num_updates": self._num_updates, "sums": self._totals(world)}

    @classmethod
    def restored(cls, state: dict[str, Any], *, device: torch.device) -> Self:
        """Return the meter of `state`, so that a resumed run logs the means of an unbroken one."""
        meter = cls()
        meter._num_updates = int(state["num_updates"])
        meter._sums = {
            name: torch.tensor(total, dtype=torch.float64, device=device)
            for name, total in state["sums"].items()
        }
        return meter

    def _totals(self, world: World) -> dict[str, float]:
        # "loss" first, the others in order of name: JSON would not keep another order over a resume.
        names = sorted(self._sums, key=lambda name: (name != "loss", name))
        if not names:
            return {}
        totals = mean(torch.stack([self._sums[name] for name in names]), world=world)
        return dict(zip(names, totals.tolist(), strict=True))
