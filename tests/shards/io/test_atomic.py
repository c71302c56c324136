"""Files appear whole or not at all."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from vfm.shards.errors import DamageError
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


def test_canonical_json_is_one_text() -> None:
    assert atomic.canonical_json({"b": [1, 0.5], "a": "ü"}) == '{"a":"ü","b":[1,0.5]}\n'.encode()


def test_canonical_json_keeps_names_that_are_no_utf8() -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    data = atomic.canonical_json({"name": name})
    assert data == b'{"name":"caf\\udce9.mp4"}\n'
    assert json.loads(data) == {"name": name}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_json_cannot_say(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.canonical_json({"loss": value})


def test_write_json_can_be_read_by_people_and_by_us(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"b": 1, "a": [True, None]})
    assert (tmp_path / "a.json").read_text().startswith('{\n  "a": [\n')
    assert atomic.read_json(tmp_path / "a.json") == {"a": [True, None], "b": 1}


@pytest.mark.parametrize("text", ["{", "", "NaN", '{"a": Infinity}', "\xff", "[" * 100_000])
def test_read_json_names_the_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DamageError, match=r"a\.json is damaged"):
        atomic.read_json(tmp_path / "a.json")


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    assert atomic.sha256_file(tmp_path / "a") == atomic.sha256(data) == hashlib.sha256(data).hexdigest()
