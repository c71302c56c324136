"""Times what comes between a file of weights and features, with networks of the size ViT-B.

    python benchmarks/training/weights.py VIDEO... [--rounds 5]

First table: `vfm convert` and `vfm export` of drawn weights under the names of UMT and VideoMAE, each in a
process of its own: seconds in all (the import of torch among them), seconds of the command alone, and the
most memory that the command took beyond what the process had with torch loaded, in sizes of the file.

Second table: `import vfm`, in a fresh process each.

Third table: `vfm.embed` of the videos by VideoMAE's ViT-B, one clip each, in turns with what it consists of:
`extract_sources` with the same options and workers, and a bare forward pass of as many clips at once.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

import vfm
from vfm.api import extraction_for
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights import layouts
from vfm.trainer.weights.files import write_weights
from vfm.trainer.weights.fit import shapes_of
from vfm.video2token.jobs.extract.extract import extract

_NUM_CLASSES = 400
_COMMAND = """
import importlib, sys, time
modules = {"convert": "vfm.trainer.runs.convert", "export": "vfm.trainer.export.folder"}
importlib.import_module(modules[sys.argv[1]])
from vfm.cli.main import main

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

before, begun_s = peak(), time.perf_counter()
sys.argv = ["vfm", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(time.perf_counter() - begun_s, 1024 * (peak() - before))
"""
_IMPORT = "import time; begun_s = time.perf_counter(); import vfm; print(time.perf_counter() - begun_s)"


def drawn(recipe: Recipe) -> dict[str, Tensor]:
    """Return a state of the recipe's network, its numbers drawn."""
    rows = {"cls_fc.weight": _NUM_CLASSES, "clip_decoder.0.head.weight": 768}
    shapes = shapes_of(recipe, {name: torch.empty(number, 0) for name, number in rows.items()})
    return {name: 0.02 * torch.randn(shape) for name, shape in shapes.items()}


def write_theirs(name: str, folder: Path) -> Path:
    """Write a file of a recipe's network under the names of its method's project."""
    recipe = load_recipe(name)
    wanted = (recipe.method, recipe.method, recipe.task)
    layout = next(each for each in layouts.load_all() if (each.name, each.method, each.task) == wanted)
    path = folder / f"{name}.pth"
    write_weights(path, layout.to_theirs(drawn(recipe), recipe), container="model", metadata={})
    return path


def run(*arguments: object) -> tuple[float, float, float]:
    """Return seconds in all, seconds of the command, and bytes that it took."""
    line = [sys.executable, "-c", _COMMAND, *map(str, arguments)]
    begun_s = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    own_s, num_bytes = map(float, done.stdout.split()[-2:])
    return time.perf_counter() - begun_s, own_s, num_bytes


def time_commands(rounds: int, folder: Path) -> None:
    """Print the first table."""
    print("command   weights                 in all s   alone s   memory, sizes of the file")
    for name in ("umt-base", "umt-base-classify", "videomae-base"):
        path = write_theirs(name, folder)
        for command, ending in (("convert", ".safetensors"), ("export", "")):
            outs = [folder / f"{command}-{name}-{turn}{ending}" for turn in range(rounds)]
            found = [run(command, path, out) for out in outs]
            whole_s, own_s, num_bytes = (statistics.median(values) for values in zip(*found, strict=True))
            sizes = num_bytes / path.stat().st_size
            print(f"{command:8}  {name:22}  {whole_s:8.2f}  {own_s:8.2f}   {sizes:.2f}")


def time_import(rounds: int) -> None:
    """Print the second table."""
    line = [sys.executable, "-c", _IMPORT]
    found = [float(subprocess.run(line, capture_output=True, check=True).stdout) for _ in range(rounds)]
    print(f"import vfm: {1e3 * statistics.median(found):.1f} ms")


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds work takes."""
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s


def time_embed(videos: Sequence[Path], rounds: int, folder: Path) -> None:
    """Print the third table."""
    path = write_theirs("videomae-base", folder / "embedded")
    model = vfm.from_pretrained(path)
    clips, options = model.backbone.example_inputs(len(videos)), extraction_for(model)
    rows: list[tuple[float, float, float]] = []
    with torch.inference_mode():
        for turn in range(rounds):
            data = folder / f"data-{turn}"
            embed_s = timed(lambda: vfm.embed(model, videos, num_clips=1, num_workers=2))
            extract_s = timed(lambda: extract(videos, data, options, num_workers=2))  # noqa: B023
            rows.append((embed_s, extract_s, timed(lambda: model(clips))))
    embed_s, extract_s, forward_s = (statistics.median(values) for values in zip(*rows, strict=True))
    ratio = statistics.median((extracted + passed) / whole for whole, extracted, passed in rows)
    print(
        f"{len(videos)} videos: vfm.embed {embed_s:.2f} s; extract {extract_s:.2f} s, forward pass "
        f"{forward_s:.2f} s; speed of vfm.embed over both: {ratio:.2f}"
    )


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, medians of {given.rounds}"
    )
    with tempfile.TemporaryDirectory(prefix="vfm-benchmark-") as folder:
        time_commands(given.rounds, Path(folder))
        time_import(given.rounds)
        time_embed(given.videos, given.rounds, Path(folder))


if __name__ == "__main__":
    main()
