"""A dataset with every kind of column and file that the commands write: fixture ``whole_dataset``."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.films_of_shots import shots, write_shots

ROWS = (
    "path,label,split,caption",
    "cut.mp4,dog,train,a dog",
    "whole.mp4,cat,val,a slow dog",
    "broken.mp4,cat,train,run!",
)


@pytest.fixture(scope="session")
def whole_dataset(
    tmp_path_factory: pytest.TempPathFactory, tiny_codebook: Path, tiny_vocabulary: Path
) -> Path:
    """Frames with labels, captions, splits, signals and cuts; codes, HOG and text; do not write to it."""
    folder = tmp_path_factory.mktemp("whole")
    write_shots(folder / "films" / "cut.mp4", shots([3, 12]))
    write_shots(folder / "films" / "whole.mp4", shots([22]))
    (folder / "films" / "broken.mp4").write_bytes(b"")
    (folder / "films" / "list.csv").write_text("\n".join(ROWS))
    data = folder / "data"
    extract = ["--fps", 4, "--size", 32, "--workers", 1, "--samples-per-shard", 2, "--signals", "motion"]
    _run("extract", folder / "films" / "list.csv", data, *extract, "--split-scenes", "--allow-rejects", 1)
    targets = (f"vq:{tiny_codebook}", "hog", f"text:{tiny_vocabulary}")
    for target in targets:
        crop = () if target.startswith("text") else ("--crop", 32)
        _run("tokenize", data, "--target", target, "--workers", 1, *crop)
    return data


def _run(verb: str, *arguments: Any) -> None:
    import importlib

    command = importlib.import_module(f"vfm.cli.commands.{verb}").command
    done = CliRunner().invoke(command, [*map(str, arguments)], standalone_mode=False, catch_exceptions=False)
    assert done.return_value in {0, None}, done.output
