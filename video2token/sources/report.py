"""What is said of sources before they are decoded: how they were understood, and what is odd about them."""

from collections import Counter
from collections.abc import Iterator, Sequence

from vfm.shards.format.classes import is_integer
from vfm.shards.format.plan import Source
from vfm.shards.wording import listed
from vfm.video2token.sources import annotations
from vfm.video2token.sources.entry import ALONE, HIDDEN
from vfm.video2token.sources.input_read import InputRead
from vfm.video2token.sources.listing import Listing, has_length, missing_paths

_NUM_CLASSES = 3  # how many of the classes are shown
_NUM_NAMED = 3  # how many of many faults a sentence names
_LEFT_OUT = {
    HIDDEN: "hidden files and folders, whose names begin with a dot,",
    ALONE: "members KEY.json without a file beside them, as of downloads that failed,",
}
_MIN_ODD = 4  # samples; fewer say nothing about labels


def told(listing: Listing) -> list[str]:
    """Return one sentence for each thing that the user should know before the videos are decoded."""
    return [*_reads(listing), *_counts(listing), *_oddities(listing)]


def _reads(listing: Listing) -> Iterator[str]:
    """Yield how lists were read, those of one format together, and what else was noted of inputs."""
    by_format: dict[str, list[InputRead]] = {}
    for each in listing.inputs:
        if each.format_name is not None:
            by_format.setdefault(each.format_name, []).append(each)
    for name, inputs in by_format.items():
        who = f"{inputs[0].path} is" if len(inputs) == 1 else f"{len(inputs)} lists are"
        first = "" if len(inputs) == 1 else f", the first {inputs[0].path}"
        num_entries = sum(len(each.entries) for each in inputs)
        yield f"{who} read as {annotations.load(name).title}{first}: {_many(num_entries, 'sample')}."
    by_name: dict[str, list[str]] = {}
    for each in listing.inputs:
        if each.split_by_name is not None:
            by_name.setdefault(each.split_by_name, []).append(each.path.name)
    for split, names in by_name.items():
        yield f"split {split} by the name of the list: {listed(names, limit=_NUM_NAMED)}."
    yield from dict.fromkeys(note for each in listing.inputs for note in each.notes)
    renamed = {there: here for each in listing.inputs for there, here in each.renamed_splits.items()}
    for there, here in renamed.items():
        yield f"split {there} is called {here} here."


def _counts(listing: Listing) -> Iterator[str]:
    """Yield the segments, the captions, the samples of each split, and the classes with the first of them."""
    yield from _counts_of_parts(listing.sources)
    splits = Counter(source.split for source in listing.sources)
    labels = Counter(label for source in listing.sources for label in source.labels)
    if set(splits) != {None}:
        names = [f"{name} {splits[name]:,}" for name in sorted(filter(None, splits))]
        rest = [f"no split {splits[None]:,}"] if splits[None] else []
        yield f"splits: {', '.join(names + rest)}."
    if not labels:
        return
    classes = listing.classes
    yield f"classes: {len(classes):,} ({_first(classes)})."
    num_unlabelled = sum(not source.labels for source in listing.sources)
    if num_unlabelled:
        yield f"note: without a label: {num_unlabelled:,} of {_many(len(listing.sources), 'sample')}."
    if unused := [name for name in classes if name not in labels]:
        yield f"note: {_many(len(unused), 'class')} without a sample: {listed(unused, limit=_NUM_NAMED)}."


def _counts_of_parts(sources: Sequence[Source]) -> Iterator[str]:
    """Yield how many segments and captions there are, as data sets count them, and of how many videos."""
    segments = [source for source in sources if source.start_s is not None or source.end_s is not None]
    if segments:
        videos = {(source.path, source.offset) for source in segments}
        yield f"segments: {len(segments):,} of {_many(len(videos), 'video')}."
    captions = [len(source.captions) for source in sources if source.captions]
    if captions:
        yield f"captions: {sum(captions):,} for {_many(len(captions), 'sample')}."


def _first(classes: Sequence[str]) -> str:
    if classes == tuple(map(str, range(len(classes)))):
        return f"the integers from 0 to {len(classes) - 1}"
    return listed([f"{index} {name}" for index, name in enumerate(classes)], limit=_NUM_CLASSES)


def _oddities(listing: Listing) -> Iterator[str]:
    for reason, places in listing.left_out.items():
        what = _LEFT_OUT.get(reason, f"rows ({reason})")
        yield f"note: {what} are left out: {len(places):,}, the first {places[0]}."
    sources = listing.sources
    if missing := missing_paths(sources):
        yield (
            f"note: missing, and so in quarantine: {len(missing):,} of {_many(len(sources), 'sample')}, the "
            f"first {missing[0]}; --missing error refuses such a list."
        )
    if empty := [source for source in sources if not has_length(source.start_s, source.end_s)]:
        first = empty[0]
        yield (
            f"note: without length, and so in quarantine: {_many(len(empty), 'segment')}, the first from "
            f"{first.start_s or 0.0:g} to {first.end_s:g} s of {first.identity}."
        )
    yield from _odd_labels(listing)


def _odd_labels(listing: Listing) -> Iterator[str]:
    labels = [source.labels[0] for source in listing.sources if source.labels]
    if len(labels) < _MIN_ODD:
        return
    counts = Counter(labels)
    if len(counts) == len(labels):
        kind = "numbers of frames" if all(map(is_integer, labels)) else "names of the videos"
        yield f"note: no label stands twice in {len(labels):,} samples: are these labels, or {kind}?"
    elif single := [label for label, count in counts.items() if count == 1]:
        yield f"note: {_many(len(single), 'class')} with a single sample: {listed(single, limit=_NUM_NAMED)}."


def _many(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"


def formats_told() -> str:
    """Return all formats of lists with an example of each, for ``--formats``."""
    return "\n\n".join(_format_told(name) for name in annotations.names())


def _format_told(name: str) -> str:
    found = annotations.load(name)
    lines = [f"{name}: {found.title}", *(f"    {line}" for line in found.example.split("\n"))]
    return "\n".join(lines)
