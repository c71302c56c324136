"""``vfm import-hdf5``: a column of targets out of an HDF5 file."""

from dataclasses import asdict
from pathlib import Path

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next
from vfm.cli.display.progress import make_progress
from vfm.cli.options import shared
from vfm.shards.wording import counted, listed


@click.command()
@click.argument("data", type=shared.PATH)
@click.argument("file", type=shared.PATH)
@click.option(
    "--name", metavar="NAME", help="Name of the column after `vectors.`, for a file that vfm did not write."
)
@shared.as_json()
def command(data: Path, file: Path, name: str | None, as_json: bool) -> None:
    """Add a column to dataset DATA from the HDF5 file FILE.

    What `vfm export-hdf5` wrote becomes the same column again, for the same frames. Any other file has to
    hold one matrix of floats a video, [T, C], called by the sample's key or by its video's path or file name,
    with or without suffix; it becomes column `vectors.NAME`.

    Run the same command again to go on after an interruption: finished shards are kept.

    \b
    Examples:
      vfm import-hdf5 data/mine hog.h5
      vfm import-hdf5 data/mine features.hdf5 --name c3d --json
    """
    from vfm.video2token.jobs.import_hdf5.import_hdf5 import import_hdf5

    done = import_hdf5(data, file, name=name, progress=make_progress())
    column = done.column
    if as_json:
        others = {"num_left_out": len(done.left_out), "num_narrowed": done.num_narrowed}
        output.show_json({"data": str(data), **asdict(column), **others})
    if done.left_out:
        told = listed(done.left_out, limit=3)
        output.say(f"left out, as no sample is called so: {counted(len(done.left_out), 'id')} ({told})")
    if done.num_narrowed:
        output.say(f"stored as float32: {done.num_narrowed} of the arrays, which are float64 in the file")
    before = f"; {column.num_shards_before} of {counted(column.num_shards, 'shard')} done before"
    output.say(
        f"{column.column}: {counted(column.num_samples, 'sample')}, {column.size_bytes / 1e6:.1f} MB"
        + (before if column.num_shards_before else "")
    )
    say_next("inspect", data, "--verify")
