"""Sealed JSON finds every flipped bit."""

import random
from pathlib import Path

import pytest

from vfm.shards.errors import DamageError
from vfm.shards.io.json import write_json
from vfm.shards.io.sealed import read_sealed, write_sealed

VALUE = {"name": "frames", "elapsed_s": 1e-05, "options": {"fps": 2.0}, "classes": ["ü", "b"], "none": None}


def test_round_trip(tmp_path: Path) -> None:
    write_sealed(tmp_path / "a.json", VALUE)
    assert read_sealed(tmp_path / "a.json") == VALUE


def test_flipped_bits_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed(path, VALUE)
    sound = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(sound)), 400):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamageError, match=r"a\.json is damaged"):
            read_sealed(path)


def test_a_file_without_seal_is_damaged(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", VALUE)
    with pytest.raises(DamageError, match="self_sha256 is missing"):
        read_sealed(tmp_path / "a.json")
