"""``--views``: the middle, crops of several sizes, or a list in a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.columns.views import parse_views, random_views, resized_views, vimpac_views
from vfm.shards.errors import UsageError
from vfm.shards.pixels.resized_crop import ResizedCrop
from vfm.shards.pixels.views import Box, View, apply_view, centre


@pytest.mark.parametrize("word", ["centre", "center"])
def test_the_middle_is_one_view(word: str) -> None:
    assert parse_views(word, crop_px=32) == (centre(32),)


def test_random_views_are_those_that_loaders_draw_and_always_the_same() -> None:
    views = parse_views("random:64", crop_px=32)
    assert views == random_views(64, crop_px=32)
    assert views[:4] == parse_views("random:4", crop_px=32)
    assert len(set(views)) > 50
    boxes = [view.box for view in views if view.box is not None]
    assert len(boxes) == 64
    scales = [1.0, 0.875, 0.75, 0.66]
    for box in boxes:
        assert abs(scales.index(box.height) - scales.index(box.width)) <= 1
        assert {box.top * 4, box.left * 4} <= {0, 1, 2, 3, 4}
    assert {box.height for box in boxes} == {box.width for box in boxes} == set(scales)
    assert 20 < np.sum([view.flip for view in views]) < 44
    assert {view.crop_px for view in views} == {32}


def test_resized_views_are_those_of_umts_second_stage_and_always_the_same() -> None:
    views = parse_views("resized:64", crop_px=32)
    assert views == resized_views(64, crop_px=32)
    assert views[:4] == parse_views("resized:4", crop_px=32)
    crops = [view.resized for view in views if view.resized is not None]
    assert len(crops) == 64
    draws = np.array([crop.draws for crop in crops])
    assert draws.shape == (64, 10, 2)
    areas, shapes = draws[..., 0], np.log(draws[..., 1])
    assert np.quantile(areas, [0, 0.5, 1]) == pytest.approx([0.5, 0.75, 1], abs=0.03)
    assert np.quantile(shapes, [0, 0.5, 1]) == pytest.approx(np.log([3 / 4, 1, 4 / 3]), abs=0.03)
    places = np.array([(crop.top, crop.left) for crop in crops])
    assert np.quantile(places, [0, 0.5, 1], axis=0) == pytest.approx(
        np.array([[0, 0], [0.5, 0.5], [1, 1]]), abs=0.1
    )
    assert 20 < np.sum([view.flip for view in views]) < 44
    assert {view.crop_px for view in views} == {32}
    assert len({view.resized.cut(90, 160) for view in views if view.resized is not None}) > 50


def test_vimpacs_views_are_two_sizes_at_three_places_plain_and_mirrored() -> None:
    views = parse_views("vimpac12", crop_px=128)
    assert views == vimpac_views(128)
    assert views[0] == centre(128)
    assert len(set(views)) == 12
    assert [view.resize_px for view in views[:6]] == [128, 128, 128, 160, 160, 160]
    assert [(view.top, view.left) for view in views[:4]] == [
        ("centre", "centre"),
        ("start", "start"),
        ("end", "end"),
        ("centre", "centre"),
    ]
    assert [view.flip for view in views] == 6 * [False] + 6 * [True]
    assert [view.resize_px for view in vimpac_views(18)[3:6]] == [22, 22, 22]  # 22.5, rounded down


def test_vimpacs_views_are_cut_where_its_data_preparation_cuts_them() -> None:
    """Stored frames of 20 x 28 px: of 16 px the short side is resized to 16, then to 20, which it is."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 28, 3), dtype=np.uint8)
    views = vimpac_views(16)
    for number, (top, left) in enumerate([(2, 6), (0, 0), (4, 12)]):
        square = frames[:, top : top + 16, left : left + 16]
        np.testing.assert_array_equal(apply_view(frames, views[3 + number]), square)
        np.testing.assert_array_equal(apply_view(frames, views[9 + number]), square[:, :, ::-1])


def test_a_file_lists_views_whose_sides_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "views.json"
    box = {"top": 0, "left": 0.5, "height": 0.5, "width": 1}
    resized = {"top": 0, "left": 1, "draws": [[0.5, 1]]}
    views = [{}, {"flip": True}, {"box": box}, {"resize_px": 40, "left": "end"}, {"resized": resized}]
    path.write_text(json.dumps(views))
    assert parse_views(str(path), crop_px=32) == (
        centre(32),
        View(resize_px=32, crop_px=32, flip=True),
        View(resize_px=32, crop_px=32, box=Box(top=0.0, left=0.5, height=0.5, width=1.0)),
        View(resize_px=40, crop_px=32, left="end"),
        View(resize_px=32, crop_px=32, resized=ResizedCrop(top=0.0, left=1.0, draws=((0.5, 1.0),))),
    )


@pytest.mark.parametrize(
    "text", ["random:0", "random:65", "resized:", "random:-1", "resized:x", "random:1e3"]
)
def test_a_number_of_views_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--views {text} must end in a number from 1 to 64"):
        parse_views(text, crop_px=32)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[", "nor a file of JSON that can be read"),
        ("[]", "must hold a JSON list of 1 to 64 views"),
        ("{}", "must hold a JSON list of 1 to 64 views"),
        (json.dumps([{}] * 65), "must hold a JSON list of 1 to 64 views"),
        ("[3]", "holds something else than views: views is 3"),
        ('[{"crop": 3}]', "does not know the key views.crop"),
        ('[{"crop_px": 30}]', "a view of 30 px where --crop makes all of them 32 px"),
        ('[{"resize_px": 20}]', "A crop of 32 px does not fit a short side of 20 px"),
        ('[{"box": {"top": 0, "left": 0, "height": 2, "width": 1}}]', "height 2.0 does not fit"),
        ('[{"box": {"top": 0}}]', "lacks the key views.box.height"),
        (
            '[{"resized": {"top": 0, "left": 0, "draws": [0.5, 1]}}]',
            "views.resized.draws is 0.5, but must be",
        ),
        ('[{"resized": {"top": 0, "left": 0, "draws": [[5, 1]]}}]', "A crop of 5.0 of the area"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "views.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=told):
        parse_views(str(path), crop_px=32)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        UsageError,
        match="--views corner is neither center nor random:K nor resized:K nor vimpac12 nor a file",
    ):
        parse_views("corner", crop_px=32)
