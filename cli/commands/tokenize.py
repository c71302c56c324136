"""``vfm tokenize``: frames of a dataset to columns of targets."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_pretrain
from vfm.cli.display.progress import make_progress
from vfm.cli.options import shared, targets
from vfm.shards.wording import counted

if TYPE_CHECKING:
    from vfm.video2token.jobs.tokenize.job import ColumnResult


@click.command()
@click.argument("data", type=shared.PATH)
@click.option(
    "--target",
    "specs",
    multiple=True,
    required=True,
    metavar="KIND[:ARGUMENT]",
    help="What to compute: hog, hog:mmselfsup or hog:skimage, vq:CODEBOOK with the folder of a codebook, "
    "vq:dalle, clip:TEACHER with the name of a ViT of timm, or text:VOCABULARY; may be given several times.",
)
@targets.options()
@click.option("--name", metavar="NAME", help="Name of the column after the dot.  [default: the target's own]")
@click.option(
    "--batch",
    "batch_size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Frames computed at once; the result does not depend on it.",
)
@shared.accept_data()
@shared.workers("compute, on a CPU")
@shared.as_json()
def command(  # noqa: PLR0913 (one for each option)
    data: Path, specs: tuple[str, ...], num_workers: int, accept_data: bool, as_json: bool, **given: Any
) -> None:
    """Compute training targets of every frame of dataset DATA, once, into columns beside the frames.

    Run the same command again to go on after an interruption: finished shards are kept. No other column is
    touched.

    \b
    Examples:
      vfm tokenize data/mine --target vq:codebooks/mine
      vfm tokenize data/mine --target hog --store fp16
      vfm tokenize data/mine --target vq:codebooks/mine --crop 64 --name mine64 --json
      vfm tokenize data/mine --target vq:dalle --weights weights/dalle
    """
    from vfm.shards.reading.dataset import open_dataset
    from vfm.video2token.jobs.tokenize.tokenize import tokenize

    results = tokenize(
        data,
        specs,
        targets.target_options(given),
        num_workers=num_workers,
        accept_data=accept_data,
        progress=make_progress(),
    )
    if as_json:
        output.show_json({"data": str(data), "columns": [asdict(result) for result in results]})
    for result in results:
        output.say(_summary(result))
    dataset = open_dataset(data)
    say_pretrain(
        data,
        columns=[result.column for result in results],
        splits=map(str, dataset.splits),
        images=dataset.manifest.holds_images,
    )


def _summary(result: "ColumnResult") -> str:
    text = (
        f"{result.column}: {counted(result.num_samples, 'sample')}, {counted(result.num_frames, 'frame')}, "
    )
    text += f"{result.size_bytes / 1e6:.1f} MB"
    if result.num_frames_now:
        rate = result.num_frames_now / max(result.elapsed_s, 1e-3)
        text += (
            f"; {counted(result.num_frames_now, 'frame')} in {result.elapsed_s:.1f} s, {rate:.0f} a second"
        )
    if result.num_shards_before:
        text += f"; {result.num_shards_before} of {counted(result.num_shards, 'shard')} done before"
    return text
