"""Forges datasets and makes every hash right again: wrong values, tables, arrays and tars."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from vfm.shards.format.index import FRAME_FIELD, IndexRow, read_index
from vfm.shards.format.manifest import fingerprint_of
from vfm.shards.format.report import ShardReport, read_report, write_report
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import readable_json
from vfm.shards.io.parquet import table_bytes
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.writing.writer import ShardWriter

WRONG_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 7, 1.5, 10**30, 1e300, "", "NaN", "x", [], [None], ["x", -1], {}, {"x": None},
)  # fmt: skip

Place = tuple[str | int, ...]


def places_in(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every value below ``value``, at whatever depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places_in(inner, (*place, key))


def changed(value: Any, place: Place, new: Any) -> Any:
    """Return a copy of JSON values with another value in one place."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return copy


def forge_manifest(data: Path, place: Place, new: Any) -> None:
    """Change a value of ``dataset.json`` and make right whatever follows from it."""
    value = changed(read_sealed(data / "dataset.json"), place, new)
    if place[0] == "columns" and len(place) > 3 and place[2] == "options":
        for name in sorted(value["columns"], key=lambda name: name != "frames"):
            column = value["columns"][name]
            if name != "frames":
                column["source"] = value["columns"]["frames"]["fingerprint"]
            made_of = fingerprint_of(column["kind"], options=column["options"], source=column["source"])
            column["fingerprint"] = made_of
            for path in (data / name).glob("[0-9]*.json"):
                write_sealed(path, {**read_sealed(path), "fingerprint": made_of})
    write_sealed(data / "dataset.json", value)


def forge_sealed(path: Path, place: Place, new: Any) -> None:
    """Change a value of a sealed file."""
    write_sealed(path, changed(read_sealed(path), place, new))


def forge_shard(data: Path, column: str, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
    """Rewrite the first shard of a column with other members, its hashes right everywhere."""
    folder, shard = data / column, "000000"
    report = read_report(folder, shard)
    assert report is not None
    index = read_index(folder / f"{shard}.index.parquet", sha256=report.index_sha256 or "")
    tar = (folder / f"{shard}.tar").read_bytes()
    with ShardWriter(folder, shard) as writer:
        for row, key in enumerate(index.keys):
            spans = {field: index.member(row, field) for field in index.fields}
            members = {f: tar[span.offset : span.offset + span.size_bytes] for f, span in spans.items()}
            begin = spans[FRAME_FIELD].offset if FRAME_FIELD in spans else 0
            num_spans = int(index.frame_splits[row + 1] - index.frame_splits[row])
            frames = [index.frame(row, time) for time in range(num_spans)]
            told = IndexRow(
                num_frames=int(index.num_frames[row]),
                class_index=int(index.class_index[row]),
                split=str(index.split[row]),
                frame_offsets=[frame.offset - begin for frame in frames],
                frame_sizes=[frame.size_bytes for frame in frames],
            )
            writer.add(key.decode(), change(members) if row == 0 else members, row=told)
        new = writer.commit(
            column=column,
            fingerprint=report.fingerprint,
            frames_sha256=report.frames_sha256,
            rejected=report.rejected,
            num_partial=report.num_partial,
        )
    _follow(data, column, new)


def forge_index(data: Path, column: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the index of a column's first shard, and the hash of it in the report."""
    path = data / column / "000000.index.parquet"
    path.write_bytes(table_bytes(change(pq.read_table(path))))
    forge_sealed(data / column / "000000.json", ("index_sha256",), sha256(path.read_bytes()))


def forge_tar(data: Path, column: str, tar: bytes) -> None:
    """Put other bytes in the place of a column's first tar, and their hash and size into the report."""
    report = read_report(data / column, "000000")
    assert report is not None
    (data / column / "000000.tar").write_bytes(tar)
    new = replace(report, sha256=sha256(tar), size_bytes=len(tar))
    write_report(data / column, new)
    _follow(data, column, new)


def wrong_tables(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield tables that have one wrong column, or none of it, or no row."""
    for number, name in enumerate(table.column_names):
        kind = table.schema.field(name).type
        num_rows = len(table)
        values: dict[str, Any] = {
            "null": pa.array([None] * num_rows, kind),
            "text": pa.array(["x"] * num_rows),
            "float": pa.array([float("nan")] * num_rows, pa.float64()),
            "lists": pa.array([[None]] * num_rows, pa.list_(pa.int64())),
        }
        if pa.types.is_signed_integer(kind):
            most = (1 << (kind.bit_width - 1)) - 1
            values |= {f"{n}": pa.array([n] * num_rows, kind) for n in (-2, 0, 7, most)}
        elif pa.types.is_list(kind):
            values |= {"short": pa.array([[]] * num_rows, kind)}
            if pa.types.is_signed_integer(kind.value_type):
                values |= {"ahead": pa.array([[-9] * len(v.as_py()) for v in table[name]], kind)}
        elif pa.types.is_string(kind):
            values |= {"odd": pa.array(['"', *["ü"] * (num_rows - 1)])}
        elif pa.types.is_floating(kind):
            values |= {"inf": pa.array([float("inf")] * num_rows, kind)}
        for what, array in values.items():
            yield f"{name} {what}", table.set_column(number, name, array)
        yield f"{name} gone", table.drop_columns([name])
    yield "no rows", table.slice(0, 0)


def _follow(data: Path, column: str, report: ShardReport) -> None:
    if column == "frames":
        for path in data.glob("*/000000.json"):
            value = json.loads(path.read_bytes())
            if value["frames_sha256"] is not None:
                forge_sealed(path, ("frames_sha256",), report.sha256)


def json_member(place: Place, new: Any) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    """Return what changes a value in the ``json`` of a sample."""

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        return {**members, "json": readable_json(changed(json.loads(members["json"]), place, new))}

    return change
