"""The page about Python says what is so: its commands and its code run as they stand there, in order."""

import logging
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.media import write_film
from vfm.cli.main import group
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.run import pretrain

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reference" / "python.md").read_text()
STEPS = ("train.batch_size=2", "train.max_steps=1", "data.stride=1", "data.seconds_apart=0.25")


@pytest.fixture
def folder(
    tmp_path: Path, toy_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The folder in which the page's code runs: eight videos, and a run of an update."""
    rows = ["path,label,split"]
    for number in range(8):
        write_film(tmp_path / "videos" / f"{number}.mp4", first=5 * number, size=(256, 224))
        rows.append(
            f"videos/{number}.mp4,{('walk', 'run')[number % 2]},{'val' if number in (2, 5) else 'train'}"
        )
    (tmp_path / "videos.csv").write_text("\n".join(rows) + "\n")
    options = RunOptions(device="cpu", say=lambda _sentence: None, accept_data=True)
    recipe = override(load_recipe("videomae-tiny"), STEPS)
    pretrain(recipe, start=None, data=toy_dataset("toy"), out=tmp_path / "runs" / "mine", options=options)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    logging.getLogger("vfm").setLevel(logging.NOTSET)


def test_commands_and_code_do_what_the_page_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line[4:] for line in PAGE.splitlines() if line.startswith("    ") or not line]
    for command in [line for line in lines if line.startswith("vfm ")]:
        done = CliRunner().invoke(group, shlex.split(command)[1:], standalone_mode=False)
        assert done.exception is None, f"{command}\n{done.output}\n{done.exception}"
    capsys.readouterr()
    code = "\n".join(line for line in lines if not line.startswith("vfm "))
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "docs/reference/python.md", "exec"), names)
    shown = re.findall(r"^(?:print\(.*\)|\s+)  # (.*)$", code, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == shown
    assert names["loss"].isfinite()
    assert {group["lr_scale"] for group in names["groups"]} > {1.0}
    assert names["batch"]["frames"].shape[1:] == (names["num_frames"], 224, 224, 3)
