"""How long a device has nothing to do because the next batch is late."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class Waiting:
    """Adds up the times for which a device waits.

    On CUDA work is queued, and a late batch costs nothing while the queue is long: what counts is the time
    between a mark before the wait and one behind it, on the device's own clock.

    Args:
        device: which.
        make_event: makes a mark; CUDA's unless given.
    """

    def __init__(
        self, device: torch.device, *, make_event: Callable[[], torch.cuda.Event] | None = None
    ) -> None:
        self._is_queued = device.type == "cuda"
        self._make_event = make_event or _cuda_event
        self._spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._host_s = 0.0

    @contextmanager
    def time(self) -> Iterator[None]:
        """Count the time of a block."""
        if not self._is_queued:
            start_s = time.perf_counter()
            yield
            self._host_s += time.perf_counter() - start_s
            return
        before, after = self._make_event(), self._make_event()
        before.record()
        yield
        after.record()
        self._spans.append((before, after))

    def seconds(self) -> float:
        """Return the sum, once the device has reached the last mark."""
        queued_ms: float = sum(before.elapsed_time(after) for before, after in self._spans)
        return self._host_s + queued_ms / 1000


def _cuda_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it so
