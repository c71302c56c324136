import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.moving_photos import (
    HELD_OUT_PHOTOS,
    MOTIONS,
    PAN_PER_S,
    SEEN_PHOTOS,
    MovingPhotosOptions,
    Shot,
    draw,
    list_shots,
    load_canvas,
    make_moving_photos,
)

TINY = MovingPhotosOptions(num_pretrain=8, num_train=8, num_val=8, duration_s=1.0)


def still(**changes: object) -> Shot:
    """Return a shot of an upright photograph at its nominal speed."""
    shot = replace(list_shots(TINY)[0], photo="coffee.png", place=(0.3, 0.3), angle_rad=0.0, log_zoom=0.0)
    return replace(shot, speed=1.0, brightness=1.0, **changes)  # type: ignore[arg-type]


def frames_of(shot: Shot, options: MovingPhotosOptions) -> list[np.ndarray]:
    return list(draw(shot, load_canvas(shot.photo, options), options))


def test_classes_take_turns_and_held_out_photographs_stay_out() -> None:
    shots = list_shots(MovingPhotosOptions())
    counts = Counter((shot.split, shot.motion) for shot in shots)
    assert {counts["train", motion] for motion in MOTIONS} == {80}
    assert {counts["val", motion] for motion in MOTIONS} == {40}
    assert {shot.photo for shot in shots if shot.split == "val"} == set(HELD_OUT_PHOTOS)
    assert {shot.photo for shot in shots if shot.split != "val"} == set(SEEN_PHOTOS)


def test_a_seed_decides_everything() -> None:
    assert list_shots(TINY) == list_shots(TINY)
    assert list_shots(TINY) != list_shots(replace(TINY, seed=1))


@pytest.mark.parametrize(
    ("motion", "axis", "sign"), [("pan-right", 1, 1), ("pan-down", 0, 1), ("pan-left", 1, -1)]
)
def test_a_pan_moves_the_content_the_other_way_by_its_speed(motion: str, axis: int, sign: int) -> None:
    options = replace(TINY, fps=2)
    first, second = frames_of(still(motion=motion), options)
    moved_px = round(sign * PAN_PER_S / options.fps * options.size_px)
    back = np.roll(second, moved_px, axis=axis).astype(int)
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(back[inner] - first[inner]).mean() < 1.0
    assert np.abs(second[inner].astype(int) - first[inner]).mean() > 3.0


@pytest.mark.parametrize(("one", "other"), [("zoom-in", "zoom-out"), ("rotate-left", "rotate-right")])
def test_opposite_motions_are_each_other_backwards(one: str, other: str) -> None:
    forward = frames_of(still(motion=one), TINY)
    backward = frames_of(still(motion=other), TINY)
    for frame, twin in zip(forward, reversed(backward), strict=True):
        np.testing.assert_allclose(frame.astype(int), twin.astype(int), atol=1)


def test_videos_and_list_are_written_and_repeatable(tmp_path: Path) -> None:
    labels = make_moving_photos(tmp_path / "one", TINY)
    make_moving_photos(tmp_path / "two", TINY, num_workers=2)
    rows = list(csv.DictReader(labels.read_text().splitlines()))
    assert Counter(row["split"] for row in rows) == {"pretrain": 8, "train": 8, "val": 8}
    assert {row["label"] for row in rows} == {"", *MOTIONS}
    for row in rows:
        data = (tmp_path / "one" / row["path"]).read_bytes()
        assert data == (tmp_path / "two" / row["path"]).read_bytes()
    with av.open(str(tmp_path / "one" / rows[0]["path"])) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.codec.canonical_name == "h264"
    assert len(frames) == TINY.num_frames
    assert (frames[0].width, frames[0].height) == (48, 48)


def test_a_second_run_keeps_what_is_there(tmp_path: Path) -> None:
    make_moving_photos(tmp_path, TINY)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    make_moving_photos(tmp_path, TINY)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}


@pytest.mark.parametrize("changes", [{"size_px": 15}, {"size_px": 49}, {"fps": 0}])
def test_sizes_that_no_video_has_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="A moving photo"):
        replace(TINY, **changes)
