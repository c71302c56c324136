import time

import pytest
import torch

from vfm.trainer.engine.updates.waiting import Waiting


class Clock:
    """The device's clock, and marks on it."""

    def __init__(self):
        self.now_ms = 0.0

    def make_event(self):
        return Mark(self)


class Mark:
    def __init__(self, clock):
        self.clock, self.at_ms = clock, None

    def record(self):
        self.at_ms = self.clock.now_ms

    def elapsed_time(self, end_event):
        return end_event.at_ms - self.at_ms


def test_a_queue_waits_by_its_own_clock():
    clock = Clock()
    waiting = Waiting(torch.device("cuda"), make_event=clock.make_event)
    for late_ms in (0.0, 250.0, 500.0):
        with waiting.time():
            clock.now_ms += late_ms  # nothing to do for so long
        clock.now_ms += 1000.0  # work
    assert waiting.seconds() == pytest.approx(0.75)


def test_a_cpu_waits_by_the_clock_of_the_host():
    waiting = Waiting(torch.device("cpu"))
    for _ in range(2):
        with waiting.time():
            time.sleep(0.02)
        time.sleep(0.02)
    assert waiting.seconds() >= 0.04
