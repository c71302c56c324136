import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vfm.cli.demo.camera import (
    HELD_OUT_PHOTOS,
    LOG_ZOOM_PER_S,
    MOTIONS,
    PAN_PER_S,
    SEEN_PHOTOS,
    TURN_PER_S,
    CameraMove,
    MovingPhotosOptions,
    camera_at,
    list_shots,
)
from vfm.cli.demo.moving_photos import draw, load_canvas, make_moving_photos
from vfm.shards.errors import MachineError, UsageError
from vfm.video2token.sources.listing import list_sources

TWO_FRAMES = MovingPhotosOptions(size_px=48, fps=1, duration_s=2.0)
FEW = MovingPhotosOptions(num_pretrain=9, num_train=8, num_val=8, size_px=32, duration_s=1.0)


def shot_of(motion: str, **changes: float) -> CameraMove:
    """Return a shot in the middle of a photograph, upright, at zoom 1."""
    still = CameraMove(
        split="train",
        photo="astronaut.png",
        motion=motion,
        place=(0.25, 0.25),
        angle_rad=0.0,
        log_zoom=0.0,
        speed=1.0,
        brightness=1.0,
    )
    return replace(still, **changes)


def two_frames(shot: CameraMove) -> np.ndarray:
    """Return frames one second apart, int [2, 48, 48, 3]."""
    canvas = load_canvas(shot.photo, TWO_FRAMES)
    return np.stack(list(draw(shot, canvas, TWO_FRAMES))).astype(int)


@pytest.mark.parametrize(
    ("motion", "before", "after"),
    [
        ("pan-right", np.s_[:, 4:], np.s_[:, :-4]),
        ("pan-left", np.s_[:, :-4], np.s_[:, 4:]),
        ("pan-down", np.s_[4:], np.s_[:-4]),
        ("pan-up", np.s_[:-4], np.s_[4:]),
    ],
)
def test_pan_moves_what_is_seen_against_the_camera(
    motion: str, before: tuple[slice, ...], after: tuple[slice, ...]
) -> None:
    frames = two_frames(shot_of(motion, speed=4 / (PAN_PER_S * TWO_FRAMES.size_px)))
    assert np.abs(frames[0][before] - frames[1][after]).max() <= 1  # rounding
    assert np.abs(frames[0] - frames[1]).mean() > 5


def test_pan_follows_the_axes_of_a_turned_frame_by_the_same_part_at_every_zoom() -> None:
    speed = 4 / (PAN_PER_S * TWO_FRAMES.size_px)
    frames = two_frames(shot_of("pan-right", speed=speed, angle_rad=1.0, log_zoom=0.3))
    assert np.abs(frames[0][:, 4:] - frames[1][:, :-4]).max() <= 1


@pytest.mark.parametrize(("motion", "quarter_turns"), [("rotate-right", 1), ("rotate-left", -1)])
def test_rotate_turns_what_is_seen_against_the_camera(motion: str, quarter_turns: int) -> None:
    frames = two_frames(shot_of(motion, speed=math.pi / 2 / TURN_PER_S))
    assert np.abs(np.rot90(frames[0], quarter_turns) - frames[1]).max() <= 1


@pytest.mark.parametrize(("motion", "growth"), [("zoom-in", 4.0), ("zoom-out", 0.25)])
def test_zoom_changes_the_size_of_what_is_seen(motion: str, growth: float) -> None:
    size_px = load_canvas("astronaut.png", TWO_FRAMES).width
    rows, columns = np.mgrid[:size_px, :size_px]
    margin_px = (size_px - 240) // 2  # one period is 240 px, so place (0.25, 0.25) is 60 px into it
    centre_px = margin_px + 60
    disc = (rows - centre_px) ** 2 + (columns - centre_px) ** 2 < 10**2
    canvas = Image.fromarray(np.repeat(np.uint8(disc * 255)[..., None], 3, axis=2))
    shot = shot_of(motion, speed=math.log(2) / LOG_ZOOM_PER_S)
    first, last = (frame.sum() for frame in np.stack(list(draw(shot, canvas, TWO_FRAMES))).astype(int))
    assert last / first == pytest.approx(growth, rel=0.05)


def test_brightness_scales_the_pixels() -> None:
    plain, dark = (two_frames(shot_of("zoom-in", brightness=factor)) for factor in (1.0, 0.5))
    np.testing.assert_array_equal(dark, plain // 2)


def test_canvas_has_no_seam_and_repeats_after_two_photographs() -> None:
    canvas = np.asarray(load_canvas("coffee.png", TWO_FRAMES))
    period_px = 240
    np.testing.assert_array_equal(canvas[:, :90], canvas[:, period_px : period_px + 90])
    margin_px = (len(canvas) - period_px) // 2
    seam = canvas[:, margin_px + period_px // 2 - 1 : margin_px + period_px // 2 + 1]
    np.testing.assert_array_equal(seam[:, 0], seam[:, 1])


def test_classes_and_photographs_are_balanced_and_val_sees_other_photographs() -> None:
    shots = list_shots(MovingPhotosOptions(num_pretrain=72, num_train=72, num_val=32))
    by_split = {
        split: [shot for shot in shots if shot.split == split] for split in ("pretrain", "train", "val")
    }
    photos = {split: {shot.photo for shot in listed} for split, listed in by_split.items()}
    assert photos == {"pretrain": set(SEEN_PHOTOS), "train": set(SEEN_PHOTOS), "val": set(HELD_OUT_PHOTOS)}
    assert not set(SEEN_PHOTOS) & set(HELD_OUT_PHOTOS)
    for listed in by_split.values():
        pairs = Counter((shot.motion, shot.photo) for shot in listed)
        assert set(pairs.values()) == {1}
        assert {motion for motion, _ in pairs} == set(MOTIONS)


def test_a_frame_at_a_random_time_has_the_same_zoom_place_and_angle_in_all_classes() -> None:
    options = MovingPhotosOptions(num_pretrain=8 * 1500, num_train=0, num_val=0)
    rng = np.random.default_rng(0)
    seen: dict[str, list[tuple[float, ...]]] = {motion: [] for motion in MOTIONS}
    for shot in list_shots(options):
        since_middle_s = rng.uniform(-0.5, 0.5) * options.duration_s
        x, y, angle, step = camera_at(shot, since_middle_s, 0.2)
        seen[shot.motion].append((x % 1, y % 1, angle % (2 * math.pi) / (2 * math.pi), -math.log(step)))
    deciles = [np.quantile(np.array(rows), np.linspace(0.1, 0.9, 9), axis=0) for rows in seen.values()]
    for one in deciles:
        np.testing.assert_allclose(one, np.mean(deciles, axis=0), atol=0.05)


def test_seed_decides_every_shot_and_a_larger_set_begins_with_the_smaller_one() -> None:
    assert list_shots(FEW) == list_shots(FEW)
    assert list_shots(FEW) != list_shots(replace(FEW, seed=1))
    assert list_shots(replace(FEW, num_pretrain=20))[:9] == list_shots(FEW)[:9]


def test_videos_are_h264_and_the_list_names_them(tmp_path: Path) -> None:
    labels = make_moving_photos(tmp_path, FEW)
    lines = labels.read_text().splitlines()
    assert lines[:2] == ["path,label,split", "videos/unlabelled/00000-astronaut.mp4,,train"]
    assert lines[10] == "videos/pan-down/00009-astronaut.mp4,pan-down,train"
    assert lines[-1] == "videos/zoom-out/00024-chelsea.mp4,zoom-out,val"
    with av.open(str(tmp_path / "videos/zoom-out/00024-chelsea.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.width, stream.height, stream.average_rate) == ("h264", 32, 32, 8)
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(stream)]
    shot = list_shots(FEW)[-1]
    drawn = np.stack(list(draw(shot, load_canvas(shot.photo, FEW), FEW)))
    assert len(frames) == 8
    assert np.abs(np.stack(frames) - drawn).mean() < 8  # colours at half resolution, and H.264


def test_the_list_can_be_extracted(tmp_path: Path) -> None:
    sources = list_sources([make_moving_photos(tmp_path, FEW)], missing="error").sources
    assert Counter(source.split for source in sources) == {"train": 9 + 8, "val": 8}
    unlabelled = [source for source in sources if source.label is None]
    assert (len(unlabelled), {source.split for source in unlabelled}) == (9, {"train"})
    assert {source.label for source in sources if source.split == "val"} == set(MOTIONS)


def test_same_bytes_whatever_the_workers_and_a_rerun_keeps_what_is_there(tmp_path: Path) -> None:
    for name, num_workers in (("one", 1), ("two", 2)):
        make_moving_photos(tmp_path / name, FEW, num_workers=num_workers)
    bytes_of = {
        name: {
            path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")
        }
        for name in ("one", "two")
    }
    assert len(bytes_of["one"]) == 26
    assert bytes_of["one"] == bytes_of["two"]

    gone, kept = (tmp_path / f"one/videos/unlabelled/0000{i}-astronaut.mp4" for i in (0, 1))
    gone.unlink()
    before_ns = kept.stat().st_mtime_ns
    make_moving_photos(tmp_path / "one", FEW)
    assert gone.read_bytes() == bytes_of["one"][gone.relative_to(tmp_path / "one")]
    assert kept.stat().st_mtime_ns == before_ns


def test_a_photograph_that_is_missing_is_named() -> None:
    with pytest.raises(MachineError, match=r"nobody\.png is not in the installed scikit-image"):
        load_canvas("nobody.png", TWO_FRAMES)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"size_px": 47}, "even number of pixels"),
        ({"size_px": 8}, "at least 16"),
        ({"duration_s": 0.0}, "at least one frame"),
        ({"fps": 0}, "at least one frame"),
    ],
)
def test_impossible_videos_are_refused(changes: dict[str, float], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        replace(FEW, **changes)
