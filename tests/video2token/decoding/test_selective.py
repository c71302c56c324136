"""Selective decoding gives what full decoding gives, byte for byte, or decodes all and says why."""

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest

from support.media import number_in
from vfm.shards.pixels import jpeg
from vfm.video2token.container import packets as packets_module
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import pyav
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import VideoRejected

WIDTH, HEIGHT, NUM_FRAMES = 96, 64, 75
QUERIES: list[dict[str, Any]] = [
    {"fps": 2.0},
    {"fps": 0.4},
    {"fps": 7.3},
    {"sampling": "uniform", "num_frames": 4},
    {"sampling": "native"},
    {"fps": 3.0, "sampling": "ffmpeg-fps-filter"},
    {"fps": 3.0, "start_s": 1.1, "end_s": 1.9},
    {"sampling": "uniform", "num_frames": 2, "start_s": 1.7},
]
X265 = ":log-level=none:pools=none:frame-threads=1"


def moving_picture(index: int) -> np.ndarray:
    """Return uint8 [H,W,3]: texture that moves, cuts and noise, so that a wrong reference shows."""
    texture = np.kron(
        np.random.default_rng(index // 31).integers(0, 232, (8, 12, 3)), np.ones((8, 8, 1), np.int64)
    )
    noise = np.random.default_rng(1000 + index).integers(0, 24, (HEIGHT, WIDTH, 1))
    return (np.roll(texture, (3 * index, 5 * index), (0, 1)) + noise).astype(np.uint8)


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return what encodes ``moving_picture`` into a file."""

    def write_one(
        name: str,
        *,
        codec: str,
        options: dict[str, str],
        pts: list[int] | None = None,
        pix_fmt: str = "yuv420p",
        num_frames: int = NUM_FRAMES,
    ) -> Path:
        path = tmp_path_factory.mktemp("stream") / name
        time_base = Fraction(1, 1000) if pts else Fraction(1, 25)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
            stream.codec_context.time_base = time_base
            stream.codec_context.thread_count = 1
            for index in range(num_frames):
                frame = av.VideoFrame.from_ndarray(moving_picture(index), format="rgb24")
                frame.time_base, frame.pts = time_base, pts[index] if pts else index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write_one


def decode(path: Path, *, selective: bool = True, **query: Any) -> DecodedVideo:
    segment = {name: query.pop(name) for name in ("start_s", "end_s") if name in query}
    return pyav.decode(str(path), ExtractOptions(size_px=48, selective=selective, **query), **segment)


def ways(path: Path, queries: list[dict[str, Any]] = QUERIES) -> list[str]:
    """Return how each query was decoded, after checking that decoding everything gives the same."""
    decodings = []
    for query in queries:
        video, whole = decode(path, **query), decode(path, **query, selective=False)
        assert whole.decoding == "full"
        assert replace(video, decoding="full") == whole, query
        decodings.append(video.decoding)
    return decodings


H264 = {
    "closed": {"g": "30"},
    "open": {"x264-params": "keyint=24:open-gop=1:bframes=3:b-adapt=0:scenecut=0"},
    "pyramid": {"x264-params": "keyint=60:b-pyramid=normal:bframes=7:b-adapt=0"},
    "veryslow": {"preset": "veryslow", "g": "50"},
    "one_keyframe": {"x264-params": "keyint=infinite:scenecut=0"},
    "intra_refresh": {"x264-params": "intra-refresh=1:keyint=25"},
    "interlaced": {"flags": "+ildct+ilme", "x264-params": "tff=1:keyint=25"},
    "intra_only": {"g": "1"},
}
HEVC = {
    "open": "keyint=12:min-keyint=12:bframes=4:b-adapt=0:scenecut=0",
    "closed": "keyint=30:open-gop=0",
    "decodable_leading": "keyint=24:open-gop=0:radl=2:bframes=4:b-adapt=0",
    "temporal_layers": "keyint=24:temporal-layers=3:bframes=4",
}


@pytest.mark.parametrize("container", ["mp4", "ts"])
@pytest.mark.parametrize("kind", H264)
def test_h264_is_exact(write: Callable[..., Path], kind: str, container: str) -> None:
    decodings = ways(write(f"a.{container}", codec="libx264", options=H264[kind]))
    assert decodings.count("selective") == 7
    assert decodings[4] == "full: every packet is needed"


@pytest.mark.parametrize("container", ["mkv", "ts"])
@pytest.mark.parametrize("kind", HEVC)
def test_hevc_with_leading_pictures_and_layers_is_exact(
    write: Callable[..., Path], kind: str, container: str
) -> None:
    options = {"preset": "ultrafast", "x265-params": HEVC[kind] + X265}
    assert ways(write(f"a.{container}", codec="libx265", options=options)).count("selective") >= 6


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.webm", "libvpx-vp9", {"g": "25", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}),
        ("a.mp4", "libvpx-vp9", {"g": "25", "deadline": "realtime", "cpu-used": "8"}),
        ("a.webm", "libvpx", {"g": "25", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}),
        ("a.mp4", "mpeg4", {"g": "15", "bf": "2"}),
        ("a.avi", "mpeg4", {"g": "15"}),
        ("a.ts", "mpeg2video", {"g": "15", "bf": "2"}),
        ("a.mpg", "mpeg1video", {"g": "15", "bf": "2"}),
    ],
)
def test_other_codecs_are_exact(
    write: Callable[..., Path], name: str, codec: str, options: dict[str, str]
) -> None:
    assert ways(write(name, codec=codec, options=options)).count("selective") >= 6


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("a.avi", "mjpeg", "yuvj420p"), ("a.mov", "prores_ks", "yuv422p10le")],
)
def test_intra_only_codecs_decode_wanted_frames_only(
    write: Callable[..., Path], name: str, codec: str, pix_fmt: str
) -> None:
    path = write(name, codec=codec, options={}, pix_fmt=pix_fmt)
    assert ways(path).count("selective") == 7


def test_av1_with_hidden_frames_is_exact(
    write: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("a.mp4", codec="libsvtav1", options={"g": "25", "preset": "11"})
    capfd.readouterr()  # the encoder talks
    assert ways(path).count("selective") >= 6


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_varying_rate_is_exact(write: Callable[..., Path], name: str) -> None:
    pts = np.cumsum(np.random.default_rng(0).integers(1, 120, NUM_FRAMES)).tolist()
    path = write(name, codec="libx264", options={"g": "20"}, pts=pts)
    assert ways(path).count("selective") == 7


def test_long_video_is_read_twice_and_gives_the_same(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.mp4", codec="libx264", options={"g": "30"})
    held = decode(path, fps=2.0)
    monkeypatch.setattr(packets_module, "_MAX_HELD_BYTES", 10_000)
    assert decode(path, fps=2.0) == held
    assert held.decoding == "selective"
    assert ways(path).count("selective") == 7


def test_packets_that_no_wanted_frame_needs_are_not_decoded(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.mp4", codec="libx264", options={"x264-params": "keyint=25:scenecut=0:bframes=2"})
    fed: list[int] = []
    original = pyav.packets_needed

    def spy(*args: Any, **kwargs: Any) -> Any:
        selection = original(*args, **kwargs)
        fed.append(int(selection.decode.sum()))
        return selection

    monkeypatch.setattr(pyav, "packets_needed", spy)
    segment = decode(path, fps=1.0, start_s=1.0, end_s=2.0)
    assert fed == [1]  # the keyframe at 1 s is all that the only tick needs
    assert segment.pts_s == (1.0,)
    decode(path, fps=2.0)
    assert fed[1] < 45  # of 75: two of three are B-pictures, the rest of them is needed


def test_raw_stream_without_times_is_decoded_whole(write: Callable[..., Path]) -> None:
    assert set(ways(write("a.h264", codec="libx264", options={"g": "30"}))) == {"full: packets without times"}


def test_codec_that_was_not_proved_is_decoded_whole(write: Callable[..., Path]) -> None:
    path = write("a.flv", codec="flv1", options={})
    assert set(ways(path)) == {"full: flv1 is always decoded whole"}


def test_avi_that_stores_b_pictures_without_their_order_is_decoded_whole(write: Callable[..., Path]) -> None:
    path = write("a.avi", codec="libx264", options={"x264-params": "keyint=15:bframes=3:b-adapt=0"})
    assert ways(path, QUERIES[:1]) == ["full: pictures in another order than the packets' times"]


def test_stream_that_changes_its_size_is_decoded_whole(film: Callable[..., Path]) -> None:
    first = film("1.ts", num_frames=25).read_bytes()
    joined = film("2.ts", num_frames=25, first=25, size=(128, 96))
    joined.write_bytes(first + joined.read_bytes())
    assert ways(joined, QUERIES[:1]) == ["full: the stream changes midway"]
    assert decode(joined, fps=2.0).flags == ("joined", "size_change")


def test_stream_that_begins_with_no_keyframe_is_decoded_whole(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    source = write("a.mkv", codec="libx264", options={"g": "30"})
    copy = tmp_path / "b.mkv"
    with av.open(str(source)) as whole, av.open(str(copy), "w") as cut:
        stream = cut.add_stream_from_template(whole.streams.video[0])
        for packet in [packet for packet in whole.demux() if packet.size][3:]:
            packet.stream = stream
            cut.mux(packet)
    assert ways(copy, QUERIES[:2]) == ["full: it begins with no keyframe"] * 2


def test_keyframe_flags_that_lie_do_no_harm(write: Callable[..., Path], tmp_path: Path) -> None:
    source = write("a.mkv", codec="libx264", options={"g": "30"})
    copy = tmp_path / "b.mkv"
    with av.open(str(source)) as whole, av.open(str(copy), "w") as lying:
        stream = lying.add_stream_from_template(whole.streams.video[0])
        for index, packet in enumerate(packet for packet in whole.demux() if packet.size):
            packet.stream, packet.is_keyframe = stream, index % 7 == 0
            lying.mux(packet)
    assert ways(copy).count("selective") == 7


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_damage_that_touches_a_stored_frame_is_never_called_clean(
    write: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    data = write(name, codec="libx264", options={"g": "30"}).read_bytes()
    damaged = tmp_path / name
    rng = np.random.default_rng(3)
    num_partial = 0
    for _ in range(12):
        changed = bytearray(data)
        for at in rng.integers(2000, len(data) - 3000, 20):
            changed[at] ^= 1 << int(rng.integers(8))
        damaged.write_bytes(changed)
        try:
            video, whole = decode(damaged, fps=2.0), decode(damaged, fps=2.0, selective=False)
        except VideoRejected:
            continue
        assert (video.jpegs, video.pts_s) == (whole.jpegs, whole.pts_s)
        assert bool(video.damage) == bool(whole.damage)
        num_partial += bool(video.damage)
    assert num_partial >= 8


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.ts", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.mpg", "mpeg1video")],
)
def test_cut_at_any_place_is_never_called_clean_alone(
    write: Callable[..., Path], tmp_path: Path, name: str, codec: str
) -> None:
    data = write(name, codec=codec, options={"g": "30"}).read_bytes()
    cut = tmp_path / name
    for share in (0.3, 0.41, 0.45, 0.53, 0.62, 0.77, 0.83, 0.9, 0.96):
        cut.write_bytes(data[: int(len(data) * share)])
        video, whole = decode(cut, fps=2.0), decode(cut, fps=2.0, selective=False)
        assert (video.jpegs, bool(video.damage)) == (whole.jpegs, bool(whole.damage))


@pytest.mark.needs("shared")
def test_real_clips_are_exact(shared: Path) -> None:
    clips = shared / "videos" / "clips"
    for name in ("nasa.mp4", "arm.mp4", "bikes.mp4", "car.mp4"):
        assert ways(clips / name, QUERIES[:1]) == ["selective"]
    assert ways(clips / "nasa.mp4").count("selective") == 7


@pytest.mark.slow
@pytest.mark.needs("shared")
def test_all_real_videos_are_exact(shared: Path) -> None:
    folder = shared / "videos"
    paths = [
        *sorted(folder.glob("clips/*")),
        *sorted({*folder.rglob("*.mp4")} - {*folder.glob("clips/*")})[::7],
    ]
    assert len(paths) > 50
    for path in paths:
        assert len(ways(path, QUERIES[:4])) == 4  # each compared with a full decoding


@pytest.mark.parametrize("kind", ["pyramid", "open", "intra_only"])
def test_threads_change_nothing(write: Callable[..., Path], kind: str) -> None:
    path = write("a.mp4", codec="libx264", options=H264[kind])
    assert decode(path, fps=7.3, num_threads=4) == decode(path, fps=7.3)


def test_threads_change_nothing_about_damage(write: Callable[..., Path], tmp_path: Path) -> None:
    data = write("a.ts", codec="libx264", options={"g": "30"}).read_bytes()
    rng = np.random.default_rng(4)
    for _ in range(6):
        changed = bytearray(data)
        for at in rng.integers(2000, len(data), 20):
            changed[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "a.ts").write_bytes(changed)
        alone, together = (decode(tmp_path / "a.ts", fps=2.0, num_threads=count) for count in (1, 4))
        assert alone == together
        assert alone.decoding.startswith("full: ")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_segment_of_a_long_video_is_read_no_further_than_it_reaches(
    write: Callable[..., Path], name: str
) -> None:
    path = write(name, codec="libx264", options={"g": "30"}, num_frames=150)
    query = {"fps": 5.0, "start_s": 0.5, "end_s": 1.1}
    assert ways(path, [query, {**query, "fps": None, "sampling": "native"}]) == ["selective"] * 2
    part = decode(path, **query)
    assert [time - part.pts_s[0] for time in part.pts_s] == pytest.approx([0, 0.2, 0.4], abs=0.001)
    assert part.source_duration_s == pytest.approx(6.0, abs=0.05)
    assert num_packets_read(path, **query) < 100


LATE: list[dict[str, Any]] = [
    {"fps": 3.0, "start_s": 41.3, "end_s": 43.9},
    {"fps": 0.7, "start_s": 37.0, "end_s": 46.0},
    {"sampling": "uniform", "num_frames": 3, "start_s": 30.1, "end_s": 31.0},
    {"sampling": "native", "start_s": 52.02, "end_s": 52.5},
    {"fps": 3.0, "start_s": 57.0, "end_s": 60.0},  # to the end, which is read as ever
    {"fps": 3.0, "sampling": "ffmpeg-fps-filter", "start_s": 41.3, "end_s": 43.9},
]


def num_packets_read(path: Path, **query: Any) -> int:
    read = Counter[str]()
    original = packets_module._note

    def count(*args: Any) -> None:
        read["packets"] += 1
        original(*args)

    with mock.patch.object(packets_module, "_note", count):
        decode(path, **query)
    return read["packets"]


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"preset": "ultrafast", "g": "50"}),
        ("libx264", {**H264["closed"], "bf": "3"}),
        ("libx264", H264["pyramid"]),
        ("libx265", {"x265-params": HEVC["open"] + X265}),
        ("libx265", {"x265-params": HEVC["decodable_leading"] + X265}),
    ],
)
def test_late_segment_is_exact_without_the_packets_before_it(
    write: Callable[..., Path], codec: str, options: dict[str, str]
) -> None:
    path = write("a.mp4", codec=codec, options=options, num_frames=1500)
    assert ways(path, LATE) == ["selective"] * 6
    assert [num_packets_read(path, **query) < 500 for query in LATE] == [True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("name", "change"), [("a.mkv", {}), ("a.ts", {}), ("a.mp4", {"g": "9999"}), ("a.mp4", H264["open"])]
)
def test_late_segment_without_an_index_or_an_entry_is_read_from_the_begin(
    write: Callable[..., Path], name: str, change: dict[str, str]
) -> None:
    options = {"preset": "ultrafast", "g": "50", **change}
    path = write(name, codec="libx264", options=options, num_frames=1500)
    assert ways(path, LATE[:1]) == ["selective"]
    assert num_packets_read(path, **LATE[0]) > 1000


def test_late_segment_of_varying_rate_is_exact(write: Callable[..., Path]) -> None:
    steps = np.random.default_rng(0).integers(5, 90, 1500)
    pts = np.cumsum(steps).tolist()
    path = write(
        "a.mp4",
        codec="libx264",
        options={"preset": "ultrafast", "g": "50", "bf": "2"},
        pts=pts,
        num_frames=1500,
    )
    assert ways(path, LATE[:4]) == ["selective"] * 4


def test_tail_of_zeros_is_seen_without_decoding_it(write: Callable[..., Path], tmp_path: Path) -> None:
    # as a download leaves it that sets the size of the file first
    for name, codec in (("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("b.mp4", "mpeg4")):
        data = bytearray(write(name, codec=codec, options={"g": "25"}).read_bytes())
        with av.open(io.BytesIO(bytes(data))) as container:
            last = [packet for packet in container.demux(video=0) if packet.size][-1]
        data[last.pos : last.pos + last.size] = bytes(last.size)
        (tmp_path / name).write_bytes(data)
        video, whole = (decode(tmp_path / name, fps=1.0, selective=choice) for choice in (True, False))
        assert (video.jpegs, video.damage) == (whole.jpegs, whole.damage)
        assert video.decoding.startswith("full: ")


def test_number_of_frames_spreads_over_joined_recordings(film: Callable[..., Path]) -> None:
    first = film("1.ts", num_frames=25).read_bytes()
    joined = film("2.ts", num_frames=25, first=25)
    joined.write_bytes(first + joined.read_bytes())
    video = decode(joined, sampling="uniform", num_frames=4)
    assert [number_in(jpeg.decode(data)) for data in video.jpegs] == [6, 18, 31, 43]
    assert video.source_duration_s == pytest.approx(2.0, abs=0.05)
    assert video.flags == ("joined",)
