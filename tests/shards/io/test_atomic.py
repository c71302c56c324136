"""Files appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from vfm.shards.io import atomic


def test_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_keeps_the_old_file_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        atomic.write_bytes(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_temp_files_meet_no_pattern_and_are_cleaned(tmp_path: Path) -> None:
    stale = [tmp_path / ".000000.tar.tmp-123", atomic.temp_path(tmp_path / "000001.json")]
    kept = [tmp_path / ".lock", tmp_path / "000000.tar", tmp_path / "notes.tmp-1"]
    for path in (*stale, *kept):
        path.write_bytes(b"")
    assert list(tmp_path.glob("*.tar")) == [tmp_path / "000000.tar"]
    assert atomic.clean_stale(tmp_path) == 2
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_clean_stale_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert atomic.clean_stale(tmp_path / "none") == 0
