"""``vfm import-hdf5``: adds a column to a dataset out of an HDF5 file, shard by shard beside its frames."""

from dataclasses import dataclass
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_name
from vfm.shards.hdf5.provenance import ATTRIBUTES, FORMAT, read_provenance
from vfm.shards.hdf5.untrusted import UntrustedFile, open_untrusted
from vfm.shards.progress import NoProgress, Progress
from vfm.shards.reading.dataset import Dataset
from vfm.video2token.jobs.import_hdf5.columns import ExportedTarget, VectorsTarget
from vfm.video2token.jobs.tokenize.job import ColumnJob, ColumnResult
from vfm.video2token.jobs.tokenize.tokenize import holding
from vfm.video2token.target import TargetOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of a file.

    Attributes:
        column: what is in the column now.
        left_out: ids of the file that no sample has.
        num_narrowed: how many arrays of float64 are stored as float32.
    """

    column: ColumnResult
    left_out: tuple[str, ...] = ()
    num_narrowed: int = 0


def import_hdf5(
    data: Path, path: Path, *, name: str | None = None, progress: Progress | None = None
) -> Imported:
    """Add the column in an HDF5 file to the dataset ``data``, going on where an earlier run ended.

    A file of `vfm export-hdf5` gives back the column it was made of. Any other is taken for one array [T, C]
    a video. The file may be a stranger's: nothing that it points to is followed, and no plug-in is loaded.

    Args:
        data: a dataset whose frames are complete.
        path: the file.
        name: what the column is called after ``vectors.``; None where the file knows its own name.
        progress: receives progress updates.

    Raises:
        UsageError: no dataset, no HDF5 file, not of these samples, something in it is not to be read, or the
            column holds something else.
        DamageError: the file is damaged, or an array holds what the column cannot.
        MachineError: the disk is full or read-only, or another job writes there.
    """
    with holding(data) as dataset, open_untrusted(path) as file:
        target = _target(file, dataset, name=name)
        job = ColumnJob(
            dataset,
            spec=str(path),
            target=target,
            options=TargetOptions(),
            accept_data=False,
            progress=progress or NoProgress(),
        )
        result = job.run(num_workers=1)
        if isinstance(target, VectorsTarget):
            return Imported(column=result, left_out=target.left_out, num_narrowed=target.num_narrowed)
        return Imported(column=result)


def _target(file: UntrustedFile, dataset: Dataset, *, name: str | None) -> ExportedTarget | VectorsTarget:
    if file.attribute("format") == FORMAT:
        told = {key: file.attribute(key) for key in ATTRIBUTES}
        provenance = read_provenance(told, name=str(file.path))
        if name is not None:
            raise UsageError(
                f"{file.path} holds column {provenance.column.name}, which keeps its name: leave out --name."
            )
        return ExportedTarget(file, provenance)
    if name is None:
        raise UsageError(f"{file.path} was not written by `vfm export-hdf5`: name its column with --name.")
    return VectorsTarget(file, dataset, name=check_name(name))
