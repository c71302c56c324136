"""What a job would do with its sources, counted without doing any of it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vfm.shards.format.plan import Source, build_plan

_NUM_FIRST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The sources of a job in numbers.

    Attributes:
        num_sources: of the plan.
        num_shards: of each column.
        num_segments: sources that are a segment of a video.
        num_in_tars: sources that are members of tars.
        num_missing: sources without a regular file; they would be rejected.
        num_captions: of all sources.
        size_bytes: of all videos, each counted once however many segments it has.
        labels: how many sources have each label, most first, then by class; one with several counts for each.
        splits: how many sources are in each split, most first; those in none are under the empty name.
        first: key and identity of the first sources in the plan's order.
    """

    num_sources: int
    num_shards: int
    num_segments: int
    num_in_tars: int
    num_missing: int
    num_captions: int
    size_bytes: int
    labels: dict[str, int]
    splits: dict[str, int]
    first: dict[str, str]


def count(sources: Sequence[Source], *, samples_per_shard: int, classes: Sequence[str] = ()) -> DryRun:
    """Return what a job would do; nothing is read or written.

    Raises:
        UsageError: no plan can be made, as two sources have one key, or a label is none of the classes.
    """
    plan = build_plan(sources, samples_per_shard=samples_per_shard, classes=classes)
    videos = {(source.path, source.offset): source.size_bytes for source in sources}
    return DryRun(
        num_sources=len(plan.sources),
        num_shards=plan.num_shards,
        num_segments=sum(source.start_s is not None or source.end_s is not None for source in sources),
        num_in_tars=sum(source.offset is not None for source in sources),
        num_missing=sum(source.size_bytes < 0 for source in sources),
        num_captions=sum(len(source.captions) for source in sources),
        size_bytes=sum(size for size in videos.values() if size > 0),
        labels=_counts((label for source in sources for label in source.labels), plan.classes),
        splits=_counts(source.split or "" for source in sources),
        first={source.key: source.identity for source in plan.sources[:_NUM_FIRST]},
    )


def _counts(names: Iterable[str], order: Sequence[str] = ()) -> dict[str, int]:
    """Return how often each name occurs, most first, then in their order, else by name."""
    counts, places = Counter(names), {name: place for place, name in enumerate(order)}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], places.get(item[0], 0), item[0])))
