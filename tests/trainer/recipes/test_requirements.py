import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vfm.cli.main import group
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.recipes.requirements import (
    Offer,
    Requirements,
    compare,
    fit_to_data,
    misfits,
    remedy,
    requirements_of,
)
from vfm.trainer.registry import load_recipe

BASE = Requirements(clip_len=16, seconds_apart=4 / 30, frame_px=224)


def offer(**changes):
    facts = {
        "fps": 7.5,
        "num_frames": np.full(4, 75),
        "short_px": 256,
        "source_px": 320,
        "square_px": None,
    }
    return Offer(**{**facts, **changes})


@pytest.mark.parametrize(
    ("fps", "stride"), [(7.5, 1), (15.0, 2), (30.0, 4), (25.0, 3), (60.0, 8), (8.0, 1), (2.0, 1)]
)
def test_stride_is_the_time_in_stored_frames(fps, stride):
    assert compare(BASE, offer(fps=fps), stride=None).stride == stride


@pytest.mark.parametrize(
    ("fps", "is_right"), [(7.5, True), (6.25, True), (6.2, False), (9.3, True), (9.5, False)]
)
def test_a_fifth_more_or_less_time_is_accepted(fps, is_right):
    found = offer(fps=fps, num_frames=np.full(4, 1000))
    assert (misfits(BASE, found, compare(BASE, found, stride=None)) == []) is is_right


def test_base_on_two_frames_a_second_of_128_px():
    # 16 frames from a video of 10 s at 2 fps, which has 20: 16 at the stride that comes nearest.
    found = offer(fps=2.0, num_frames=np.full(4, 20), short_px=128)
    at_four = compare(BASE, found, stride=4)
    assert (at_four.seconds_apart, at_four.repeated_frames) == (2.0, 11 / 16)  # 5 of 16 lie inside
    fit = compare(BASE, found, stride=None)
    assert (fit.stride, fit.enlargement) == (1, 1.75)
    assert misfits(BASE, found, fit) == [
        "frames 0.5 s apart, so that a clip spans 7.5 s",
        "frames of 128 px, which would be enlarged 1.75 times",
    ]
    assert "vfm extract VIDEOS NEW_DATA --fps 7.5 --size 224`" in remedy(BASE, found)


@pytest.mark.parametrize("square_px", [None, 64, 224])
@pytest.mark.parametrize("short_px", [64, 160])
def test_no_command_enlarges(short_px, square_px):
    found = offer(short_px=short_px, source_px=160, square_px=square_px)
    assert remedy(BASE, found) == "its videos have 160 px, so choose a recipe for frames of that size"


def test_a_column_is_not_made_anew_of_frames_that_are_too_small():
    assert "vfm extract VIDEOS NEW_DATA --fps 7.5 --size 224`" in remedy(
        BASE, offer(short_px=128, source_px=224, square_px=128)
    )


def test_a_clip_longer_than_the_videos():
    needed = Requirements(clip_len=4, seconds_apart="any", frame_px=64)
    found = offer(fps=2.0, num_frames=np.array([2, 2, 2, 8]))
    fit = compare(needed, found, stride=1)
    assert fit.repeated_frames == 0.375
    assert misfits(needed, found, fit) == ["videos so short that 38% of a clip's frames lie past their end"]
    assert "--fps 4 --size 64`" in remedy(needed, found)
    assert "NEW_DATA --num-frames 8 --size 64`" in remedy(replace(needed, spans_video=True), found)


def test_codes_of_another_square_are_another_input():
    needed = Requirements(clip_len=5, seconds_apart=0.5, frame_px=128)
    found = offer(fps=2.0, square_px=64)
    assert misfits(needed, found, compare(needed, found, stride=None)) == ["a column made of frames of 64 px"]
    assert "--crop 128" in remedy(needed, found)
    assert misfits(needed, offer(fps=2.0, square_px=128), compare(needed, found, stride=None)) == []


def test_frames_at_no_fixed_rate_fit_any_recipe_alone():
    found = offer(fps=None)
    assert misfits(BASE, found, compare(BASE, found, stride=None)) == ["frames at no fixed rate"]
    needed = replace(BASE, seconds_apart="any")
    assert misfits(needed, found, compare(needed, found, stride=None)) == []


def test_recipes_say_what_they_need():
    assert (
        str(requirements_of(load_recipe("videomae-base"))) == "clips of 16 frames, 0.133 s apart, of 224 px"
    )
    tiny = requirements_of(load_recipe("vimpac-tiny"))
    assert str(tiny) == "clips of 4 frames, any time apart, of any size"


def test_what_does_not_fit_is_refused_or_accepted_aloud(toy_dataset):
    recipe = replace(
        load_recipe("videomae-tiny"), data=replace(load_recipe("videomae-tiny").data, clip_len=4)
    )
    dataset, said = open_dataset(toy_dataset()), []
    with pytest.raises(
        UsageError, match=r"has frames of 32 px, which would be enlarged 2 times: .*--accept-data"
    ):
        fit_to_data(recipe, dataset, accept=False, say=said.append)
    accepted, fit = fit_to_data(recipe, dataset, accept=True, say=said.append)
    assert (accepted.data.stride, fit.enlargement) == (1, 2.0)
    assert len(said) == 1
    assert said[0].endswith("which would be enlarged 2 times: accepted.")


def run(*arguments):
    return CliRunner().invoke(group, [*map(str, arguments)], standalone_mode=False)


@pytest.fixture
def films(film, tmp_path):
    """Return a list of four videos of 1 s, with labels and splits."""
    rows = ["path,label,split"]
    for index in range(4):
        film(f"films/{index}.mp4", num_frames=24, size=(96, 64))
        rows.append(f"{index}.mp4,{'ab'[index % 2]},{'train' if index < 2 else 'val'}")
    listed = tmp_path / "films" / "list.csv"
    listed.write_text("\n".join(rows) + "\n")
    return listed


def test_the_whole_way_on_real_videos(films: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    assert run("extract", films, data, "--fps", 2, "--size", 64).exception is None
    train = ("finetune", "classify", data, "--recipe", "videomae-tiny", "--out", out, "--steps", 1)
    train = (*train, "--batch-size", 2, "--device", "cpu")
    refused = run(*train).exception
    assert isinstance(refused, UsageError)
    assert "videos so short that 50% of a clip's frames lie past their end" in str(refused)
    assert "vfm extract VIDEOS NEW_DATA --fps 4 --size 64" in str(refused)
    assert not out.exists()
    assert run(*train, "--accept-data").exception is None
    assert json.loads((out / "run.json").read_text())["fit"]["repeated_frames"] == 0.5
    evaluate = ("evaluate", out, data, "--clips", 1, "--device", "cpu")
    assert isinstance(run(*evaluate).exception, UsageError)
    told = json.loads(run(*evaluate, "--accept-data", "--json").stdout)
    assert told[0]["fit"] == {"stride": 1, "seconds_apart": 0.5, "repeated_frames": 0.5, "enlargement": 1.0}


def test_an_encoder_sees_frames_as_far_apart_as_it_was_trained_on(films: Path, tmp_path: Path) -> None:
    slow, fast = tmp_path / "slow", tmp_path / "fast"
    for data, fps in ((slow, 4), (fast, 12)):
        assert run("extract", films, data, "--fps", fps, "--size", 64).exception is None
    how = ("--steps", 1, "--batch-size", 2, "--device", "cpu")
    assert run("pretrain", "videomae-tiny", slow, "--out", tmp_path / "pre", *how).exception is None
    fine = run("finetune", "classify", fast, "--init", tmp_path / "pre", "--out", tmp_path / "fine", *how)
    assert fine.exception is None
    told = json.loads((tmp_path / "fine" / "run.json").read_text())
    assert (told["recipe"]["data"]["seconds_apart"], told["recipe"]["data"]["stride"]) == (0.25, 3)
    assert told["fit"]["seconds_apart"] == 0.25
