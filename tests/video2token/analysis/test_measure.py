import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from support.films_of_shots import FPS, shots, write_again, write_shots
from vfm.cli.demo.camera import PAN_PER_S
from vfm.video2token.analysis import signals
from vfm.video2token.analysis.measure import measure
from vfm.video2token.analysis.options import DUPLICATE_BITS, STATIC_SCORE
from vfm.video2token.analysis.signal import Thumbnail
from vfm.video2token.analysis.signals import hash as hash_signal
from vfm.video2token.analysis.thumbnails import thumbnails
from vfm.video2token.rejection import VideoRejected

Film = Callable[..., Path]
PAN_RIGHT_CAMERA = 18  # shots by number: a photograph and a motion
FIVE_PHOTOS = (3, 12, 40, 22, 65)


def found_cuts_s(path: Path) -> list[float]:
    found: list[float] = measure(str(path), ["shots"])["shots"]["cuts_s"]
    return found


def motion_of(path: Path) -> tuple[float, str]:
    found = measure(str(path), ["motion"])["motion"]
    return found["score"], found["method"]


def hash_of_film(path: Path) -> str:
    found: str = measure(str(path), ["hash"])["hash"]
    return found


def hash_of_thumbnails(lumas: Iterable[np.ndarray], *, times_s: Iterable[float]) -> str:
    signal = hash_signal.build()
    for luma, time_s in zip(lumas, times_s, strict=True):
        yuv = np.stack([luma, luma, luma])
        signal.add(Thumbnail(time_s=time_s, yuv=yuv, kind="", vectors=None, width_px=64, height_px=36))
    found: str = signal.result()
    return found


def test_the_signals_are_the_files() -> None:
    assert signals.names() == ["hash", "motion", "shots"]


def test_thumbnails_are_the_frames_in_their_order(film: Film) -> None:
    path = film(num_frames=50, fps=25)
    seen = list(thumbnails(str(path), wants_vectors=True))
    assert [thumbnail.time_s for thumbnail in seen] == [round(number / 25, 6) for number in range(50)]
    assert {thumbnail.yuv.shape for thumbnail in seen} == {(3, 36, 64)}
    assert seen[0].kind == "I"
    assert seen[0].vectors is None
    assert {thumbnail.kind for thumbnail in seen} == {"I", "P", "B"}
    assert (seen[0].width_px, seen[0].height_px) == (64, 48)
    # Above, the number in bits, white is 1: the lowest bit is in the leftmost eighth.
    bits = [thumbnail.yuv[0, 9, 4] > 128 for thumbnail in seen]
    assert bits == [bool(number & 1) for number in range(50)]


def test_a_segment_is_the_same_frames_whether_sought_or_not(film: Film) -> None:
    path = film(num_frames=250, fps=25)
    whole = list(thumbnails(str(path)))
    for start_s, end_s in ((1.0, 2.0), (7.3, 8.0), (9.9, 20.0)):
        expected = [thumbnail for thumbnail in whole if start_s <= thumbnail.time_s < end_s]
        segment = list(thumbnails(str(path), start_s=start_s, end_s=end_s))
        assert [thumbnail.time_s for thumbnail in segment] == [thumbnail.time_s for thumbnail in expected]
        assert all(np.array_equal(one.yuv, other.yuv) for one, other in zip(segment, expected, strict=True))


def test_what_is_no_video_is_rejected_as_by_the_decoder(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(VideoRejected) as caught:
        measure(str(tmp_path / "empty.mp4"), ["motion"])
    assert caught.value.reason == "empty"
    assert measure(str(tmp_path / "empty.mp4"), []) == {}


def test_every_cut_between_photographs_is_found_and_nothing_else(tmp_path: Path) -> None:
    for number in range(8):
        numbers = [(number * 13 + 9 * i * i + 5 * i) % 72 for i in range(5)]
        cuts_s = write_shots(tmp_path / "film.mp4", shots(numbers, faster=1 if number % 2 else 6))
        assert len(cuts_s) == 4
        assert found_cuts_s(tmp_path / "film.mp4") == cuts_s


def test_cuts_between_views_of_one_photograph_are_found(tmp_path: Path) -> None:
    cuts_s = write_shots(tmp_path / "film.mp4", shots((0, 3, 5, 6)))
    assert found_cuts_s(tmp_path / "film.mp4") == cuts_s


def test_flashes_are_no_cuts(tmp_path: Path) -> None:
    cuts_s = write_shots(tmp_path / "film.mp4", shots(FIVE_PHOTOS), flashes=(18, 60, 90))
    assert found_cuts_s(tmp_path / "film.mp4") == cuts_s


@pytest.mark.parametrize("faster", [1, 6, 12])
def test_a_moving_camera_is_no_cut(tmp_path: Path, faster: float) -> None:
    for shot in shots(range(0, 72, 9), faster=faster):
        write_shots(tmp_path / "film.mp4", [shot])
        assert found_cuts_s(tmp_path / "film.mp4") == []


@pytest.mark.needs("shared")
@pytest.mark.parametrize(
    ("clip", "cuts_s"), [("bikes", [1.2, 3.04, 5.48, 7.48, 9.68]), ("nasa", [8.008]), ("bbb", [])]
)
def test_cuts_of_web_videos_are_those_that_one_sees(shared: Path, clip: str, cuts_s: list[float]) -> None:
    assert found_cuts_s(shared / "videos" / "clips" / f"{clip}.mp4") == cuts_s


def test_cuts_of_a_segment_count_from_the_begin_of_the_video(tmp_path: Path) -> None:
    cuts_s = write_shots(tmp_path / "film.mp4", shots(FIVE_PHOTOS))
    found = measure(str(tmp_path / "film.mp4"), ["shots"], start_s=2.0, end_s=5.0)["shots"]
    assert found == {"cuts_s": [3.0, 4.5], "last_s": round(119 / FPS, 6)}
    assert found["cuts_s"] == cuts_s[1:3]


def test_motion_is_the_speed_of_the_camera(tmp_path: Path) -> None:
    for faster in (1.0, 4.0):
        (shot,) = shots([PAN_RIGHT_CAMERA], faster=faster)
        write_shots(tmp_path / "film.mp4", [shot])
        score, method = motion_of(tmp_path / "film.mp4")
        assert method == "vectors"
        # Frame widths per second, as a share of the diagonal of a square.
        assert score == pytest.approx(shot.speed * PAN_PER_S / math.sqrt(2), rel=0.05)


@pytest.mark.parametrize("codec", ["mjpeg", "libvpx-vp9"])
def test_motion_without_vectors_comes_from_the_luma(tmp_path: Path, codec: str) -> None:
    (shot,) = shots([PAN_RIGHT_CAMERA])
    write_shots(tmp_path / "film.mp4", [shot])
    again = write_again(tmp_path / "film.mp4", tmp_path / "again.mkv", codec=codec)
    score, method = motion_of(again)
    assert method == "luma"
    assert score == pytest.approx(shot.speed * PAN_PER_S / math.sqrt(2), rel=0.3)


@pytest.mark.parametrize("codec", ["libx264", "mjpeg", "mpeg4"])
def test_a_still_picture_does_not_move(tmp_path: Path, codec: str) -> None:
    (shot,) = shots([PAN_RIGHT_CAMERA], faster=0)
    write_shots(tmp_path / "film.mp4", [shot])
    # One quantiser for all frames: where it changes, a still picture changes with it.
    fixed = {} if codec == "libx264" else {"qmin": "3", "qmax": "3"}
    score, method = motion_of(
        write_again(tmp_path / "film.mp4", tmp_path / "again.mkv", codec=codec, **fixed)
    )
    assert method == ("luma" if codec == "mjpeg" else "vectors")
    assert score < STATIC_SCORE


def test_motion_of_a_single_frame_is_not_known(film: Film) -> None:
    assert measure(str(film(num_frames=1)), ["motion"]) == {"motion": {"score": None, "method": "luma"}}


@pytest.mark.parametrize(
    "change",
    [
        {"crf": "28"},
        {"size_px": 48},
        {"every": 2},  # with every third, one photo is 6 or 7 bits away, depending on the processor
        {"codec": "mpeg4", "size_px": 160, "q:v": "8"},
    ],
)
def test_hash_is_nearly_the_same_for_another_encoding(tmp_path: Path, change: dict[str, str]) -> None:
    for number in FIVE_PHOTOS:
        write_shots(tmp_path / "film.mp4", shots([number]))
        again = write_again(tmp_path / "film.mp4", tmp_path / "again.mkv", **change)  # type: ignore[arg-type]
        assert (
            hash_signal.distance(hash_of_film(tmp_path / "film.mp4"), hash_of_film(again)) <= DUPLICATE_BITS
        )


def test_hashes_of_different_films_are_far_apart(tmp_path: Path) -> None:
    found = []
    for number in (*range(8), *FIVE_PHOTOS):  # eight motions over one photograph among them
        write_shots(tmp_path / "film.mp4", shots([number]))
        found.append(hash_of_film(tmp_path / "film.mp4"))
    pairs = [(one, other) for index, one in enumerate(found[:-5]) for other in found[index + 1 :]]
    assert min(hash_signal.distance(one, other) for one, other in pairs if one != other) >= 14


def test_still_pictures_are_told_apart(tmp_path: Path) -> None:
    found = []
    for number in range(0, 72, 16):  # five photographs
        write_shots(tmp_path / "film.mp4", shots([number], faster=0))
        found.append(hash_of_film(tmp_path / "film.mp4"))
        again = write_again(tmp_path / "film.mp4", tmp_path / "again.mkv", size_px=64, crf="28")
        assert hash_signal.distance(found[-1], hash_of_film(again)) <= DUPLICATE_BITS
    pairs = [(one, other) for index, one in enumerate(found) for other in found[index + 1 :]]
    assert min(hash_signal.distance(one, other) for one, other in pairs) >= 14


def test_a_wave_sets_the_bit_of_its_frequency() -> None:
    times, rows, columns = np.ogrid[:16, :9, :16]
    flat = np.full((16, 9, 16), 120.0)
    assert hash_signal.hash_of(flat) == "0000000000000000"
    # The order of spatial frequencies is (0, 1), (1, 0), (0, 2), (1, 1), …, 16 for each temporal one.
    across = np.cos(np.pi * (columns + 0.5) / 16)
    assert hash_signal.hash_of(flat + across) == f"{1 << 0:016x}"
    assert hash_signal.hash_of(flat - across) == "0000000000000000"
    down = np.cos(np.pi * (rows + 0.5) / 9)
    assert hash_signal.hash_of(flat + down) == f"{1 << 1:016x}"
    in_time = across * np.cos(np.pi * (times + 0.5) * 2 / 16)
    assert hash_signal.hash_of(flat + in_time) == f"{1 << 32:016x}"
    assert hash_signal.hash_of(flat + in_time / 100) == "0000000000000000"


def test_hash_does_not_depend_on_pace_begin_or_frame_rate() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (16, 3, 4))
    lumas = np.kron(coarse, np.ones((24, 12, 16))).astype(np.uint8)  # 384 frames of 36 x 64
    expected = hash_of_thumbnails(lumas, times_s=np.arange(384) / 24)
    day = hash_of_thumbnails(lumas, times_s=np.arange(384) * 225.0)
    later = hash_of_thumbnails(lumas, times_s=7200 + np.arange(384) / 24)
    sparse = hash_of_thumbnails(lumas[::12], times_s=np.arange(0, 384, 12) / 24)
    assert [hash_signal.distance(expected, other) for other in (day, later)] == [0, 0]
    assert hash_signal.distance(expected, sparse) <= 1  # whose last frame is a little earlier
    assert hash_signal.build().result() is None
