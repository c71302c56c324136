"""Which sample an id of a file of vectors means, by its key or by the name of its video."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from vfm.shards.errors import UsageError
from vfm.shards.wording import counted, listed

_NUM_NAMED = 3  # how many of many ids a sentence names


class Named(NamedTuple):
    """What a sample may be called.

    Attributes:
        key: its own name.
        source: the path of its video, as ``SampleMeta.source``.
    """

    key: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The ids of a file as those of samples.

    Attributes:
        ids: one for each sample, in the order of the samples.
        left_out: those that no sample has, in the order of the file.
    """

    ids: tuple[str, ...]
    left_out: tuple[str, ...]


def match(ids: Sequence[str], samples: Sequence[Named]) -> Match:
    """Return the id of every sample.

    An id is compared with keys first, then with paths of videos, paths without the suffix, file names, and
    file names without the suffix; the first of these that any sample has decides.

    Raises:
        UsageError: an id means several samples, several ids mean one, or a sample has none; names a few.
    """
    tables = [_numbers(names) for names in zip(*(_names(sample) for sample in samples), strict=True)]
    found: dict[int, list[str]] = defaultdict(list)
    left_out: list[str] = []
    ambiguous: list[str] = []
    for id_ in ids:
        numbers: list[int] = next((table[id_] for table in tables if id_ in table), [])
        if len(numbers) > 1:
            ambiguous.append(f"{id_} means {' and '.join(samples[number].key for number in numbers[:2])}")
        elif numbers:
            found[numbers[0]].append(id_)
        else:
            left_out.append(id_)
    ambiguous += [
        f"{' and '.join(given[:2])} both mean {samples[number].key}"
        for number, given in sorted(found.items())
        if len(given) > 1
    ]
    _refuse_ambiguous(ambiguous)
    _refuse_missing([sample for i, sample in enumerate(samples) if i not in found], samples, left_out)
    return Match(ids=tuple(found[number][0] for number in range(len(samples))), left_out=tuple(left_out))


def _names(sample: Named) -> tuple[str, ...]:
    path = PurePosixPath(sample.source)
    return sample.key, sample.source, str(path.with_suffix("")) if path.name else "", path.name, path.stem


def _numbers(names: Iterable[str]) -> dict[str, list[int]]:
    """Return by name the samples that are called so."""
    table: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(names):
        table[name].append(number)
    return table


def _refuse_ambiguous(told: Sequence[str]) -> None:
    if told:
        raise UsageError(
            f"{counted(len(told), 'id')} of the file cannot be told apart "
            f"({listed(told, limit=_NUM_NAMED, separator='; ')}): use the samples' keys as ids."
        )


def _refuse_missing(missing: Sequence[Named], samples: Sequence[Named], left_out: Sequence[str]) -> None:
    if missing:
        names = listed([sample.source for sample in missing], limit=_NUM_NAMED)
        others = listed(left_out, limit=_NUM_NAMED) or "none"
        raise UsageError(
            f"{len(missing)} of {counted(len(samples), 'sample')} are not in the file ({names}; its ids of "
            f"no sample: {others}): add them, under their key or the name of their video."
        )
