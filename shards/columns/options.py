"""The options of a column that readers go by, checked where the manifest is read."""

import math
from collections.abc import Mapping
from typing import Any

from vfm.shards.errors import UsageError
from vfm.shards.io.typed import coerce
from vfm.shards.pixels.views import View

ENLARGEMENT = "enlargement"  # how many times a column's pixels were enlarged; absent where they were not
MAX_VOCAB_SIZE = 1 << 16  # codes are stored in two bytes at most
_MAX_TEXT_VOCAB_SIZE = 1 << 32
_MAX_VIEW_PX = 1 << 14
_TYPES: dict[str, Any] = {
    "fps": float | None,
    "sampling": str,
    "images": bool,
    "vocab_size": int,
    "stride": int,
    "token_px": int,
    "dtype": str,
    "store": str,
    "weights_sha256": str,
    "levels": int,
    "pq_codes": int,
    "pq_sha256": str,
    "tokenizer_sha256": str,
    "pad_id": int,
    "mask_id": int | None,
    "special_ids": tuple[int, ...],
    "max_ids": int,
    "level_interval": float,
    "dim": int,
    ENLARGEMENT: float,
}


def check_options(options: Mapping[str, Any], *, name: str, kind: str) -> None:
    """Refuse options that no target writes; those that are not there are not missed.

    Raises:
        ValueError: an option is of another type or out of range.
    """
    for option in _TYPES.keys() & options.keys():
        coerce(options[option], _TYPES[option], key=f"{name}.{option}")
    if (fps := options.get("fps")) is not None and fps <= 0:
        raise ValueError(f"{name}.fps is {fps}, but must be above 0")
    if (enlargement := options.get(ENLARGEMENT, math.inf)) <= 1:
        raise ValueError(f"{name}.{ENLARGEMENT} is {enlargement}, but must be above 1")
    max_vocab_size = MAX_VOCAB_SIZE if kind == "vq" else _MAX_TEXT_VOCAB_SIZE
    for option, most in {
        "vocab_size": max_vocab_size,
        "stride": _MAX_VIEW_PX,
        "token_px": _MAX_VIEW_PX,
    }.items():
        if not 1 <= options.get(option, 1) <= most:
            raise ValueError(f"{name}.{option} is {options[option]}, but must be 1 to {most}")
    _check_ids(options, name=name)
    views_in(options, name=name)


def _check_ids(options: Mapping[str, Any], *, name: str) -> None:
    """Refuse special ids that the vocabulary has not."""
    vocab_size = options.get("vocab_size", _MAX_TEXT_VOCAB_SIZE)
    mask_ids = [] if options.get("mask_id") is None else [options["mask_id"]]
    for each in (options.get("pad_id", 0), *mask_ids, *options.get("special_ids", ())):
        if not 0 <= each < vocab_size:
            raise ValueError(f"{name} names the id {each}, but its vocabulary has {vocab_size}")


def views_in(options: Mapping[str, Any], *, name: str) -> tuple[View, ...]:
    """Return the views of a column's options; empty where it tells of none.

    Raises:
        ValueError: they are not views, or larger than any frame.
    """
    try:
        views: tuple[View, ...] = coerce(options.get("views", []), tuple[View, ...], key=f"{name}.views")
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from None
    if any(view.resize_px > _MAX_VIEW_PX for view in views):
        raise ValueError(f"{name}.views are larger than {_MAX_VIEW_PX} px")
    return views
