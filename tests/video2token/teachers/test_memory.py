"""What features take is known before they are computed: to the byte what is stored then."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

COLUMN = "clip.test_vit"


def run(data: Path, weights: Path, *, store: str) -> None:
    own = {"crop_px": 32, "levels": 2, "store": store, "weights": str(weights), "views": "random:2"}
    tokenize(data, ["clip:test_vit"], TargetOptions(batch_size=4, own=own))


@pytest.mark.parametrize("store", ["fp32", "fp16", "int8", "pq:16"])
def test_a_sample_that_does_not_fit_is_refused(
    stills: Callable[..., Path], tiny_vit: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.setattr("vfm.video2token.teachers.storage._MIN_TOKENS", 1)
    made = stills("whole", num_samples=12, num_frames=9, size=(60, 50))
    run(made, tiny_vit, store=store)
    dataset = open_dataset(made, columns=(COLUMN,))
    longest = int(np.argmax(dataset.num_frames))
    fields = dataset.manifest.columns[COLUMN].fields
    size_bytes = sum(dataset.array(longest, COLUMN, field).nbytes for field in fields)

    ask, memory = os.sysconf, {"SC_PHYS_PAGES": 2 * size_bytes - 1, "SC_PAGE_SIZE": 1}
    monkeypatch.setattr(os, "sysconf", lambda name: memory[name] if name in memory else ask(name))
    data = stills("refused", num_samples=12, num_frames=9, size=(60, 50))
    wanted = f"features of {dataset.keys[longest]}, {dataset.num_frames[longest]} frames, take .* as {store}"
    with pytest.raises(UsageError, match=wanted):
        run(data, tiny_vit, store=store)
    assert not (data / COLUMN).exists()
    memory["SC_PHYS_PAGES"] += 1
    run(data, tiny_vit, store=store)
