"""SHA-256 of bytes and of files."""

import hashlib
import os
from pathlib import Path

from vfm.shards.io.hashing import sha256, sha256_file


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256(data) == hashlib.sha256(data).hexdigest()
