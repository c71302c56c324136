import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from support.media import BLUE, RED, draw, number_in
from vfm.shards.errors import UsageError
from vfm.shards.format.plan import Source
from vfm.shards.pixels import jpeg
from vfm.video2token.container.demuxer import raise_memory_error
from vfm.video2token.container.file_check import FileFacts
from vfm.video2token.decoding import decoders
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import pyav
from vfm.video2token.jobs.extract.video_task import extract_one, task_of
from vfm.video2token.options import ExtractOptions
from vfm.video2token.picture.scaling import Scaler, scale
from vfm.video2token.rejection import VideoRejected

Film = Callable[..., Path]


def decode(path: Path, **options: object) -> DecodedVideo:
    given = {"fps": 2.0, "size_px": 48, "quality": 95, **options}
    return pyav.decode(str(path), ExtractOptions(**given))  # type: ignore[arg-type]


def frames(video: DecodedVideo) -> list[np.ndarray]:
    return [jpeg.decode(data) for data in video.jpegs]


def numbers(video: DecodedVideo) -> list[int]:
    return [number_in(frame) for frame in frames(video)]


def reason_for(path: Path, **options: object) -> str:
    with pytest.raises(VideoRejected) as caught:
        decode(path, **options)
    assert caught.value.message.endswith(".")
    return caught.value.reason


def test_every_decoder_has_the_contract() -> None:
    assert "pyav" in decoders.names()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.ts", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.webm", "libvpx-vp9"),
    ],
)
def test_frames_shown_at_the_ticks_are_taken(film: Film, name: str, codec: str) -> None:
    options = {} if codec != "libx264" else {"bf": "2", "g": "12"}
    video = decode(film(name, codec=codec, options=options))
    assert numbers(video) == [0, 12, 25, 37]
    assert np.array(video.pts_s) - video.pts_s[0] == pytest.approx([0, 0.48, 1.0, 1.48])
    assert video.damage == ()
    assert (video.source_fps, video.source_duration_s) == (25.0, pytest.approx(2.0, abs=0.002))
    assert (video.width_px, video.height_px) == (64, 48)


def test_a_raw_stream_without_times_is_timed_by_its_rate(film: Film) -> None:
    assert numbers(decode(film("a.h264"))) == [0, 12, 25, 37]


def test_varying_rate_is_sampled_by_time(film: Film) -> None:
    pts = [0, 40, 80, 480, 1020, 1060, 1100, 1900]
    video = decode(film("a.mkv", num_frames=8, pts=pts, time_base=Fraction(1, 1000)))
    assert numbers(video) == [0, 3, 3, 6]  # the last frame lasts 40 ms, no tick is left for it
    assert video.pts_s == pytest.approx((0.0, 0.48, 0.48, 1.1))


def test_video_that_starts_late_has_no_leading_frames(film: Film) -> None:
    video = decode(film("a.mkv", num_frames=25, pts=[175 + i for i in range(25)]))
    assert video.pts_s == pytest.approx((7.0, 7.48))


def test_short_video_gives_one_frame(film: Film) -> None:
    assert numbers(decode(film(num_frames=1), fps=0.1)) == [0]


def test_native_rate_takes_each_frame_once(film: Film) -> None:
    assert numbers(decode(film("a.mkv", num_frames=30, fps=24), fps=24.0)) == list(range(30))


def test_higher_rate_repeats_frames_without_encoding_them_again(film: Film) -> None:
    video = decode(film(num_frames=3, fps=5), fps=10.0)
    assert numbers(video) == [0, 0, 1, 1, 2, 2]
    assert video.jpegs[0] is video.jpegs[1]


def test_too_many_frames_are_refused(film: Film) -> None:
    assert reason_for(film(), max_frames=3) == "too_long"
    gap = film("gap.mkv", num_frames=2, pts=[0, 31_536_000_000], time_base=Fraction(1, 1000))
    assert reason_for(gap) == "too_long"


def test_colours_and_picture_are_right(film: Film) -> None:
    frame = frames(decode(film(num_frames=1)))[0].astype(int)
    # coded 4:2:0 twice, as video and as JPEG
    assert np.abs(frame[30:44, 4:26] - RED).max() < 12
    assert np.abs(frame[30:44, 38:60] - BLUE).max() < 12
    assert np.abs(frame - draw(0)).mean() < 4


@pytest.mark.parametrize("space", [1, 5, 9])
def test_colour_matrix_and_range_are_followed(space: int) -> None:
    weights = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}[space]
    for value_range in (1, 2):
        frame = av.VideoFrame(64, 64, "yuv420p")
        for plane, value in zip(frame.planes, (120, 100, 150), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.colorspace, frame.color_range = space, value_range
        scaled = scale(frame, (32, 32), scaler=Scaler())
        np.testing.assert_allclose(scaled[16, 16], rgb_of(120, 100, 150, weights, value_range == 2), atol=1.1)


def rgb_of(y: int, u: int, v: int, weights: tuple[float, float], is_full: bool) -> np.ndarray:
    """ITU-T H.273 equations 38 to 57 with the weights of red and blue."""
    red_weight, blue_weight = weights
    luma, scale = (y / 255, 255) if is_full else ((y - 16) / 219, 224)
    red = luma + 2 * (1 - red_weight) * (v - 128) / scale
    blue = luma + 2 * (1 - blue_weight) * (u - 128) / scale
    green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return np.clip([255 * red, 255 * green, 255 * blue], 0, 255)


@pytest.mark.parametrize(
    ("matrix", "turned", "rotation_deg"),
    [
        ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1), 90),
        ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2), 180),
        ((0, -1, 1, 0), lambda frame: np.rot90(frame, 1), 270),
        ((-1, 0, 0, 1), lambda frame: frame[:, ::-1], 0),
    ],
)
def test_display_matrix_turns_the_picture_upright(
    film: Film, matrix: tuple[int, ...], turned: Callable[[np.ndarray], np.ndarray], rotation_deg: int
) -> None:
    a, b, c, d = (value << 16 for value in matrix)
    video = decode(film(num_frames=1, first=77, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30)))
    assert np.abs(frames(video)[0].astype(int) - turned(draw(77))).mean() < 5
    assert video.rotation_deg == rotation_deg


def test_pixels_are_made_square(film: Film) -> None:
    video = decode(film(num_frames=1, first=77, aspect=Fraction(2, 1)))
    assert (video.width_px, video.height_px) == (128, 48)
    assert video.sample_aspect_ratio == "2:1"
    assert numbers(video) == [77]


def test_frames_keep_one_size_where_the_stream_changes_its_own(film: Film) -> None:
    first = film("1.ts", num_frames=25).read_bytes()
    second = film("2.ts", num_frames=25, first=25, size=(128, 96)).read_bytes()
    joined = film("joined.ts", num_frames=1)
    joined.write_bytes(first + second)
    video = decode(joined)
    assert [frame.shape for frame in frames(video)] == [(48, 64, 3)] * 4
    assert numbers(video)[2:] == [25, 37]
    assert (video.damage, video.flags) == ((), ("joined", "size_change"))


@pytest.mark.parametrize("size", [(2, 2), (64, 48), (66, 200)])
def test_short_side_is_the_size_asked_for(film: Film, size: tuple[int, int]) -> None:
    video = decode(film(num_frames=1, size=size), size_px=32)
    assert min(video.width_px, video.height_px) == 32
    assert frames(video)[0].shape == (video.height_px, video.width_px, 3)


def test_flipped_bits_are_counted(film: Film) -> None:
    path = film(num_frames=100, size=(320, 240))
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    start, end = data.index(b"mdat") + 1200, data.index(b"moov")  # behind the encoder's own message
    for at in rng.integers(start, end, size=30):
        data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    video = decode(path)
    assert video.num_decode_errors > 0
    assert f"errors: {video.num_decode_errors}" in video.damage[0]
    assert len(video.jpegs) >= 7


@pytest.mark.parametrize(
    ("log", "is_memory"),
    [
        (["get_buffer() failed", "no frame!"], True),
        (["Cannot allocate memory"], True),
        (["Picture size 70000x70000 is invalid", "get_buffer() failed"], False),
        (["error while decoding MB 0 7"], False),
        ([], False),
    ],
)
def test_want_of_memory_is_told_from_damage(log: list[str], is_memory: bool) -> None:
    entries = [(16, "h264", message) for message in log]
    if is_memory:
        with pytest.raises(MemoryError):
            raise_memory_error(entries)
    else:
        raise_memory_error(entries)


@pytest.mark.parametrize("name", ["cut.mkv", "cut.ts", "cut.avi"])
def test_cut_file_keeps_its_frames_and_is_marked(film: Film, name: str) -> None:
    path = film(name, num_frames=100, size=(320, 240), codec="mpeg4", options={"g": "12"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    video = decode(path)
    assert 2 <= len(video.jpegs) <= 6
    assert video.damage


def test_video_without_its_first_keyframe_is_marked(film: Film, tmp_path: Path) -> None:
    with av.open(str(film(num_frames=50))) as source, av.open(str(tmp_path / "b.mkv"), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux() if packet.size][3:]:
            packet.stream = stream
            copy.mux(packet)
    assert any(
        told.startswith("Packets before the first keyframe") for told in decode(tmp_path / "b.mkv").damage
    )


def test_file_cut_before_its_index_is_truncated(film: Film) -> None:
    path = film()
    path.write_bytes(path.read_bytes()[:2000])
    assert reason_for(path) == "truncated"


def test_noise_and_sound_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))
    assert reason_for(tmp_path / "noise.mp4") == "not_video"
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert reason_for(tmp_path / "sound.mp4") == "no_video"


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"]
)
def test_playlist_is_stopped_twice(film: Film, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = film("secret.mp4").with_name("list.mp4")
    path.write_text(text)
    assert reason_for(path) == "playlist"
    # and if the first look were fooled, the list of formats stops it
    monkeypatch.setattr(pyav, "check_file", lambda *_, **__: FileFacts(is_known=False, is_cut=False))
    assert reason_for(path) == "not_video"


@pytest.mark.parametrize(
    "name", ["concat:a.mp4", "-i.mp4", "%03d.mp4", "file:x.mp4", "a\nb.mp4", "\udcff.mp4"]
)
def test_names_are_never_read_as_anything_else(film: Film, name: str) -> None:
    assert numbers(decode(film("plain.mp4", num_frames=1, first=9).rename(film().parent / name))) == [9]


def test_log_level_is_left_as_it_was(film: Film) -> None:
    before = av.logging.get_level()
    decode(film(num_frames=1))
    assert av.logging.get_level() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fps": 0.0}, "fps cannot be 0.0: use 0.001 to 1000"),
        ({"fps": float("nan")}, "fps cannot be nan"),
        ({"size_px": 8}, "size_px cannot be 8: use 16 to 4096"),
        ({"quality": 101}, "quality cannot be 101"),
        ({"max_frames": 0}, "max_frames cannot be 0"),
        ({"timeout_s": 0.0}, "timeout_s cannot be 0.0"),
        ({"memory_bytes": 1}, "512 MiB or more"),
        ({"sampling": "random"}, "sampling cannot be random: use one of grid, native"),
        ({"sampling": "native"}, "fps cannot be 2.0: use none with the rule native"),
        ({"fps": None}, "fps cannot be None"),
        ({"num_frames": 3}, "num_frames cannot be 3: use none with the rule grid"),
        ({"fps": None, "sampling": "uniform"}, "num_frames cannot be None: use 1 to max_frames"),
        ({"fps": None, "sampling": "uniform", "num_frames": 36_001}, "num_frames cannot be 36001"),
        ({"num_threads": 0}, "num_threads cannot be 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ExtractOptions(**{"fps": 2.0, **options})  # type: ignore[arg-type]


def test_a_decoder_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="decoder cannot be vlc: use one of dali, ffmpeg, pyav, torchcodec"):
        decoders.load("vlc")


def test_options_that_change_no_byte_are_not_recorded() -> None:
    first = ExtractOptions(fps=2.0, timeout_s=1.0, memory_bytes=1 << 30).to_column()
    assert first == ExtractOptions(fps=2.0).to_column()
    assert first["fps"] == 2.0


@pytest.mark.needs("shared")
def test_real_clips_agree_with_a_plain_loop(shared: Path) -> None:
    path = shared / "videos" / "clips" / "nasa.mp4"
    with av.open(str(path)) as container:
        pts = [frame.time for frame in container.decode(container.streams.best("video"))]
    video = decode(path)
    expected = [max(time for time in pts if time <= pts[0] + k / 2 + 1e-6) for k in range(len(video.pts_s))]
    assert video.pts_s == pytest.approx(expected, abs=1e-6)
    assert len(video.pts_s) == 27


def test_segment_is_cut_out(film: Film) -> None:
    # ticks at 0.5, 1.0 and 1.5 s
    part = pyav.decode(str(film()), ExtractOptions(fps=2.0, size_px=48), start_s=0.5, end_s=1.6)
    assert numbers(part) == [12, 25, 37]
    assert part.pts_s == pytest.approx((0.48, 1.0, 1.48))
    assert part.copy_times_s == pytest.approx((0, 0.52, 1.0))
    assert part.source_duration_s == pytest.approx(2.0)
    assert part.last_s == 0.5


def test_segment_counts_from_the_first_frame(film: Film) -> None:
    path = film("a.mkv", num_frames=25, pts=[175 + i for i in range(25)])
    part = pyav.decode(str(path), ExtractOptions(fps=5.0, size_px=48), start_s=0.2, end_s=0.6)
    assert numbers(part) == [5, 10]
    assert part.pts_s == pytest.approx((7.2, 7.4))


@pytest.mark.parametrize("selective", [True, False])
@pytest.mark.parametrize(
    "rule", [{"fps": 2.0}, {"sampling": "native"}, {"sampling": "uniform", "num_frames": 2}]
)
def test_segment_behind_the_end_is_rejected(film: Film, rule: dict[str, object], selective: bool) -> None:
    options = ExtractOptions(size_px=48, selective=selective, **rule)  # type: ignore[arg-type]
    with pytest.raises(
        VideoRejected, match=r"no frame from 7\.0 s to its end: its video is 2 s long"
    ) as caught:
        pyav.decode(str(film()), options, start_s=7.0)
    assert caught.value.reason == "empty_segment"


def test_worker_stores_the_segment_and_its_times(film: Film) -> None:
    source = Source(
        key="a", identity="a.mp4", path=str(film()), size_bytes=-1, mtime_ns=0, start_s=0.5, end_s=1.6
    )
    head, video = extract_one(task_of(source, ExtractOptions(fps=2.0, size_px=48)))
    meta = json.loads(head["meta"])
    assert (meta["start_s"], meta["end_s"], meta["num_frames"]) == (0.5, 1.6, 3)
    with av.open(io.BytesIO(video)) as container:
        shown = [frame.time for frame in container.decode(video=0)]
    assert shown == pytest.approx([0, 0.52, 1.0], abs=1e-4)


@pytest.mark.parametrize("factor", [10, 1000])
def test_duration_that_lies_is_flagged(film: Film, factor: int) -> None:
    path = film()
    assert decode(path).flags == ()
    data = bytearray(path.read_bytes())
    at = data.index(b"mvhd") + 20
    data[at : at + 4] = (int.from_bytes(data[at : at + 4]) * factor).to_bytes(4)
    path.write_bytes(data)
    video = decode(path)
    assert (video.flags, video.damage) == (("duration_lies",), ())
    assert video.source_duration_s == pytest.approx(2.0)


def test_every_frame_and_a_number_of_frames(film: Film) -> None:
    assert numbers(decode(film(), fps=None, sampling="native")) == list(range(50))
    assert numbers(decode(film(), fps=None, sampling="uniform", num_frames=4)) == [6, 18, 31, 43]
    assert numbers(decode(film(num_frames=2), fps=None, sampling="uniform", num_frames=4)) == [0, 0, 1, 1]
    assert reason_for(film(), fps=None, sampling="native", max_frames=49) == "too_long"


@pytest.mark.needs("shared")
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("b19_resolution_change.ts", ("joined", "size_change")),
        ("c08_duration_lies.mp4", ("duration_lies",)),
        ("c13_start_7s.mkv", ()),
        ("c11_live_webm_no_duration.webm", ()),
        ("c05_1000fps.mp4", ()),
        ("r05_discard_first_keyframe.mp4", ()),
    ],
)
def test_odd_videos_are_sound_and_flagged(shared: Path, name: str, flags: tuple[str, ...]) -> None:
    video = decode(shared / "badvideos" / "files" / name)
    assert (video.damage, video.flags) == ((), flags)
    assert len({frame.shape for frame in frames(video)}) == 1
