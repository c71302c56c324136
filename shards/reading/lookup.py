"""Finds samples by what a person types: a key, the start of one, the path of a source, or a split."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from posixpath import splitext

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES, PLAN_NAME, shard_name
from vfm.shards.format.plan import Plan, PlanMissingError, Source, read_plan
from vfm.shards.format.report import read_report
from vfm.shards.splits import ALL, TEST, VAL, canonical_split

_MAX_LISTED = 5


class AmbiguousError(UsageError):
    """What was typed means several samples."""


class Lookup:
    """Samples of a dataset by what a person types."""

    def __init__(self, data: Path, *, keys: npt.NDArray[np.bytes_]) -> None:
        """Take the dataset's folder, and the keys of the samples to find, bytes [N]."""
        self._data, self._keys = data, keys

    def row(self, text: str) -> int:
        """Return the position in the keys of the one sample that ``text`` means.

        Tried in this order: the whole key, the start of exactly one key, and `named`.

        Raises:
            AmbiguousError: it means several samples.
            UsageError: it means none, or one that was rejected.
        """
        wanted = text.encode("utf-8", "surrogateescape")
        for matches in (self._keys == wanted, np.char.startswith(self._keys, wanted)):
            rows = np.flatnonzero(matches)
            if len(rows) == 1:
                return int(rows[0])
            if len(rows) > 1:
                raise self._several(text, names=[self._keys[row].decode() for row in rows])
        found = self.named([text])[text]
        if isinstance(found, UsageError):
            raise found
        return found

    def named(self, texts: Sequence[str]) -> dict[str, int | UsageError]:
        """Return the position of the one sample of each name, or why there is none, in one pass.

        A name is the key, or the identity or path of its source; the end of a path counts from a ``/`` on,
        and its suffix may be left out.

        Raises:
            AmbiguousError: several have it.
        """
        rows = {key.decode(): row for row, key in enumerate(self._keys.tolist())}
        found: dict[str, int | UsageError] = {text: rows[text] for text in texts if text in rows}
        others = [text for text in texts if text not in rows]
        if others:
            found |= self._named_in_plan(others, rows=rows)
        return found

    def _named_in_plan(self, texts: Sequence[str], *, rows: Mapping[str, int]) -> dict[str, int | UsageError]:
        path = self._data / PLAN_NAME
        try:
            plan = read_plan(path)
        except PlanMissingError:
            return dict.fromkeys(texts, UsageError(f"{path} is missing: find the sample by its key."))
        sources: dict[str, list[int]] = {text: [] for text in texts}
        for number, source in enumerate(plan.sources):
            for name in _names(source) & sources.keys():
                sources[name].append(number)
        return {text: self._one_of(text, numbers, plan, rows) for text, numbers in sources.items()}

    def _one_of(
        self, text: str, numbers: Sequence[int], plan: Plan, rows: Mapping[str, int]
    ) -> int | UsageError:
        if len(numbers) > 1:
            raise self._several(text, names=[plan.sources[number].identity for number in numbers])
        if not numbers:
            data = self._data
            return UsageError(f"{data} has no sample {text!r}: `vfm inspect {data}` shows what it has.")
        source = plan.sources[numbers[0]]
        if source.key in rows:
            return rows[source.key]
        report = read_report(self._data / FRAMES, shard_name(numbers[0] // plan.samples_per_shard))
        for rejection in report.rejected if report else ():
            if rejection.key == source.key:
                return UsageError(f"{source.identity} was rejected ({rejection.reason}): {rejection.message}")
        return UsageError(f"{source.identity} is not among the samples selected here: choose another split.")

    def _several(self, text: str, *, names: list[str]) -> AmbiguousError:
        listed = ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
        return AmbiguousError(
            f"{text!r} means {len(names)} samples of {self._data} ({listed}): write more of it."
        )


def _names(source: Source) -> set[str]:
    """Return what a source may be called."""
    parts = source.path.split("/")
    ends = {"/".join(parts[start:]) for start in range(len(parts))} - {""}
    return {source.key, source.identity, *ends, *(splitext(end)[0] for end in ends)}


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
