"""What a teacher's features take, of a token and of a whole sample in memory."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from vfm.shards.codecs.scalar import DTYPES
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset

_COPIES = 2  # as an array and as the member that is written


def check_memory(dataset: Dataset, options: Mapping[str, Any]) -> None:
    """Refuse a sample whose features would not fit into this machine's memory while they are stored.

    Args:
        dataset: the frames.
        options: of the column.

    Raises:
        UsageError: names the sample.
    """
    if not len(dataset):
        return
    longest = int(np.argmax(dataset.num_frames))
    num_frames = int(dataset.num_frames[longest])
    num_tokens = sum((view["crop_px"] // options["token_px"]) ** 2 for view in options["views"])
    size_bytes = num_frames * num_tokens * token_bytes(options)
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if _COPIES * size_bytes > memory_bytes:
        raise UsageError(
            f"The features of {dataset.keys[longest]}, {num_frames} frames, take {size_bytes / 1e9:.3g} GB "
            f"as {options['store']} and twice as much memory while they are stored, and this machine has "
            f"{memory_bytes / 1e9:.3g} GB: use --store pq, or extract fewer frames of each sample."
        )


def token_bytes(options: Mapping[str, Any]) -> int:
    """Return what a token takes in a column of these options, all its levels and its attention."""
    store = options["store"]
    attention_bytes = 4 if store == "fp32" else 2
    if store not in DTYPES:
        return int(options["pq_codes"]) + attention_bytes
    scale_bytes = 2 if store == "int8" else 0
    level_bytes = int(options["dim"]) * np.dtype(DTYPES[store]).itemsize + scale_bytes
    return int(options["levels"]) * level_bytes + attention_bytes
