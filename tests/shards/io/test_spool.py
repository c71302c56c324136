import os
from pathlib import Path

import pytest

from vfm.shards.io.spool import Spool, part_of, pieces_of


@pytest.mark.parametrize("size", [0, 5, 10, 11, 3_000_000])
def test_bytes_come_back_from_memory_and_from_a_file(size: int) -> None:
    data = os.urandom(size)
    spool = Spool(max_held_bytes=10)
    spool.append(data[:4])
    spool.append(data[4:])
    payload = spool.payload()
    assert isinstance(payload, bytes) == (size <= 10)
    assert len(payload) == size
    assert b"".join(pieces_of(payload)) == data
    assert bytes(part_of(payload, 2, 7)) == data[2:9]


def test_a_spool_is_a_file_to_others() -> None:
    spool = Spool(max_held_bytes=4)
    spool.file.write(b"head....")
    spool.file.seek(4)
    spool.file.write(b"mend")
    spool.append(b"tail")
    assert spool.read(0, 99) == b"headmendtail"


def test_nothing_has_a_name_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool(max_held_bytes=4)
    spool.append(b"more than four")
    assert list(tmp_path.iterdir()) == []
    assert spool.read(0, 4) == b"more"
