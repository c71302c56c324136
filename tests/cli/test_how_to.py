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

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
UMT, RETRIEVAL = PAGES / "umt-on-your-videos.md", PAGES / "retrieval.md"
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
    text = UMT.read_text()
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
        carry_out(line, words)
        told.append(words[0])
    assert told == [
        *("extract", "inspect", "tokenize", "pretrain", "evaluate", "evaluate"),
        *("finetune", "finetune", "evaluate", "pretrain"),
    ]
    for run in ("classifier", "scratch"):
        found = json.loads((videos / "runs" / run / "evaluate-multiview-val.json").read_text())
        assert (found["num_samples"], found["num_clips"], found["num_crops"]) == (2, 4, 3)
    assert (videos / "frames.png").read_bytes().startswith(b"\x89PNG")


def carry_out(line: str, words: list[str]) -> str:
    """Run a command of a page and return what it printed."""
    done = CliRunner().invoke(group, words, standalone_mode=False)
    assert done.exception is None, f"{line}\n{done.output}\n{done.exception}"
    assert not done.return_value, f"{line}\n{done.output}"
    return done.output


@pytest.fixture
def captioned(films: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a folder with films, a list of their captions, and a vocabulary of their words."""
    folder = films(12, size=(96, 80), num_frames=20)
    films_there = sorted(folder.rglob("*.mp4"))
    numbers = (
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    )
    rows = [
        f"films/{path.relative_to(folder)},film {number} moves,{'val' if i % 4 == 0 else 'train'}"
        for i, (path, number) in enumerate(zip(films_there, numbers, strict=True))
    ]
    (tmp_path / "captions.csv").write_text("\n".join(["path,caption,split", *rows]) + "\n")
    sentences = ["film one moves", "film two moves"]
    question = {"video": f"films/{films_there[0].relative_to(folder)}", "caption": sentences, "answer": 0}
    (tmp_path / "questions.jsonl").write_text(json.dumps(question))
    (tmp_path / "words").mkdir()
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "moves", "a", "person", "water", *numbers)
    (tmp_path / "words" / "vocab.txt").write_text("\n".join(words) + "\n")
    return tmp_path


def test_every_command_of_find_videos_by_sentences_runs(
    captioned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = RETRIEVAL.read_text()
    laptop = {name: value for name, (_, value) in variables(text).items()}
    assert laptop["RECIPE"] == "simvtp-tiny"
    chosen = laptop | {"BATCH": "4", "PAIRS": "4"}
    monkeypatch.chdir(captioned)
    told = {}
    for line in commands(text):
        words = shlex.split(Template(line).substitute(chosen))[1:]
        words += ["--epochs", "2"] if words[0] in ("pretrain", "finetune") else []
        told[words[0]] = carry_out(line, words)
    assert list(told) == ["extract", "tokenize", "inspect", "pretrain", "finetune", "evaluate", "search"]
    for split, num_videos in (("val", 3), ("train", 9)):
        found = json.loads((captioned / "runs/retriever" / f"evaluate-retrieval-{split}.json").read_text())
        assert (found["num_videos"], found["num_texts"]) == (num_videos, num_videos)
        assert found["text_to_video"]["chance"]["recall_at_1"] == pytest.approx(1 / num_videos)
    told = json.loads((captioned / "runs/retriever" / "evaluate-multiple-choice-val.json").read_text())
    assert (told["num_questions"], told["num_missing"], told["chance_rate"]) == (1, 0, 0.5)
    assert (captioned / "found.png").read_bytes().startswith(b"\x89PNG")


def test_values_for_a_gpu_are_those_of_the_project() -> None:
    from vfm.trainer.registry import load_recipe

    gpu = {name: value for name, (value, _) in variables(UMT.read_text()).items()}
    recipe = load_recipe(gpu["RECIPE"])
    assert recipe.model.image_px == int(gpu["SIDE"])
    assert recipe.train.epochs == 201
    assert int(gpu["BATCH"]) % int(gpu["GPUS"]) == 0


def test_values_for_gpus_are_those_of_simvtp() -> None:
    from vfm.trainer.registry import load_recipe

    gpu = {name: value for name, (value, _) in variables(RETRIEVAL.read_text()).items()}
    pretraining, finetuning = load_recipe(gpu["RECIPE"]), load_recipe(f"{gpu['RECIPE']}-retrieve")
    assert (pretraining.train.batch_size, finetuning.train.batch_size) == (1024, 64)
    assert (gpu["BATCH"], gpu["PAIRS"], gpu["SIDE"]) == ("1024", "64", str(pretraining.model.image_px))
