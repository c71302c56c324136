"""vfm in Python: datasets, models and features in a line each, see ``docs/reference/python.md``.

The one module that knows both how videos are decoded and how models see them. Messages go to the logger
``vfm``; what a user can cause or fix is a `VfmError`, with the sentence that the command line tells.
"""

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vfm.shards.errors import UsageError, VfmError
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.manifest import read_manifest
from vfm.shards.format.plan import Source
from vfm.shards.format.quarantine import quarantine_lines
from vfm.shards.progress import CallbackProgress, NoProgress
from vfm.shards.reading import dataset as datasets
from vfm.shards.reading.clip_dataset import ClipDataset
from vfm.shards.reading.dataset import Dataset
from vfm.shards.reading.join import resolve_names
from vfm.shards.wording import counted, listed
from vfm.trainer.export.features import EmbedOptions, features_of
from vfm.trainer.export.model import VideoModel, model_from
from vfm.trainer.recipes.requirements import requirements_of
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import from_path
from vfm.video2token.jobs.extract.extract import extract_sources
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources

__all__ = [
    "ClipDataset",
    "Dataset",
    "VfmError",
    "VideoModel",
    "embed",
    "from_pretrained",
    "open_dataset",
]

OnProgress = Callable[[int, int, str], None]

_log = logging.getLogger("vfm")
# Frames for each of a clip's that are taken of a whole video: what is seen of it lies 1/64 of it off at most
# where a clip has 16.
_PER_FRAME = 4
_OF_FRAMES = ("fps", "sampling", "num_frames", "size_px", "quality")
_NUM_TOLD = 3


def open_dataset(
    path: str | PathLike[str], *, columns: Sequence[str] = (FRAMES,), split: str | None = None
) -> Dataset:
    """Return a dataset that `vfm extract` made; its files are opened when samples are read.

    Args:
        path: of the dataset's folder.
        columns: which columns are read, such as ``["frames", "hog"]``; a pattern such as ``vq.*`` stands for
            the one column that matches.
        split: keep only the samples of this split; None and ``all`` keep every one.

    Raises:
        VfmError: there is no such dataset, column or split, or it is not as it was written.
    """
    data = Path(path)
    names = resolve_names(data, manifest=read_manifest(data), patterns=columns)
    return datasets.open_dataset(data, columns=names, select_split=split)


def from_pretrained(path: str | PathLike[str], *, average: bool = False) -> VideoModel:
    """Return the model of a run, an exported folder or a file of weights, in evaluation mode on the CPU.

    Args:
        path: of a run, of what `vfm export` or `vfm convert` wrote, or of a file of another project that
            `vfm convert` takes.
        average: take the moving average of a run's weights.

    Raises:
        VfmError: there are no such weights, they are of another version, or of a probe.
    """
    options = RunOptions(say=_log.info)
    return model_from(from_path(Path(path), options=options, averaged=average))


def embed(  # noqa: PLR0913 (what is looked at, and the choices of the user, each by its name)
    model: VideoModel,
    source: str | PathLike[str] | Iterable[str | PathLike[str]] | Dataset,
    *,
    num_clips: int = 5,
    num_crops: int = 1,
    num_workers: int | None = None,
    accept_data: bool = False,
    progress: OnProgress | None = None,
) -> npt.NDArray[np.float32]:
    """Return what a model says of videos: one vector each, of a classifier those before its linear layer.

    Videos are decoded as `vfm extract` does it, with the options of the frames that the model learned from,
    or with those that its recipe is made for; frames that had to be enlarged or repeated, and videos of which
    only a part can be decoded, are told by the logger ``vfm``. The model computes where it is.

    Args:
        model: of `from_pretrained`.
        source: a video, several, or a dataset of `open_dataset`.
        num_clips: of each video, from its first frame to its last, whose vectors are averaged, as
            `vfm evaluate` does; where clips are windows, a single one is the beginning of the video.
        num_crops: squares of each clip, averaged too.
        num_workers: processes that decode, or read; None takes as many as there are processors for videos,
            and none for a dataset.
        accept_data: whether to go on with a dataset whose frames are not as the model needs them, as is done
            with videos.
        progress: called with the number of videos done, their number, and what is done of them.

    Returns:
        float32 [D] of one video, [N, D] of several and of a dataset, in their order.

    Raises:
        VfmError: a video cannot be decoded (which, and why); a dataset has frames that are not as the model
            needs them, or lacks the column that it reads.
    """
    told = NoProgress() if progress is None else CallbackProgress(progress)
    if isinstance(source, Dataset):
        how = EmbedOptions(
            num_clips=num_clips,
            num_crops=num_crops,
            num_workers=num_workers or 0,
            accept_data=accept_data,
            say=_log.warning,
            progress=told,
        )
        return features_of(model, source, how=how)
    is_one = isinstance(source, str | PathLike)
    paths = [Path(source)] if isinstance(source, str | PathLike) else [Path(each) for each in source]
    views = EmbedOptions(
        num_clips=num_clips, num_crops=num_crops, accept_data=True, say=_log.warning, progress=told
    )
    features = embed_videos(model, _sources(paths), how=views, num_workers=num_workers)
    return features[0] if is_one else features


def embed_videos(
    model: VideoModel, sources: Sequence[Source], *, how: EmbedOptions, num_workers: int | None = None
) -> npt.NDArray[np.float32]:
    """Return one vector for each source, float32 [N, D]; see `embed`."""
    if not sources:
        return np.empty((0, model.num_features), np.float32)
    extraction = extraction_for(model)
    with tempfile.TemporaryDirectory(prefix="vfm-embed-") as folder:
        data = Path(folder) / "data"
        workers = min(num_workers or os.cpu_count() or 1, len(sources))
        done = extract_sources(sources, data, extraction, num_workers=workers, progress=how.progress)
        _refuse_rejected(data, num_sources=len(sources))
        if done.num_partial:
            how.say(
                f"{done.num_partial} of {counted(len(sources), 'video')} could be decoded in part alone, "
                "which is what is seen of them."
            )
        dataset = open_dataset(data)
        row_of = {key: row for row, key in enumerate(dataset.keys)}
        ordered = dataset.select([row_of[source.key] for source in sources])
        return features_of(model, ordered, how=how)


def extraction_for(model: VideoModel) -> ExtractOptions:
    """Return how videos are decoded for a model.

    Raises:
        UsageError: the model reads codes, or nobody knows how far its frames were apart.
    """
    size_px = model.transform.size_px  # refuses models of codes
    learned = model.origin.columns.get(FRAMES, {}).get("options", {})
    own = {name: learned[name] for name in _OF_FRAMES if name in learned}
    if own:
        return ExtractOptions(**own)
    needed = requirements_of(model.recipe)
    if needed.spans_video:
        return ExtractOptions(
            sampling="uniform", num_frames=_PER_FRAME * needed.clip_len, size_px=max(size_px, 16)
        )
    if needed.seconds_apart == "any":
        raise UsageError(
            f"Nothing says how far the frames were apart that {model.recipe.name} learned from: extract the "
            "videos with `vfm extract --fps`, and give the dataset."
        )
    return ExtractOptions(fps=round(1 / needed.seconds_apart, 3), size_px=max(size_px, 16))


def _sources(paths: Sequence[Path]) -> list[Source]:
    """Return the source of each file."""
    if folders := [path for path in paths if path.is_dir()]:
        raise UsageError(
            f"{folders[0]} is a folder: open a dataset with vfm.open_dataset, or name videos one by one."
        )
    if not paths:
        return []
    sources = list(list_sources(paths, missing="error").sources)
    if len(sources) != len(paths):
        raise UsageError(
            f"{counted(len(paths), 'file')} make {counted(len(sources), 'video')}: name videos, not lists "
            "or tars of them."
        )
    return sources


def _refuse_rejected(data: Path, *, num_sources: int) -> None:
    rejected = [json.loads(line) for line in quarantine_lines(data)]
    if rejected:
        told = [f"{each['source']} ({each['reason']}: {each['message'].rstrip('.')})" for each in rejected]
        raise UsageError(
            f"{len(rejected)} of {counted(num_sources, 'video')} cannot be decoded: "
            f"{listed(told, limit=_NUM_TOLD, separator='; ')}; leave them out."
        )
