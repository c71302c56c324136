"""Finds samples by what a person types: a key, the start of one, the path of a source, or a split."""

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES, PLAN_NAME, shard_name
from vfm.shards.format.plan import Plan, PlanMissingError, Source, read_plan
from vfm.shards.format.report import read_report
from vfm.shards.splits import ALL, TEST, VAL, canonical_split

_MAX_LISTED = 5


def find_row(data: Path, *, keys: npt.NDArray[np.bytes_], text: str) -> int:
    """Return the position in ``keys`` of the one sample that ``text`` means.

    Tried in this order: the whole key, the start of exactly one key, the source's identity or path, and the
    end of a path at a ``/``.

    Raises:
        UsageError: it means no sample, several, or one that was rejected.
    """
    wanted = text.encode("utf-8", "surrogateescape")
    for matches in (keys == wanted, np.char.startswith(keys, wanted)):
        rows = np.flatnonzero(matches)
        if len(rows) == 1:
            return int(rows[0])
        if len(rows) > 1:
            raise _several(data, text=text, names=[keys[row].decode() for row in rows])
    try:
        plan = read_plan(data / PLAN_NAME)
    except PlanMissingError:
        raise UsageError(f"{data / PLAN_NAME} is missing: find the sample by its key.") from None
    sources = [source for source in plan.sources if _names(source, text)]
    if len(sources) > 1:
        raise _several(data, text=text, names=[source.identity for source in sources])
    if not sources:
        raise UsageError(f"{data} has no sample {text!r}: `vfm inspect {data}` shows what it has.")
    return _row_of(sources[0], data=data, plan=plan, keys=keys)


def _names(source: Source, text: str) -> bool:
    return text in {source.key, source.identity, source.path} or source.path.endswith(f"/{text}")


def _row_of(source: Source, *, data: Path, plan: Plan, keys: npt.NDArray[np.bytes_]) -> int:
    rows = np.flatnonzero(keys == source.key.encode())
    if len(rows):
        return int(rows[0])
    shard = plan.sources.index(source) // plan.samples_per_shard
    report = read_report(data / FRAMES, shard_name(shard))
    for rejection in report.rejected if report else ():
        if rejection.key == source.key:
            raise UsageError(f"{source.identity} was rejected ({rejection.reason}): {rejection.message}")
    raise UsageError(f"{source.identity} is not among the samples selected here: choose another split.")


def _several(data: Path, *, text: str, names: list[str]) -> UsageError:
    listed = ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
    return UsageError(f"{text!r} means {len(names)} samples of {data} ({listed}): write more of it.")


def canonical_splits(splits: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Return the one name of the split of each sample, str [N]; see `canonical_split`."""
    names = {name: canonical_split(name) for name in set(splits.tolist())}
    for name, canonical in names.items():
        if name != canonical:
            splits = np.where(splits == name, canonical, splits)
    return splits


def rows_of_split(data: Path, *, splits: npt.NDArray[np.str_], wanted: str) -> Int64:
    """Return which samples are of a split, int64 [N], ascending.

    Args:
        data: the dataset's folder, for messages.
        splits: of each sample, str, as `canonical_splits` gives them; empty unknown.
        wanted: the split, under any of its names.

    Raises:
        UsageError: no sample is; says which splits there are, and how many samples each has.
    """
    split = canonical_split(wanted)
    rows = np.flatnonzero(splits == split)
    if not len(rows):
        called = repr(wanted) if wanted == split else f"{wanted!r} ({split})"
        raise UsageError(f"{data} has no sample of split {called}{_told_of_splits(splits, wanted=split)}.")
    return rows


def _told_of_splits(splits: npt.NDArray[np.str_], *, wanted: str) -> str:
    """Return the end of a sentence about a split that is not there: those that can be taken."""
    counts = Counter(splits.tolist())
    del counts[""]
    if not counts:
        return f", and none of its samples has a split: `--split {ALL}` takes every sample"
    there = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    told = f": choose one of these: {there}, {ALL} ({len(splits)})"
    if wanted == VAL and TEST in counts:
        told += f"; {TEST} is a split of its own, which `--split {TEST}` takes"
    return told
