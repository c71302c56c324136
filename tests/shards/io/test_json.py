"""JSON text and files."""

import json
import os
from pathlib import Path

import pytest

from vfm.shards.errors import DamageError
from vfm.shards.io.json import canonical_json, read_json, write_json


def test_canonical_json_is_one_text() -> None:
    assert canonical_json({"b": [1, 0.5], "a": "ü"}) == '{"a":"ü","b":[1,0.5]}\n'.encode()


def test_canonical_json_keeps_names_that_are_no_utf8() -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    data = canonical_json({"name": name})
    assert data == b'{"name":"caf\\udce9.mp4"}\n'
    assert json.loads(data) == {"name": name}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_json_cannot_say(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"loss": value})


def test_write_json_can_be_read_by_people_and_by_us(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [True, None]})
    assert (tmp_path / "a.json").read_text().startswith('{\n  "a": [\n')
    assert read_json(tmp_path / "a.json") == {"a": [True, None], "b": 1}


@pytest.mark.parametrize("text", ["{", "", "NaN", '{"a": Infinity}', "\xff", "[" * 100_000])
def test_read_json_names_the_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DamageError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")
