"""Every command's last line names the command that comes next."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vfm.cli.display.next_step import say_next, say_pretrain, say_use
from vfm.cli.main import group

STEPS = ("--steps", 2, "--batch-size", 4, "--threads", 1)

OTHERS = "(or vimpac-large-half, vimpac-large-half-256, vimpac-small)"


def last_line(*arguments: object) -> str:
    done = CliRunner().invoke(group, list(map(str, arguments)), catch_exceptions=False, standalone_mode=False)
    assert not done.return_value, done.stderr
    return done.stderr.splitlines()[-1]


def test_words_are_quoted_as_a_shell_needs_them(capsys: pytest.CaptureFixture[str]) -> None:
    say_next("inspect", Path("my data"), also=" (or not)")
    assert capsys.readouterr().err == "next: vfm inspect 'my data' (or not)\n"


@pytest.mark.parametrize(
    ("method", "task", "is_encoder", "told"),
    [
        ("videomae", None, False, "finetune classify DATA --init x --out RUN"),
        ("videomae", None, True, "finetune classify DATA --init x --out RUN"),
        ("videomae", "classify", False, "finetune classify DATA --init x --out RUN"),
        ("simvtp", None, False, "finetune retrieve DATA --init x --out RUN"),
        ("simvtp", "retrieve", False, "evaluate x DATA --protocol retrieval"),
        ("simvtp", "retrieve", True, "finetune linear DATA --init x --out RUN"),
    ],
)
def test_weights_are_for_what_their_method_has_numbers_for(
    capsys: pytest.CaptureFixture[str], method: str, task: str | None, is_encoder: bool, told: str
) -> None:
    say_use(Path("x"), method=method, task=task, is_encoder=is_encoder)
    assert capsys.readouterr().err == f"next: vfm {told}\n"


@pytest.mark.parametrize(
    ("columns", "splits", "told"),
    [
        (
            ["frames", "vq.mine"],
            ["train", "val"],
            f"vimpac-tiny DATA --split train --out RUN {OTHERS}",
        ),
        (
            ["vq.mine"],
            [""],
            f"vimpac-tiny DATA --out RUN {OTHERS}",
        ),
        (["frames"], ["val"], "videomae-tiny DATA --out RUN (or videomae-large, "),
        (
            ["frames", "hog.mine"],
            ["train"],
            "maskfeat-mvit-tiny DATA --set data.columns=frames,hog.mine --split train --out RUN (or "
            "maskfeat-mvit-l, maskfeat-mvit-s)\n",
        ),
    ],
)
def test_a_recipe_for_the_columns_there_are(
    capsys: pytest.CaptureFixture[str], columns: list[str], splits: list[str], told: str
) -> None:
    say_pretrain(Path("DATA"), columns=columns, splits=splits, images=False)
    assert capsys.readouterr().err.startswith(f"next: vfm pretrain {told}")


def test_targets_that_no_recipe_reads_are_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    say_pretrain(Path("DATA"), columns=["frames", "nothing.like.it"], splits=[], images=False)
    assert capsys.readouterr().err == "next: vfm inspect DATA\n"


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["clip.x", "text.y"], "pretrain umt-vl-tiny VIDEOS DATA --out RUN (or umt-vl-base, umt-vl-large)"),
        (["text.y"], "inspect DATA"),
    ],
)
def test_images_are_learned_from_beside_videos(
    capsys: pytest.CaptureFixture[str], columns: list[str], told: str
) -> None:
    say_pretrain(Path("DATA"), columns=columns, splits=[], images=True)
    assert capsys.readouterr().err == f"next: vfm {told}\n"


def test_from_videos_to_a_dataset(films: Callable[..., Path], tmp_path: Path) -> None:
    videos, data = films(3), tmp_path / "data"
    plan = ("plan", videos, "--fps", 2, "--workers", 1)
    assert last_line(*plan) == f"next: vfm extract {videos} DATA with the same options"
    assert last_line(*plan, "--out", data) == f"next: vfm extract {videos} {data} with the same options"
    extract = ("extract", videos, data, "--fps", 2, "--workers", 1)
    assert last_line(*extract, "--dry-run") == "next: the same command without --dry-run"
    assert last_line(*extract) == f"next: vfm inspect {data} --sheet data.png"
    assert last_line("inspect", data).startswith(f"next: vfm pretrain videomae-tiny {data} --out RUN")
    book = tmp_path / "book"
    fit = ("fit-codebook", data, book, "--crop", 32, "--steps", 1, "--vocab-size", 16)
    assert last_line(*fit) == f"next: vfm tokenize {data} --target vq:{book}"
    tokenize = ("tokenize", data, "--target", f"vq:{book}", "--workers", 1)
    assert last_line(*tokenize).startswith(f"next: vfm pretrain vimpac-tiny {data} --out RUN")
    out = tmp_path / "book.h5"
    assert last_line("export-hdf5", data, "--column", "vq.book", out) == f"next: vfm inspect {data}"
    assert last_line("drop", data, "vq.book", "--yes") == f"next: vfm inspect {data}"
    assert last_line("import-hdf5", data, out) == f"next: vfm inspect {data} --verify"


def test_from_a_dataset_to_a_result(toy_dataset: Callable[..., Path], tmp_path: Path) -> None:
    data, run, tuned = toy_dataset(), tmp_path / "run", tmp_path / "tuned"
    pretrain = ("pretrain", "vimpac-tiny", data, "--out", run, *STEPS)
    for _again in range(2):
        told = last_line(*pretrain)
        assert told == f"next: vfm finetune classify {data} --init {run} --out CLASSIFIER"
    file = tmp_path / "run.safetensors"
    assert last_line("convert", run, file) == f"next: vfm finetune classify DATA --init {file} --out RUN"
    assert last_line("export", run, tmp_path / "out") == (
        f"next: vfm finetune classify DATA --init {tmp_path / 'out'} --out RUN"
    )
    embed = ("embed", run, data, "--clips", 1, "--workers", 1)
    assert last_line(*embed, tmp_path / "x.npy") == f"next: vfm evaluate {run} {data} --protocol knn"
    assert last_line(*embed, "vectors.x") == f"next: vfm inspect {data} --verify"
    told = last_line("finetune", "classify", data, "--init", run, "--out", tuned, *STEPS)
    assert told == f"next: vfm evaluate {tuned} {data}"
    assert last_line("evaluate", tuned, data, "--threads", 1).startswith(f"next: vfm inspect {data}")
    probe = ("--protocol", "linear", "--threads", 1)
    assert last_line("evaluate", run, data, *probe).startswith(f"next: vfm inspect {data}")


@pytest.mark.parametrize(
    ("splits", "of_training", "of_counting"),
    [
        ((), " --split all", " --split all"),
        (("train",), "", " --split all"),
        (("train", "test"), "", " --split test"),
    ],
)
def test_without_the_usual_splits_the_next_command_names_one(
    toy_dataset: Callable[..., Path],
    tmp_path: Path,
    splits: tuple[str, ...],
    of_training: str,
    of_counting: str,
) -> None:
    data, run, tuned = toy_dataset(splits=splits), tmp_path / "run", tmp_path / "tuned"
    told = last_line("pretrain", "vimpac-tiny", data, "--out", run, *STEPS)
    assert told == f"next: vfm finetune classify {data} --init {run}{of_training} --out CLASSIFIER"
    embed = ("embed", run, data, tmp_path / "x.npy", "--clips", 1, "--workers", 1)
    knn = f"next: vfm evaluate {run} {data} --protocol knn{of_counting}"
    assert last_line(*embed) == (knn if splits == ("train", "test") else f"next: vfm inspect {data}")
    words = of_training.split()
    told = last_line("finetune", "classify", data, "--init", run, "--out", tuned, *STEPS, *words)
    assert told == f"next: vfm evaluate {tuned} {data}{of_counting}"
    assert last_line(*told.split()[2:], "--threads", 1).startswith(f"next: vfm inspect {data}")


def test_from_captions_to_a_search(
    stills: Callable[..., Path], tiny_vocabulary: Path, tmp_path: Path
) -> None:
    data, run = stills(captions=(("a dog",), ("dogs run",))), tmp_path / "run"
    tokenize = ("tokenize", data, "--target", f"text:{tiny_vocabulary}", "--workers", 1)
    assert last_line(*tokenize).startswith(f"next: vfm pretrain simvtp-tiny {data} ")
    accepted = ("--threads", 1, "--accept-data")
    small = ("--steps", 2, "--batch-size", 2, "--set", "model.image_px=32", *accepted)
    finetune = ("finetune", "retrieve", data, "--recipe", "simvtp-tiny-retrieve", "--out", run, *small)
    assert last_line(*finetune) == f"next: vfm evaluate {run} {data} --protocol retrieval"
    told = last_line(*last_line(*finetune).split()[2:], *accepted)
    assert told.startswith(f"next: vfm inspect {data}")
    search = ("search", run, data, "a dog", *accepted)
    told = last_line(*search, "--sheet", tmp_path / "found.png")
    assert told.startswith(f"next: vfm inspect {data} still-00")
    assert last_line(*search, "--no-sheet") == told


def test_recipes_and_doctor() -> None:
    assert last_line("recipes") == "next: vfm recipes show NAME"
    assert last_line("recipes", "compare", "umt-base", "umt-large") == "next: vfm recipes show umt-large"
    assert last_line("recipes", "show", "vimpac-tiny") == "next: vfm pretrain vimpac-tiny DATA --out RUN"
    assert last_line("recipes", "show", "vimpac-tiny-classify") == (
        "next: vfm finetune classify DATA --init RUN --recipe vimpac-tiny-classify --out NEW_RUN"
    )
    assert last_line("doctor", "--quick") == "next: vfm plan VIDEOS --fps 2"


def test_no_command_is_left_out() -> None:
    """A command that is new belongs into the tests above; the demo ends with where to look."""
    names = set(group.list_commands(click.Context(group)))
    tested = {"plan", "extract", "inspect", "fit-codebook", "tokenize", "drop", "pretrain", "finetune"}
    tested |= {"convert", "evaluate", "recipes", "doctor", "export-hdf5", "import-hdf5", "demo"}
    tested |= {"export", "embed", "search"}
    assert names == tested
