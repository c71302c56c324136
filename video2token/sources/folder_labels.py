"""Labels and splits that folders give: ``class/x.mp4`` and ``split/class/x.mp4``.

The convention of torchvision's datasets and of Hugging Face's VideoFolder.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from vfm.shards.splits import TEST, TRAIN, VAL, canonical_split
from vfm.video2token.sources.entry import Entry

_SPLITS = (TRAIN, VAL, TEST)
_MIN_VIDEOS = 2  # of a class; folders with one video each are numbers of videos, not classes
_MIN_CLASSES = 2


def label_by_folders(entries: Sequence[Entry]) -> tuple[list[Entry], str]:
    """Return the entries with the labels and splits of their folders, and what is to be said of it.

    They are taken only where all videos lie at one depth, there are two classes or more, and each has two
    videos or more; otherwise the entries stay as they are. Folders of splits alone are taken, too.

    Args:
        entries: of one folder.
    """
    folders = [PurePosixPath(entry.name).parts[:-1] for entry in entries]
    if not any(folders):
        return list(entries), ""
    if len({len(parts) for parts in folders}) > 1:
        return list(entries), "gives no labels: its videos do not lie at one depth."
    splits = [canonical_split(parts[0]) for parts in folders]
    has_splits = set(splits) <= set(_SPLITS)
    classes = [parts[has_splits:] for parts in folders]
    if has_splits and not any(classes):
        labelled = [replace(entry, split=split) for entry, split in zip(entries, splits, strict=True)]
        return labelled, f"has the splits of its folders: {_counts(Counter(splits))}."
    if fault := _fault(classes):
        return list(entries), f"gives no labels: {fault}."
    labelled = [
        replace(entry, labels=parts, split=split if has_splits else None)
        for entry, parts, split in zip(entries, classes, splits, strict=True)
    ]
    told = f"has the labels of its folders: {len(set(classes))} classes"
    return labelled, f"{told}, and their splits: {_counts(Counter(splits))}." if has_splits else f"{told}."


def _fault(classes: Sequence[tuple[str, ...]]) -> str:
    """Return in a clause why folders are no classes; empty where they are."""
    if len(classes[0]) != 1:
        return "its videos lie deeper than class/x.mp4 and split/class/x.mp4"
    counts = Counter(name for (name,) in classes)
    if len(counts) < _MIN_CLASSES:
        return f"all videos are of one folder, {next(iter(counts))}"
    single = [name for name, count in counts.items() if count < _MIN_VIDEOS]
    return f"{single[0]} has one video, and a class has two or more" if single else ""


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {counts[name]:,}" for name in _SPLITS if counts[name])
