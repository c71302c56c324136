"""Videos inside Parquet tables: which column holds them, each row's bytes, and the samples made of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.container.parquet_rows import (
    VideoCell,
    VideoColumn,
    iterate_cells,
    read_bytes,
    video_column,
)
from vfm.video2token.container.tar_member import opened_source
from vfm.video2token.jobs.extract.extract import extract_sources
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import VideoRejected
from vfm.video2token.sources.listing import ListOptions, list_sources

Film = Callable[..., Path]
OPTIONS = ExtractOptions(fps=5.0, size_px=48)
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(path: Path, *, metadata: dict[str, Any] | None = None, group_rows: int = 2, **columns: Any) -> Path:
    made = pa.table(columns)
    if metadata is not None:
        made = made.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    pq.write_table(made, path, row_group_size=group_rows)
    return path


def structs(*cells: tuple[bytes | None, str | None] | None) -> pa.Array:
    return pa.array([cell and dict(zip(("bytes", "path"), cell, strict=True)) for cell in cells], STRUCT)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"label": [1], "video": structs((b"x", None))},
         VideoColumn(name="video", is_struct=True, has_path=True)),
        ({"clip": structs((b"x", None))}, VideoColumn(name="clip", is_struct=True, has_path=True)),
        ({"a": pa.array([{"bytes": b"x"}])}, VideoColumn(name="a", is_struct=True)),
        ({"thumb": structs((b"x", None)), "video": structs((b"x", None))},
         VideoColumn(name="video", is_struct=True, has_path=True)),
        ({"observation.Video": structs((b"x", None))},
         VideoColumn(name="observation.Video", is_struct=True, has_path=True)),
        ({"mp4": [b"x"]}, VideoColumn(name="mp4")),
        ({"video": pa.array([b"x"], pa.large_binary())}, VideoColumn(name="video")),
        ({"sha": [b"x"], "video": ["a.mp4"]}, None),
        ({"video": pa.array([{"url": "x"}])}, None),
    ],
)  # fmt: skip
def test_column_of_videos(tmp_path: Path, columns: dict[str, Any], found: VideoColumn | None) -> None:
    assert video_column(table(tmp_path / "t.parquet", **columns)) == found


def test_bytes_of_each_row_over_groups_of_rows(tmp_path: Path) -> None:
    cells = structs((b"zero", "0.mp4"), (None, "1.mp4"), None, (b"three", None), (b"", None))
    path = table(tmp_path / "t.parquet", **{"observation.video": cells, "bytes": [b"x"] * 5})
    column = VideoColumn(name="observation.video", is_struct=True, has_path=True)
    assert list(iterate_cells(path, column)) == [
        VideoCell(data=b"zero", path="0.mp4"), VideoCell(path="1.mp4"), VideoCell(), VideoCell(data=b"three"),
        VideoCell(data=b""),
    ]  # fmt: skip
    assert [cell.data for cell in iterate_cells(path, column, row_groups=[1])] == [None, b"three"]
    assert [read_bytes(path, row=row) for row in range(5)] == [b"zero", None, None, b"three", b""]
    with pytest.raises(IndexError):
        read_bytes(path, row=5)
    with pytest.raises(IndexError):
        read_bytes(table(tmp_path / "v.parquet", a=[1]), row=0)


def reason_of(path: Path, *, row: int = 0, mtime_ns: int | None = None) -> str:
    mtime_ns = path.stat().st_mtime_ns if mtime_ns is None and path.exists() else mtime_ns or 0
    opened = opened_source(str(path), offset=row, size_bytes=1, mtime_ns=mtime_ns)
    with pytest.raises(VideoRejected) as caught, opened:
        pass
    return caught.value.reason.value


def test_a_row_that_cannot_be_opened_is_a_rejection(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", video=[b"x", None])
    with opened_source(str(path), offset=0, size_bytes=1, mtime_ns=path.stat().st_mtime_ns) as copy:
        assert Path(copy).read_bytes() == b"x"
    assert reason_of(path, row=1) == "empty"
    assert reason_of(path, mtime_ns=1) == "changed"
    assert reason_of(path, row=2) == "changed"
    assert reason_of(tmp_path / "gone.parquet") == "missing"
    (tmp_path / "noise.parquet").write_bytes(b"PAR1 and noise")
    assert reason_of(tmp_path / "noise.parquet") == "unreadable"


@pytest.mark.parametrize("is_struct", [True, False])
def test_samples_of_a_table_are_those_of_its_files(film: Film, tmp_path: Path, is_struct: bool) -> None:  # noqa: FBT001
    films = [film(f"{number}.mp4", num_frames=20 + number, first=30 * number) for number in range(3)]
    data = [path.read_bytes() for path in films]
    video = structs(*((each, None) for each in data)) if is_struct else pa.array(data)
    features = {"label": {"_type": "ClassLabel", "names": ["run", "jump"]}}
    path = table(
        tmp_path / "clips.parquet",
        metadata={"info": {"features": features}},
        video=video,
        label=[1, 0, -1],
        caption=["one", "two", None],
    )
    found = list_sources([path], missing="error")
    assert found.classes == ("run", "jump")
    assert [source.labels for source in found.sources] == [("jump",), ("run",), ()]
    assert [source.captions for source in found.sources] == [("one",), ("two",), ()]
    assert [source.size_bytes for source in found.sources] == [len(each) for each in data]
    result = extract_sources(found.sources, tmp_path / "inside", OPTIONS, num_workers=2)
    assert (result.num_ok, result.num_rejected) == (3, 0)
    beside = list_sources(films, missing="error").sources
    extract_sources(beside, tmp_path / "files", OPTIONS, num_workers=1)
    ours, theirs = open_dataset(tmp_path / "inside"), open_dataset(tmp_path / "files")
    for number in range(3):
        index, other = ours.find(f"clips.parquet/00000{number}.mp4"), theirs.find(f"{number}.mp4")
        meta = ours.meta(index)
        assert (meta.num_frames, meta.pts_s) == (theirs.meta(other).num_frames, theirs.meta(other).pts_s)
        times = list(range(meta.num_frames))
        assert meta.num_frames == 4 + (number > 0)
        frames = zip(ours.frames(index, times), theirs.frames(other, times), strict=True)
        assert all(np.array_equal(one, two) for one, two in frames)


def test_what_is_no_video_is_rejected_and_leaves_nothing(film: Film, tmp_path: Path) -> None:
    good = film("good.mp4", num_frames=20)
    cells = structs(
        (good.read_bytes(), None), (b"no video at all" * 9, None), (None, None), (None, "good.mp4"), None
    )
    found = list_sources([table(tmp_path / "t.parquet", video=cells)], missing="error")
    assert [(source.identity, source.offset) for source in found.sources] == [
        ("t.parquet/000000.mp4", 0), ("t.parquet/000001.mp4", 1), ("t.parquet/000002.mp4", 2),
        ("good.mp4", None), ("t.parquet/000004.mp4", 4),
    ]  # fmt: skip
    result = extract_sources(found.sources, tmp_path / "data", OPTIONS, num_workers=1)
    assert (result.num_ok, result.rejected_by_reason) == (2, {"not_video": 1, "empty": 2})
    assert list((tmp_path / "data").rglob("*.tmp*")) == []
    assert len(open_dataset(tmp_path / "data")) == 2


def test_a_path_without_bytes_is_relative_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.mp4").write_bytes(b"abc")
    path = table(tmp_path / "t.parquet", video=structs((None, "a.mp4"), (None, "gone.mp4")))
    found = list_sources([path], missing="quarantine", options=ListOptions(root=tmp_path / "disk")).sources
    assert [(source.path, source.size_bytes) for source in found] == [
        (str(tmp_path / "disk" / "a.mp4"), 3), (str(tmp_path / "disk" / "gone.mp4"), -1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "metadata",
    [
        b"{",
        b"[]",
        b'{"info": 7}',
        b'{"info": {"features": []}}',
        b'{"info": {"features": {"label": {"_type": "Value"}}}}',
        b'{"info": {"features": {"other": {"names": ["x", "y"]}}}}',
    ],
)
def test_labels_without_names_stay_as_they_are(tmp_path: Path, metadata: bytes) -> None:
    made = pa.table({"video": [b"GIF", b"y"], "Label": [1, 0], "text": [["one", "two"], []]})
    pq.write_table(made.replace_schema_metadata({b"huggingface": metadata}), tmp_path / "t.parquet")
    found = list_sources([tmp_path / "t.parquet"], missing="error")
    assert [(source.label, source.captions) for source in found.sources] == [("1", ("one", "two")), ("0", ())]
    assert found.classes == ("0", "1")


def test_no_room_for_the_copy_of_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path / "t.parquet", video=[b"x" * 100])

    def full(*, prefix: str, buffering: int = -1) -> Any:
        return Path("/dev/full").open("wb", buffering=buffering)

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert reason_of(path) == "no_space"


def test_pictures_are_no_videos(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", image=structs((b"\x89PNG\r\n\x1a\n", "a.png")))
    with pytest.raises(UsageError, match=r"t\.parquet row 1 holds a PNG picture, no video: give a data set"):
        list_sources([path], missing="quarantine")
