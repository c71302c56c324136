"""Several inputs, patterns and files that name inputs."""

import io
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources.listing import list_sources, read_input_list


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def identities(*inputs: Path) -> list[str]:
    return [source.identity for source in list_sources(inputs, missing="error").sources]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = touch(
        tmp_path / "v",
        "a.mp4",
        "b.mkv",
        "c/a.mp4",
        "c/d/a.mp4",
        "c/d/x1.mp4",
        "c/d/x2.MP4",
        ".h/a.mp4",
        ".h.mp4",
    )
    (root / "c" / "loop").symlink_to(root)
    return root


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.mp4", ["a.mp4"]),
        ("**/*.mp4", ["a.mp4", "c/a.mp4", "c/d/a.mp4", "c/d/x1.mp4"]),
        ("**/a.*", ["a.mp4", "c/a.mp4", "c/d/a.mp4"]),
        ("c/**", ["a.mp4", "d/a.mp4", "d/x1.mp4", "d/x2.MP4"]),
        ("c/**/d/**/*.mp4", ["d/a.mp4", "d/x1.mp4"]),
        ("*/d/x?.[mM]*", ["c/d/x1.mp4", "c/d/x2.MP4"]),
        ("c/d/x[!1].*", ["x2.MP4"]),
        (".h/*.mp4", ["a.mp4"]),
        (".*.mp4", [".h.mp4"]),
    ],
)
def test_pattern_is_named_relative_to_the_folder_it_begins_with(
    tree: Path, pattern: str, found: list[str]
) -> None:
    assert identities(tree / pattern) == found


def test_patterns_and_folders_are_told_apart_and_nothing_is_taken_twice(tree: Path) -> None:
    assert identities(tree / "*.mp4", tree / "*.mkv") == ["a.mp4", "b.mkv"]
    assert identities(tree / "*.mp4", tree / "c" / "d") == ["v/a.mp4", "d/a.mp4", "d/x1.mp4", "d/x2.MP4"]
    with pytest.raises(UsageError, match=r"v/a\.mp4 is named more than once"):
        identities(tree / "*.mp4", tree / "a.*")


def test_a_file_that_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].mp4", "a1.mp4")
    assert identities(tmp_path / "a[1].mp4") == ["a[1].mp4"]
    with pytest.raises(UsageError, match=r"b\*\.mp4 does not exist, and as a pattern it matches no file"):
        identities(tmp_path / "b*.mp4")
    with pytest.raises(UsageError, match="as a pattern it matches no file"):
        identities(tmp_path / "nowhere" / "*.mp4")


def test_pattern_of_lists_reads_each_of_them(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.mp4", "v/b.mp4")
    for name, video in (("train.csv", "v/a.mp4"), ("val.csv", "v/b.mp4")):
        (tmp_path / name).write_text(f"path\n{video}\n")
    assert identities(tmp_path / "*.csv") == ["train.csv/v/a.mp4", "val.csv/v/b.mp4"]


def test_pipes_that_a_pattern_matches_do_not_block(tmp_path: Path) -> None:
    names = ["a.mp4", "b.csv", "c.tar"]
    for name in names:
        os.mkfifo(tmp_path / name)
    sources = list_sources([tmp_path / "*"], missing="error").sources
    assert [(source.identity, source.size_bytes) for source in sources] == [(name, -1) for name in names]


@pytest.mark.parametrize(
    "data", [b"a.mp4\n\nb c.mp4\r\n", b"\xef\xbb\xbfa.mp4\nb c.mp4", b"a.mp4\0b c.mp4\0"]
)
def test_input_list_has_lines_or_nuls(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "list").write_bytes(data)
    assert read_input_list(tmp_path / "list") == [Path("a.mp4"), Path("b c.mp4")]


def test_input_list_keeps_strange_names_whole(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"x\ny.mp4\0\xff.mp4\0-rf.mp4\0")
    assert read_input_list(tmp_path / "list") == [Path("x\ny.mp4"), Path("\udcff.mp4"), Path("-rf.mp4")]


def test_input_list_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a.mp4\n")))
    assert read_input_list(Path("-")) == [Path("a.mp4")]


def test_input_list_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    with pytest.raises(UsageError, match="nowhere does not exist: name a file"):
        read_input_list(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="empty is empty: write one input per line"):
        read_input_list(tmp_path / "empty")


def test_many_inputs_are_listed_in_little_time(tmp_path: Path) -> None:
    """The time grows with the number: a square of it would take minutes here."""
    names = [f"{index % 10}/{index:05d}.mp4" for index in range(5000)]
    touch(tmp_path, *names)
    begun_s = time.perf_counter()
    assert len(identities(tmp_path)) == 5000
    assert len(identities(*(tmp_path / name for name in names))) == 5000
    assert time.perf_counter() - begun_s < 20
