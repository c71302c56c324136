"""Removes a target column: from the manifest first, so that no reader meets half of its files."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES, report_path, shard_name
from vfm.shards.format.manifest import Manifest, is_column_name, read_manifest, write_manifest
from vfm.shards.io.atomic import sync_folder
from vfm.shards.io.lock import hold

# No file of this name is ever looked for; only a dropping that was killed leaves one.
_DROPPED = re.compile(r"\.(.+)\.dropped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Droppable:
    """A column that can be dropped.

    Attributes:
        column: its name.
        num_shards_done: of the ``num_shards`` that it has when it is complete.
        num_shards: of the dataset.
        size_bytes: of everything in its folder.
    """

    column: str
    num_shards_done: int
    num_shards: int
    size_bytes: int


def droppable(data: Path, name: str) -> Droppable:
    """Return what there is of a target column, or of one whose dropping was killed.

    Raises:
        UsageError: it is the frames, or there is no such column; names those there are.
        DamageError: the manifest is not as it was written.
    """
    manifest = read_manifest(data)
    _refuse(data, name, manifest=manifest)
    folder = data / name
    done = [number for number in range(manifest.num_shards) if _is_done(folder, number)]
    files = [path for place in (folder, _dropped(folder)) for path in place.rglob("*") if path.is_file()]
    return Droppable(
        column=name,
        num_shards_done=len(done),
        num_shards=manifest.num_shards,
        size_bytes=sum(path.stat().st_size for path in files),
    )


def drop_column(data: Path, name: str) -> None:
    """Remove a target column; all others stay as they are.

    Killed on the way it leaves files that no column of the manifest names, and the same call removes them.

    Raises:
        UsageError: it is the frames, or there is no such column; names those there are.
        DamageError: the manifest is not as it was written.
        MachineError: another job writes to the dataset.
    """
    read_manifest(data)  # a folder that is not a dataset gets no lock either
    with hold(data):
        manifest = read_manifest(data)
        _refuse(data, name, manifest=manifest)
        if name in manifest.columns:
            write_manifest(data, manifest.without_column(name))
        _remove_dropped(data)
        folder = data / name
        if folder.is_dir():
            os.replace(folder, _dropped(folder))  # whole or gone, whenever we are killed
            sync_folder(data)
        _remove_dropped(data)


def _refuse(data: Path, name: str, *, manifest: Manifest) -> None:
    if name == FRAMES:
        raise UsageError(
            f"Column {FRAMES} cannot be dropped, every other column depends on it: delete the folder {data} "
            "to remove all of them."
        )
    if name not in manifest.columns and not _is_left_over(data, name, manifest=manifest):
        there = ", ".join(sorted(manifest.columns.keys() - {FRAMES})) or f"none beside {FRAMES}"
        raise UsageError(f"{data} has no column {name}: columns that can be dropped are {there}.")


def _is_left_over(data: Path, name: str, *, manifest: Manifest) -> bool:
    """Return whether files of a column are there that the manifest does not name: its dropping was killed."""
    if not is_column_name(name):  # such as a path to somewhere else
        return False
    folder = data / name
    return _dropped(folder).is_dir() or any(_is_done(folder, i) for i in range(manifest.num_shards))


def _is_done(folder: Path, number: int) -> bool:
    return report_path(folder, shard_name(number)).is_file()


def _dropped(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.dropped")


def _remove_dropped(data: Path) -> None:
    for path in data.iterdir():
        if _DROPPED.fullmatch(path.name):
            path.unlink() if path.is_symlink() else shutil.rmtree(path)
