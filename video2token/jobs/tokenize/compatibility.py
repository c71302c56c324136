"""What a target column was made from, and the refusal to mix it with something else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.manifest import Column, Manifest, make_column
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.wording import listed
from vfm.video2token.target import Target

_NUM_NAMED = 3  # how many of many differences a sentence names
_MAX_VIEWS_TOLD = 2


def target_column(target: Target, manifest: Manifest, *, kept: Mapping[str, Any]) -> Column:
    """Return the column that ``target`` makes of a dataset's frames, with what is ``kept`` of how."""
    column = make_column(
        target.name,
        kind=target.kind,
        fields=target.fields,
        options={**target.options, **kept},
        source=manifest.columns[FRAMES].fingerprint,
    )
    return replace(column, fidelity=target.fidelity)


def check_same_column(
    folder: Path, column: Column, *, manifest: Manifest, frames: Sequence[ShardReport]
) -> None:
    """See that all shards in ``folder`` are of ``column``; an empty folder is of any.

    Args:
        folder: the column's.
        column: what is asked for.
        manifest: of the dataset.
        frames: reports of the frames' shards.

    Raises:
        UsageError: they were made with other options or from other frames; names what differs.
    """
    if not any(folder.glob("*.json")):
        return
    there = manifest.columns.get(column.name)
    differences = _differences(there, column) or list(_stale_shards(folder, frames))
    if differences:
        named = listed(differences, limit=_NUM_NAMED, separator="; ")
        raise UsageError(
            f"{folder} holds another column ({named}): choose another --name, or run "
            f"`vfm drop {folder.parent} {folder.name}` and the command again."
        )


def _differences(there: Column | None, asked: Column) -> list[str]:
    if there is None:
        return ["its shards are of no column in the manifest"]
    if there.fingerprint == asked.fingerprint:
        return []
    if there.source != asked.source:
        return ["it was computed from other frames"]
    told = [
        f"{name} {_short(name, there.options.get(name))} there, {_short(name, value)} requested"
        for name, value in asked.options.items()
        if there.options.get(name) != value
    ]
    return told or ["it was made by another version of vfm"]


def _stale_shards(folder: Path, frames: Sequence[ShardReport]) -> Iterator[str]:
    for source in frames:
        report = read_report(folder, source.shard)
        if report is not None and report.frames_sha256 != source.sha256:
            yield f"shard {source.shard} was computed from other frames"


def _short(name: str, value: Any) -> str:
    if name == "views" and value is not None:
        if len(value) > _MAX_VIEWS_TOLD:
            return f"{len(value)} views, the first {_view(value[0])}"
        return " and ".join(_view(view) for view in value)
    return str(value)[:12] if name.endswith("sha256") else str(value)


def _view(view: Mapping[str, Any]) -> str:
    told = f"crop {view['crop_px']} px"
    told += " of a box" if view.get("box") else " of a share of the area" if view.get("resized") else ""
    return told + (", mirrored" if view.get("flip") else "")
