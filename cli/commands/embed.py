"""``vfm embed``: what a model says of videos, one vector each."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next, split_words
from vfm.cli.display.progress import make_progress
from vfm.cli.options import shared
from vfm.shards.splits import ALL, TRAIN, VAL, canonical_split
from vfm.shards.wording import counted

if TYPE_CHECKING:
    from vfm.trainer.export.features import EmbedOptions
    from vfm.trainer.export.features_file import Features
    from vfm.trainer.export.model import VideoModel


@click.command()
@click.argument("model", type=shared.PATH)
@click.argument("sources", nargs=-1, required=True, type=shared.PATH, metavar="DATA|VIDEO...")
@click.argument("out", type=shared.PATH)
@shared.views(
    clips="their vectors are averaged.",
    crops="averaged too.",
)
@click.option("--split", metavar="NAME", help="Of a dataset, only this split.  [default: all]")
@click.option("--ema", is_flag=True, help="Of a run: take the average of its weights.")
@shared.device()
@shared.accept_data()
@shared.workers("decode videos, or read a dataset")
@shared.as_json()
def command(model: Path, sources: tuple[Path, ...], out: Path, **given: Any) -> None:
    """Write one vector for each sample of dataset DATA, or for each VIDEO, as MODEL sees it, to OUT.

    MODEL is a run, a folder of `vfm export`, or a file of weights. Of a classifier the vectors before its
    linear layer are taken. Videos are decoded as the model's own were.

    OUT ends with .npy for the vectors alone, float32 [N, D], or with .parquet for a table with key, source,
    label, split and feature. `vectors.NAME` is a new column of DATA.

    \b
    Examples:
      vfm embed runs/pretrained data/mine features.parquet
      vfm embed encoder videos/*.mp4 features.npy
      vfm embed runs/classifier data/mine vectors.mine --crops 3
    """
    from vfm.shards.format.layout import MANIFEST_NAME
    from vfm.trainer.export.features import EmbedOptions
    from vfm.trainer.export.features_file import check_features_file, write_features

    is_dataset = len(sources) == 1 and (sources[0] / MANIFEST_NAME).is_file()
    column = out.name.removeprefix("vectors.") if str(out).startswith("vectors.") else None
    split = canonical_split(ALL if given["split"] is None else given["split"])
    if not is_dataset and given["split"] is not None:
        raise click.UsageError("--split chooses samples of a dataset: name one DATA, or leave it out.")
    if column is not None and (not is_dataset or split != ALL):
        raise click.UsageError(f"{out} is a column of a dataset: name one DATA, and no --split.")
    if column is None:
        check_features_file(out)
    how = EmbedOptions(
        num_clips=given["num_clips"],
        num_crops=given["num_crops"],
        num_workers=given["num_workers"] if is_dataset else 0,
        accept_data=given["accept_data"] or not is_dataset,
        say=output.say,
        progress=make_progress(),
    )
    loaded = _model(model, given)
    if is_dataset:
        found = _of_dataset(loaded, sources[0], how, split=split)
    else:
        found = _of_videos(loaded, sources, how, num_workers=given["num_workers"])
    if column is None:
        write_features(out, found)
    else:
        _add_column(sources[0], column, found)
    num_videos, num_features = found.vectors.shape
    if given["as_json"]:
        output.show_json({"out": str(out), "num_videos": num_videos, "num_features": num_features})
    output.say(f"{out}: {counted(num_videos, 'vector')} of {num_features} numbers")
    if column is not None:
        say_next("inspect", sources[0], "--verify")
    elif is_dataset:
        _say_next(model, sources[0])
    else:
        say_next("extract", "VIDEOS", "DATA", "--fps", "2")


def _say_next(model: Path, data: Path) -> None:
    """Say how to count neighbours, where one split has them and another asks for them."""
    counted_on = split_words(data, wanted=VAL)
    if split_words(data, wanted=TRAIN) or ALL in counted_on:
        say_next("inspect", data)
    else:
        say_next("evaluate", model, data, "--protocol", "knn", *counted_on)


def _model(path: Path, given: dict[str, Any]) -> "VideoModel":
    from vfm.trainer.distributed import join
    from vfm.trainer.export.model import model_from
    from vfm.trainer.runs.folder import RunOptions
    from vfm.trainer.runs.initial_weights import from_path

    with join(given["device"]) as world:
        start = from_path(path, options=RunOptions(say=output.say), averaged=given["ema"])
        return model_from(start).to(world.device)


def _of_dataset(model: "VideoModel", data: Path, how: "EmbedOptions", *, split: str) -> "Features":
    from vfm.shards.reading.dataset import open_dataset
    from vfm.trainer.export.features import features_of
    from vfm.trainer.export.features_file import Features

    dataset = open_dataset(data, columns=(), select_split=split)
    known = (*dataset.classes, None)  # -1 is unknown
    return Features(
        vectors=features_of(model, dataset, how=how),
        keys=list(dataset.keys),
        sources=[dataset.meta(index).source for index in range(len(dataset))],
        labels=[known[index] for index in dataset.class_indices.tolist()],
        splits=[split or None for split in dataset.splits.tolist()],
    )


def _of_videos(
    model: "VideoModel", paths: tuple[Path, ...], how: "EmbedOptions", *, num_workers: int
) -> "Features":
    from vfm.api import embed_videos
    from vfm.trainer.export.features_file import Features
    from vfm.video2token.sources.listing import list_sources

    sources = list_sources(paths, missing="error").sources
    return Features(
        vectors=embed_videos(model, sources, how=how, num_workers=num_workers),
        keys=[source.key for source in sources],
        sources=[source.identity for source in sources],
        labels=[source.label for source in sources],
        splits=[source.split for source in sources],
    )


def _add_column(data: Path, name: str, found: "Features") -> None:
    from vfm.trainer.export.features_file import write_hdf5
    from vfm.video2token.jobs.import_hdf5.import_hdf5 import import_hdf5

    with tempfile.TemporaryDirectory(prefix="vfm-embed-") as folder:
        path = Path(folder) / f"{name}.h5"
        write_hdf5(path, found)
        import_hdf5(data, path, name=name, progress=make_progress())
