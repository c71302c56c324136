"""Ways of doing the same, again and again in turns, so that what else a machine does meets all of them."""

import statistics
import time
from collections.abc import Callable

import torch

Way = Callable[[], tuple[float, float | None]]  # what it did, and its own seconds where it takes the time


def autocast(precision: str) -> torch.autocast:
    """Return the context of a precision on the CPU."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")


def compare(ways: dict[str, Way], *, rounds: int) -> dict[str, float]:
    """Let the ways take turns; return what each does a second, the median of the rounds."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            begun_s = time.perf_counter()
            count, own_s = way()
            if turn:  # the first warms up
                rates[name].append(count / (own_s or time.perf_counter() - begun_s))
    return {name: statistics.median(values) for name, values in rates.items()}


def table(rates: dict[str, float]) -> str:
    """Return rates in one line."""
    return ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
