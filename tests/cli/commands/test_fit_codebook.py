import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vfm.cli.commands.fit_codebook import command
from vfm.shards.errors import UsageError
from vfm.shards.io.sealed import read_sealed

Stills = Callable[..., Path]
QUICK = ["--crop", "32", "--vocab-size", "16", "--steps", "4"]


def fit(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments), *QUICK], catch_exceptions=False)


def test_figures_are_json_on_stdout_and_words_on_stderr(stills: Stills, tmp_path: Path) -> None:
    data, out = stills(), tmp_path / "my book"
    done = fit(data, out, "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["name"], told["vocab_size"], told["is_new"]) == ("my-book", 16, True)
    assert Path(told["picture"]).read_bytes().startswith(b"\x89PNG")
    facts = read_sealed(out / "config.json")
    assert told["weights_sha256"] == facts["weights_sha256"]
    assert told["quality"] == facts["facts"]["quality"]
    assert (
        f"{told['quality']['psnr_db']:.2f} dB on {told['num_held_out_frames']} frames held out" in done.stderr
    )
    assert f"next: vfm tokenize {data} --target 'vq:{out}'" in done.stderr


def test_a_second_run_says_so(stills: Stills, tmp_path: Path) -> None:
    data = stills()
    fit(data, tmp_path / "book")
    again = fit(data, tmp_path / "book")
    assert again.exit_code == 0
    assert again.stdout == ""
    assert "codebook book was fitted before, nothing to do: " in again.stderr


@pytest.mark.parametrize("name", ["a.b", "-", "a b"])
def test_a_name_that_cannot_be_a_columns_is_refused(stills: Stills, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"letters, digits, - and _ \(--name\)"):
        fit(stills(), tmp_path / "book", f"--name={name}")


def test_no_dataset_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a vfm dataset: make one with `vfm extract"):
        fit(tmp_path / "no", tmp_path / "book")
    assert not (tmp_path / "book").exists()


def test_a_curve_is_drawn_once(stills: Stills, tmp_path: Path) -> None:
    data = stills()
    fit(data, tmp_path / "book")
    curve = tmp_path / "book" / "curve.png"
    assert curve.read_bytes().startswith(b"\x89PNG")
    drawn = curve.stat().st_mtime_ns
    assert fit(data, tmp_path / "book").exit_code == 0
    assert curve.stat().st_mtime_ns == drawn
    curve.unlink()  # killed between the two
    fit(data, tmp_path / "book")
    assert curve.exists()


@pytest.mark.parametrize(
    ("split", "num_frames", "is_told"),
    [([], 64, True), (["--split", "val"], 32, False), (["--split", "all"], 96, False)],
)
def test_split_train_is_fitted_to_unless_told_otherwise(
    toy_dataset: Stills, tmp_path: Path, split: list[str], num_frames: int, is_told: bool
) -> None:
    done = fit(toy_dataset(), tmp_path / "book", "--json", *split)
    told = json.loads(done.stdout)
    assert told["num_train_frames"] + told["num_held_out_frames"] == num_frames
    assert ("Fitting to split train alone" in done.stderr) == is_told


def test_split_none_is_no_split(toy_dataset: Stills, tmp_path: Path) -> None:
    data = toy_dataset()
    with pytest.raises(UsageError) as caught:
        fit(data, tmp_path / "book", "--split", "none")
    assert str(caught.value) == (
        f"{data} has no sample of split 'none': choose one of these: train (8), val (4), all (12)."
    )
