"""A contact sheet: samples below each other, their frames over time, and what their codes are rebuilt to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vfm.shards.array_types import UInt8
from vfm.shards.columns.arrays import check_codes
from vfm.shards.columns.beside import CODEBOOK_FOLDER
from vfm.shards.columns.options import views_in
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.layout import FRAMES, shard_name
from vfm.shards.format.manifest import Column, Manifest, read_manifest
from vfm.shards.format.report import read_report
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.faults import disk_faults
from vfm.shards.pixels.views import View, apply_view, centre
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.wording import counted
from vfm.video2token.preview.images import frames_picture, stack, text_picture, to_png
from vfm.video2token.targets.vq import FIELD
from vfm.video2token.tokenizers.codebook.quality import psnr_db
from vfm.video2token.tokenizers.saved import load_saved
from vfm.video2token.tokenizers.tokenizer import Tokenizer

_CROP_PX = 128
_NUM_TIMES = 8


def make_sheet(
    data: Path,
    out: Path,
    *,
    keys: Sequence[str] | None = None,
    column: str | None = None,
    num_samples: int = 8,
) -> None:
    """Draw some samples of a dataset into a PNG: up to eight frames each, in the order of time.

    Where there is a column of codes, the frames are shown as the codebook saw them in the first view, and
    below each what its code is rebuilt to, with the mean error in dB beside the key.

    Args:
        data: the dataset.
        out: the picture; written atomically.
        keys: samples to draw; without them, some from all over the dataset.
        column: of codes; without it the first one that is complete, if any.
        num_samples: how many are drawn when no keys are given.

    Raises:
        UsageError: no dataset, no such column or sample, or no place for the picture.
        DamageError: a frame, a code or the codebook is not as it was written.
    """
    check_sheet(out)
    manifest = read_manifest(data)
    name = column or _complete_codes(data, manifest)
    dataset = open_dataset(data, columns=(FRAMES,) if name is None else (FRAMES, name))
    coded = None if name is None else _Coded.open(dataset, manifest.columns[name])
    rows = [_sample_picture(dataset, index, coded) for index in _chosen(dataset, keys, num_samples)]
    _write(out, [text_picture(_title(dataset, coded)), *rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a sheet.

    Attributes:
        title: a line above it.
        keys: samples, in the order in which they are drawn.
        labels: a line above the frames of each.
    """

    title: str
    keys: tuple[str, ...]
    labels: tuple[str, ...]


def make_labelled_sheet(data: Path, out: Path, sections: Sequence[Section]) -> None:
    """Draw samples of a dataset into a PNG, as `make_sheet` does without codes, under lines of one's own.

    Args:
        data: the dataset.
        out: the picture; written atomically.
        sections: below each other.

    Raises:
        UsageError: no dataset, no such sample, or no place for the picture.
        DamageError: a frame is not as it was written.
    """
    check_sheet(out)
    dataset = open_dataset(data, columns=(FRAMES,))
    pictures = []
    for section in sections:
        pictures.append(text_picture(section.title))
        for key, label in zip(section.keys, section.labels, strict=True):
            pictures.append(_plain_picture(label, _stored(dataset, dataset.find(key))))
    _write(out, pictures)


def check_sheet(out: Path) -> None:
    """Refuse a path at which no sheet can be drawn.

    Raises:
        UsageError: it is no place for a picture.
    """
    if out.suffix.lower() != ".png" or not out.parent.is_dir() or out.is_dir():
        raise UsageError(f"A sheet cannot be drawn into {out}: name a .png file in a folder that exists.")


def _write(out: Path, pictures: Sequence[UInt8]) -> None:
    with disk_faults(out):
        write_bytes(out, to_png(stack(pictures)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coded:
    """A column of codes and what is needed to look at it."""

    column: str
    codebook: Tokenizer
    view: View
    num_views: int

    @classmethod
    def open(cls, dataset: Dataset, column: Column) -> "_Coded":
        """Load the codebook that the column keeps."""
        if column.kind != "vq":
            raise UsageError(f"Column {column.name} holds no codes: name one that starts with vq.")
        folder = dataset.data / column.name / CODEBOOK_FOLDER
        codebook = load_saved(folder)
        if codebook.weights_sha256 != column.options.get("weights_sha256"):
            raise DamageError(
                f"{folder} is not the codebook that {column.name} was made with: run the `vfm tokenize` "
                "command that made the column again."
            )
        views = views_in(column.options, name=column.name)
        if not views:
            raise DamageError(f"{dataset.data} does not tell which view {column.name} is of: restore a copy.")
        return cls(column=column.name, codebook=codebook, view=views[0], num_views=len(views))


def _complete_codes(data: Path, manifest: Manifest) -> str | None:
    """Return the first column of codes whose shards are all done."""
    shards = [shard_name(i) for i in range(manifest.num_shards)]
    for name, column in sorted(manifest.columns.items()):
        if column.kind == "vq" and all(read_report(data / name, shard) for shard in shards):
            return name
    return None


def _chosen(dataset: Dataset, keys: Sequence[str] | None, num_samples: int) -> list[int]:
    if keys is not None:
        return [dataset.find(key) for key in keys]
    if not len(dataset):
        raise UsageError(f"{dataset.data} has no sample to draw: `vfm inspect {dataset.data}` tells why.")
    return _spread(len(dataset), num_samples)


def _spread(count: int, limit: int) -> list[int]:
    """Return at most ``limit`` numbers below ``count``, evenly spread, the first and the last among them."""
    return [int(number) for number in np.linspace(0, count - 1, min(count, limit)).round()]


def _times(dataset: Dataset, index: int) -> list[int]:
    return _spread(int(dataset.num_frames[index]), _NUM_TIMES)


def _stored(dataset: Dataset, index: int) -> UInt8:
    """Return the frames of a sample that are drawn, uint8 [T, H, W, 3]."""
    return np.stack(dataset.frames(index, _times(dataset, index)))


def _plain_picture(words: str, stored: UInt8) -> UInt8:
    return stack([text_picture(words), frames_picture(apply_view(stored, centre(_CROP_PX)))])


def _sample_picture(dataset: Dataset, index: int, coded: _Coded | None) -> UInt8:
    times, stored = _times(dataset, index), _stored(dataset, index)
    class_index = int(dataset.class_indices[index])
    words = [dataset.keys[index], counted(int(dataset.num_frames[index]), "frame")]
    if class_index >= 0:
        words.insert(1, dataset.classes[class_index])
    if coded is None:
        return _plain_picture("  ".join(words), stored)
    array = dataset.array(index, coded.column, FIELD)
    side = coded.view.crop_px // coded.codebook.stride
    check_codes(
        array,
        name=f"{dataset.keys[index]}.{FIELD} of column {coded.column}",
        num_frames=int(dataset.num_frames[index]),
        vocab_size=coded.codebook.vocab_size,
        grid=(side, side),
    )
    codes = array[0, times].astype(np.int64)
    frames = apply_view(stored, coded.view)
    rebuilt = coded.codebook.decode(torch.from_numpy(codes)).numpy()
    words.append(f"{psnr_db(frames, rebuilt).mean():.1f} dB")
    return stack([text_picture("  ".join(words)), frames_picture(frames, rebuilt)])


def _title(dataset: Dataset, coded: _Coded | None) -> str:
    title = f"{dataset.data.name}: {len(dataset)} samples"
    if coded is None:
        return f"{title}, no complete column of codes"
    codes = f"{coded.codebook.vocab_size} codes"
    if coded.num_views > 1:
        codes += f", the first of {coded.num_views} views"
    return f"{title}; below each frame the codes of {coded.column} ({codes}) rebuilt"
