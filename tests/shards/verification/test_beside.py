"""The codebook beside a column is proved with its weights, whichever kind it is."""

from pathlib import Path
from typing import Any

import pytest

from vfm.shards.io.hashing import sha256
from vfm.shards.io.sealed import write_sealed
from vfm.shards.verification.beside import check_kept

WEIGHTS = b"some weights"
OURS = {"format": "vfm-codebook", "weights_sha256": sha256(WEIGHTS)}
DALLE = {"format": "vfm-dalle", "weights_sha256": "e"}


def check(folder: Path, config: dict[str, Any], files: dict[str, bytes], *, expected: str) -> list[str]:
    write_sealed(folder / "config.json", config)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [f"{Path(each.file).name}: {each.message}" for each in check_kept(folder, weights_sha256=expected)]


@pytest.mark.parametrize(
    ("config", "files"),
    [
        (OURS, {"codebook.safetensors": WEIGHTS}),
        (DALLE, {}),
        ({**DALLE, "decoder_sha256": sha256(WEIGHTS)}, {"decoder.safetensors": WEIGHTS}),
    ],
)
def test_sound_ones(tmp_path: Path, config: dict[str, Any], files: dict[str, bytes]) -> None:
    assert check(tmp_path, config, files, expected=config["weights_sha256"]) == []


@pytest.mark.parametrize(
    ("config", "files", "told"),
    [
        (OURS, {}, "codebook.safetensors: It is missing: "),
        (
            OURS,
            {"codebook.safetensors": b""},
            "codebook.safetensors: Its SHA-256 is not the one in config.json",
        ),
        (DALLE, {"decoder.safetensors": b""}, "decoder.safetensors: config.json beside it does not know it"),
        ({**DALLE, "decoder_sha256": "0"}, {}, "decoder.safetensors: It is missing: "),
        ({**OURS, "format": ["x"]}, {}, "config.json: It is not the codebook that the codes are of"),
    ],
)
def test_damaged_ones(tmp_path: Path, config: dict[str, Any], files: dict[str, bytes], told: str) -> None:
    (finding,) = check(tmp_path, config, files, expected=config["weights_sha256"])
    assert finding.startswith(told)


def test_another_codebook(tmp_path: Path) -> None:
    (finding,) = check(tmp_path, OURS, {"codebook.safetensors": WEIGHTS}, expected="another")
    assert finding.startswith("config.json: It is not the codebook that the codes are of")
