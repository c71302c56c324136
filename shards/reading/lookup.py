"""Finds samples by what a person types: a key, the start of one, the path of a source, or a split."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES, PLAN_NAME, shard_name
from vfm.shards.format.plan import Plan, PlanMissingError, Source, read_plan
from vfm.shards.format.report import read_report

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


def rows_of_split(data: Path, *, splits: npt.NDArray[np.str_], wanted: str) -> Int64:
    """Return which samples are of a split, int64 [N], ascending.

    Args:
        data: the dataset's folder, for messages.
        splits: of each sample, str; empty unknown.
        wanted: the split.

    Raises:
        UsageError: no sample is.
    """
    rows = np.flatnonzero(splits == wanted)
    if not len(rows):
        there = ", ".join(sorted({str(name) for name in splits} - {""})) or "none"
        raise UsageError(f"{data} has no sample of split {wanted!r}: choose one of these: {there}.")
    return rows
