"""What vfm writes and what it learns stay the same to the bit: the SHA-256 of files, the loss of step 20.

Everything goes through the command line, and nothing of vfm is called, so no change inside touches this
file. After a change that is meant, ``python tests/test_bytes.py`` writes ``golden/bytes.json`` anew.
"""

import hashlib
import importlib.metadata
import json
import os
import struct
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import simplejpeg

from support.warm import warm

ROOT = Path(__file__).resolve().parents[1]
EXPECTED = Path(__file__).with_name("golden") / "bytes.json"
# Other versions of these may write other bytes or round in another order.
LIBRARIES = ("av", "numba", "numpy", "pyarrow", "safetensors", "simplejpeg", "torch")
# The code that every x86-64 processor runs, where libraries would choose by processor.
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "NUMBA_CPU_FEATURES": "",
    "NUMBA_CPU_NAME": "generic",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
ENVIRONMENT = {**os.environ, **PORTABLE, "PYTHONPATH": str(ROOT / "src")}
# Codebooks are fitted in bfloat16 where the processor multiplies it; here it says so wherever it is asked.
RUN = (
    "import runpy, torch; torch.cpu._is_avx512_bf16_supported = lambda: True; "
    "runpy.run_module('vfm', run_name='__main__', alter_sys=True)"
)
Vfm = Callable[..., None]
TENTH = Fraction(1, 10)  # of a second, from frame to frame
ROWS = ("path,label,split,start,end", "0.mov,dog,train,,", "1.mov,cat,train,0.5,1.75", "2.mov,dog,val,,")
EXTRACT = ("--size", 32, "--workers", 1)
VIMPAC = ("num_layers=1", "dim=16", "num_heads=2", "nce_proj_dim=8")
VIDEOMAE = ("image_px=32", "dim=24", "depth=2", "decoder_dim=12", "decoder_depth=1")
TRAIN = ("--steps", 20, "--workers", 0, "--device", "cpu", "--threads", 1, "--split", "train")


@pytest.mark.timeout(600)
def test_bytes_and_losses_are_those_of_before(tmp_path: Path) -> None:
    expected = json.loads(EXPECTED.read_text())
    if expected["made_with"] != made_with():
        pytest.skip(f"golden/bytes.json is of other libraries than these: {made_with()}")
    found = measure(tmp_path)
    assert found["losses"] == expected["losses"]
    assert found["weights"] == expected["weights"]
    assert found["files"] == expected["files"]


def measure(folder: Path) -> dict[str, Any]:
    """Run every command that writes data or weights; return what they wrote."""
    with warm(ENVIRONMENT) as python:
        run_all(folder, partial(vfm, folder, python))
    return {
        "made_with": made_with(),
        "losses": {run: last_loss(folder / run) for run in ("vimpac", "videomae", "classify")},
        "weights": {run: weights(folder / run) for run in ("vimpac", "videomae", "classify")},
        "files": {str(path.relative_to(folder)): digest(path) for path in written(folder)},
    }


def run_all(folder: Path, vfm: Vfm) -> None:
    """Make videos and run every command that writes data or weights."""
    for number in range(3):
        write_film(folder / "films" / f"{number}.mov", number=number)
    (folder / "list.csv").write_text("\n".join(ROWS))
    vfm("extract", "films", "ticks", "--fps", 2, *EXTRACT)
    vfm("extract", "list.csv", "even", "--num-frames", 6, "--root", "films", *EXTRACT)
    vfm("fit-codebook", "even", "toy", "--steps", 5, "--crop", 32, "--vocab-size", 16)
    vfm("tokenize", "even", "--target", "vq:toy", "--target", "hog", "--crop", 32, "--workers", 1)
    train(vfm, "pretrain", "vimpac-tiny", "even", "vimpac", *VIMPAC, column="vq.toy")
    train(vfm, "pretrain", "videomae-tiny", "even", "videomae", *VIDEOMAE, column="frames")
    train(vfm, "finetune", "classify", "even", "classify", column="vq.toy", init="vimpac")


def made_with() -> dict[str, str]:
    """Return the versions of the libraries that the bytes depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def train(
    vfm: Vfm, verb: str, recipe: str, data: str, out: str, *model: str, column: str, init: str = ""
) -> None:
    """Train 20 steps in float32."""
    settings = [f"model.{one}" for one in model]
    settings += [f"data.column={column}", "data.clip_len=4", "train.precision=fp32", "train.log_every=1"]
    start = ("--init", init) if init else ()
    keys = [part for setting in settings for part in ("--set", setting)]
    vfm(verb, recipe, data, "--out", out, *start, *TRAIN, "--batch-size", 2, *keys)


def vfm(folder: Path, python: str, *arguments: object) -> None:
    """Run the command in ``folder``, where all its paths are relative."""
    done = subprocess.run(
        [python, "-c", RUN, *map(str, arguments)],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def write_film(path: Path, *, number: int) -> None:
    """Write a Motion JPEG video of a bright square that falls over a gradient, 10 frames a second."""
    path.parent.mkdir(exist_ok=True)
    y, x = np.mgrid[:48, :64]
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_mux_stream("mjpeg", width=64, height=48)
        stream.time_base = TENTH
        for time in range(18 + 2 * number):
            frame = np.stack([4 * x, 5 * y, np.full_like(x, 60 * number)], axis=2).astype(np.uint8)
            frame[8 + time : 24 + time, 16 * number : 16 * number + 16] = 250
            packet = av.Packet(simplejpeg.encode_jpeg(frame, quality=90))
            packet.stream, packet.time_base, packet.is_keyframe = stream, TENTH, True
            packet.pts, packet.dts, packet.duration = time, time, 1
            container.mux(packet)


def written(folder: Path) -> list[Path]:
    """Return the files that are the same whenever and wherever they are written."""
    names = ("*.tar", "*.index.parquet", "*.idx", "dataset.json", "toy/*.safetensors")
    return sorted(path for name in names for path in folder.rglob(name))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; a manifest is taken without the versions of tools and its own hash."""
    data = path.read_bytes()
    if path.name == "dataset.json":
        manifest = json.loads(data)
        del manifest["made_with"], manifest["self_sha256"]
        data = json.dumps(manifest, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def last_loss(run: Path) -> float:
    """Return the loss of step 20, all digits."""
    record = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert record["step"] == 20
    loss: float = record["loss"]
    return loss


def weights(run: Path) -> dict[str, str]:
    """Return name and shape of every tensor of the last checkpoint."""
    data = (run / "checkpoints" / "step-000020" / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {name: "x".join(map(str, header[name]["shape"])) for name in sorted(header)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(Path(temporary))
    EXPECTED.write_text(json.dumps(found, indent=2) + "\n")
