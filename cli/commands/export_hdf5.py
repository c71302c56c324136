"""``vfm export-hdf5``: a column of targets as one HDF5 file."""

from dataclasses import asdict
from pathlib import Path

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next
from vfm.cli.display.progress import make_progress
from vfm.cli.options import shared
from vfm.shards.wording import counted


@click.command()
@click.argument("data", type=shared.PATH)
@click.option("--column", required=True, metavar="NAME", help="The target column to write, such as hog.")
@click.argument("out", type=shared.PATH)
@shared.as_json()
def command(data: Path, column: str, out: Path, as_json: bool) -> None:
    """Write a target column of dataset DATA into the new HDF5 file OUT, for h5py and all that reads HDF5.

    There is one data set a key, or one group a key where the column has several fields; what they come from
    is written as attributes. `vfm import-hdf5` takes the file back.

    \b
    Examples:
      vfm export-hdf5 data/mine --column hog hog.h5
      vfm export-hdf5 data/mine --column clip.b16 b16.h5 --json
    """
    from vfm.shards.hdf5.export import export_hdf5

    done = export_hdf5(data, column, out, progress=make_progress())
    if as_json:
        output.show_json({"data": str(data), **asdict(done)})
    output.say(
        f"{column}: {counted(done.num_samples, 'sample')}, {done.size_bytes / 1e6:.1f} MB written to {out}"
    )
    say_next("inspect", data)
