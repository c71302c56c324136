"""What a dataset shows at a prompt: itself in a line, and a sample as a plain dict."""

import operator
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from vfm.shards.format.layout import FRAMES
from vfm.shards.reading.stored_frames import fps_of_grid

if TYPE_CHECKING:
    from vfm.shards.reading.dataset import Dataset

_SUFFIX = ".npy"


def describe(dataset: "Dataset") -> str:
    """Return what a dataset is, in a line; what its parts have not in common is None."""
    options = [part.manifest.columns[FRAMES].options for part in dataset.parts]
    rates, sides = {fps_of_grid(each) for each in options}, {each.get("size_px") for each in options}
    told = {
        "num_samples": len(dataset),
        "splits": sorted(set(dataset.splits.tolist()) - {""}),
        "num_classes": len(dataset.classes),
        "fps": rates.pop() if len(rates) == 1 else None,
        "size_px": sides.pop() if len(sides) == 1 else None,
        "columns": list(dataset.columns),
    }
    return f"{type(dataset).__name__}({str(dataset)!r}, {', '.join(f'{name}={told[name]}' for name in told)})"


def place_of(index: SupportsIndex, *, count: int, of: object) -> int:
    """Return which of ``count`` samples an index means; negative ones count from the end.

    Args:
        index: any whole number, of NumPy too.
        count: how many there are.
        of: what the samples are of, for the sentence.

    Raises:
        IndexError: there is no such sample.
        TypeError: it is no whole number.
    """
    try:
        number = operator.index(index)
    except TypeError:
        raise TypeError(
            f"{index!r} names no sample of {of}: use a whole number, or dataset.select for several."
        ) from None
    if not -count <= number < count:
        raise IndexError(f"There is no sample {number} of {of}: it has {count}.")
    return number % count


def read_item(dataset: "Dataset", index: int) -> dict[str, Any]:
    """Return what `Dataset.__getitem__` tells of a sample, by its place."""
    meta = dataset.meta(index)
    label = int(dataset.class_indices[index])
    item: dict[str, Any] = {
        "key": dataset.keys[index],
        "source": meta.source,
        "label": dataset.classes[label] if label >= 0 else None,
        "split": str(dataset.splits[index]) or None,
        "fps": meta.fps,
        "pts_s": np.array(meta.pts_s),
    }
    for name in dataset.columns:
        if name == FRAMES:
            item[FRAMES] = np.stack(dataset.frames(index, range(meta.num_frames)))
        else:
            fields = dataset.manifest.columns[name].fields
            arrays = [field for field in fields if field.endswith(_SUFFIX)]
            item[name] = {
                field.removesuffix(_SUFFIX): np.array(dataset.array(index, name, field)) for field in arrays
            }
    return item
