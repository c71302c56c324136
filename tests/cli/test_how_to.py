"""The commands of a how-to do what they say: each is run as it stands there, on tiny media."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from string import Template

import pytest
from click.testing import CliRunner

from vfm.cli.main import group

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "umt-on-your-videos.md"
SMALLER = ["--set", "model.image_px=64"]
# What is shorter here than in the text; every command is given what it takes of these.
SHORTER = {
    "pretrain": ["--epochs", "2", "--set", "optim.warmup_epochs=none", *SMALLER],
    "finetune": ["--epochs", "1"],
}


def commands(text: str) -> list[str]:
    """Return the indented lines that begin with vfm."""
    return re.findall(r"^    (vfm .*)$", text, flags=re.MULTILINE)


def variables(text: str) -> dict[str, tuple[str, str]]:
    """Return each variable's value for a GPU and for a laptop."""
    found = re.findall(r"^    ([A-Z]+)=(\S+) +# (\S+)$", text, flags=re.MULTILINE)
    return {name: (gpu, laptop) for name, gpu, laptop in found}


@pytest.fixture
def videos(films: Callable[..., Path], tmp_path: Path) -> Path:
    folder = films(8, size=(192, 160), num_frames=20)
    rows = [
        f"films/{path.relative_to(folder)},{path.parent.name},{'val' if i % 4 == 0 else 'train'}"
        for i, path in enumerate(sorted(folder.rglob("*.mp4")))
    ]
    (tmp_path / "videos.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    return tmp_path


def test_every_command_of_umt_on_your_videos_runs(
    videos: Path, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HOW_TO.read_text()
    laptop = {name: value for name, (_, value) in variables(text).items()}
    assert laptop["RECIPE"] == "umt-tiny"
    chosen = laptop | {"TEACHER": f"clip:test_vit --weights {tiny_vit}", "SIDE": "64", "BATCH": "3"}
    monkeypatch.chdir(videos)
    told = []
    for line in commands(text):
        words = shlex.split(Template(line).substitute(chosen))[1:]
        if "--extend" in words:
            words[words.index("--epochs") + 1] = "3"
            words += SMALLER
        else:
            words += SHORTER.get(words[0], [])
        if "--recipe" in words:
            words += SMALLER
        done = CliRunner().invoke(group, words, standalone_mode=False)
        assert done.exception is None, f"{line}\n{done.output}\n{done.exception}"
        assert not done.return_value, f"{line}\n{done.output}"
        told.append(words[0])
    assert told == [
        *("extract", "inspect", "tokenize", "pretrain", "evaluate", "evaluate"),
        *("finetune", "finetune", "evaluate", "pretrain"),
    ]
    for run in ("classifier", "scratch"):
        found = json.loads((videos / "runs" / run / "evaluate-multiview-val.json").read_text())
        assert (found["num_samples"], found["num_clips"], found["num_crops"]) == (2, 4, 3)
    assert (videos / "frames.png").read_bytes().startswith(b"\x89PNG")


def test_values_for_a_gpu_are_those_of_the_project() -> None:
    from vfm.trainer.registry import load_recipe

    gpu = {name: value for name, (value, _) in variables(HOW_TO.read_text()).items()}
    recipe = load_recipe(gpu["RECIPE"])
    assert recipe.model.image_px == int(gpu["SIDE"])
    assert recipe.train.epochs == 201
    assert int(gpu["BATCH"]) % int(gpu["GPUS"]) == 0
