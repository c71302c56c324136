"""MPEG-4 with packed B-frames gives every frame in order, at its time, by each way of decoding it."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import av
import pytest

from support.avi import DIVX_MARK, coded, not_coded, pack, write_avi
from support.media import number_in
from vfm.shards.pixels import jpeg
from vfm.video2token.container import packets as packets_module
from vfm.video2token.container.packed import Unpacker
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import dali, ffmpeg, pyav, torchcodec
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import VideoRejected

NUM_FRAMES = 40
TEN, NTSC = Fraction(10), Fraction(30000, 1001)
NATIVE = {"sampling": "native"}
QUERIES: list[dict[str, Any]] = [
    NATIVE,
    {"fps": 2.0},
    {"sampling": "uniform", "num_frames": 7},
    {"fps": 2.0, "sampling": "ffmpeg-fps-filter"},
    {"fps": 5.0, "start_s": 1.2, "end_s": 2.4},
]
XVID = DIVX_MARK + b"\0\0\1\xb2XviD0046"
HOLD = not_coded(TEN)


def decode(path: Path, *, decoder: Any = pyav, **query: Any) -> DecodedVideo:
    segment = {name: query.pop(name) for name in ("start_s", "end_s") if name in query}
    options = ExtractOptions(**{"size_px": 48, "quality": 95, **query})
    video: DecodedVideo = decoder.decode(str(path), options, **segment)
    return video


def numbers(video: DecodedVideo) -> list[int]:
    return [number_in(jpeg.decode(data)) for data in video.jpegs]


def times(rate: Fraction, num_frames: int = NUM_FRAMES) -> list[float]:
    """Return the times that libavformat gives to AVI with B-frames: one frame late."""
    return [round(float((index + 1) / rate), 6) for index in range(num_frames)]


def remuxed(path: Path, name: str) -> Path:
    """Return the same packets in another container."""
    target = path.with_name(name)
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target


def film_in(
    folder: Path, *, num_b: int = 1, rate: Fraction = TEN, mark: bytes = DIVX_MARK, num: int = NUM_FRAMES
) -> Path:
    return write_avi(
        folder / "packed.avi", pack(coded(num, num_b=num_b, rate=rate), rate=rate, mark=mark), rate=rate
    )


@pytest.mark.parametrize("mark", [DIVX_MARK, XVID, b""])
@pytest.mark.parametrize("rate", [TEN, NTSC])
@pytest.mark.parametrize("num_b", [1, 2, 3])
def test_every_frame_comes_at_its_time(tmp_path: Path, num_b: int, rate: Fraction, mark: bytes) -> None:
    path = film_in(tmp_path, num_b=num_b, rate=rate, mark=mark)
    for selective in (True, False):
        video = decode(path, **NATIVE, selective=selective)
        assert numbers(video) == list(range(NUM_FRAMES))
        assert list(video.pts_s) == times(rate)
        assert (video.damage, video.flags, video.num_decode_errors) == ((), (), 0)
        assert video.source_duration_s == pytest.approx(float(NUM_FRAMES / rate), abs=1e-6)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("num_b", [1, 2])
def test_packed_is_as_plain(tmp_path: Path, num_b: int, query: dict[str, Any]) -> None:
    plain = decode(write_avi(tmp_path / "plain.avi", coded(NUM_FRAMES, num_b=num_b)), **query)
    path = film_in(tmp_path, num_b=num_b)
    for options in ({}, {"selective": False}, {"num_threads": 2}):
        video = decode(path, **query, **options)
        assert (video.jpegs, video.pts_s, video.damage) == (plain.jpegs, plain.pts_s, ())
    assert decode(path, **query).decoding == plain.decoding


def test_a_segment_is_cut_out_of_it(tmp_path: Path) -> None:
    video = decode(film_in(tmp_path), fps=5.0, start_s=1.2, end_s=2.4)
    assert numbers(video) == [12, 14, 16, 18, 20, 22]
    assert video.pts_s == pytest.approx([1.3, 1.5, 1.7, 1.9, 2.1, 2.3])
    assert video.decoding == "selective"


def test_a_late_segment_of_an_mp4_is_not_looked_for_by_its_index(tmp_path: Path) -> None:
    path = remuxed(film_in(tmp_path, num_b=2, num=800), "late.mp4")
    video = decode(path, fps=5.0, start_s=70.0, end_s=71.0)
    assert numbers(video) == [number % 256 for number in (700, 702, 704, 706, 708)]
    assert video.pts_s == pytest.approx([70.1, 70.3, 70.5, 70.7, 70.9])
    assert (video.damage, video.decoding) == ((), "selective")


def test_a_large_video_is_read_twice(tmp_path: Path) -> None:
    path = film_in(tmp_path, num_b=2)
    kept = decode(path, fps=2.0)
    with mock.patch.object(packets_module, "_MAX_HELD_BYTES", 1000):
        read_again = decode(path, fps=2.0)
    assert numbers(kept) == [0, 5, 10, 15, 20, 25, 30, 35]
    assert (read_again.jpegs, read_again.pts_s) == (kept.jpegs, kept.pts_s)
    assert read_again.decoding == "selective"


@pytest.mark.needs("imageio_ffmpeg")
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("name", ["packed.avi", "packed.mkv", "packed.mp4", "packed.mov"])
def test_ffmpeg_gives_the_same(tmp_path: Path, name: str, query: dict[str, Any]) -> None:
    path = film_in(tmp_path, num_b=2)
    path = path if name == path.name else remuxed(path, name)
    video, other = decode(path, **query), decode(path, decoder=ffmpeg, **query)
    assert (other.jpegs, other.pts_s, other.damage) == (video.jpegs, video.pts_s, ())
    if query is NATIVE:
        assert numbers(video) == list(range(NUM_FRAMES))
        assert list(video.pts_s) == times(TEN)


def placed(place: bytes) -> list[bytes]:
    return [place if chunk == HOLD else chunk for chunk in pack(coded(NUM_FRAMES, num_b=1))]


def lacking_one_place() -> list[bytes]:
    chunks = pack(coded(NUM_FRAMES, num_b=1))
    chunks.remove(HOLD)
    return chunks


def with_a_stay(stay: bytes) -> list[bytes]:
    """Return chunks with three more that show the frame before, behind frame 8."""
    chunks = pack(coded(NUM_FRAMES, num_b=1))
    return [*chunks[:9], *[stay] * 3, *chunks[9:]]


@pytest.mark.parametrize("chunks", [placed(b""), placed(b"\x7f"), lacking_one_place()])
def test_other_placeholders_and_none_lose_no_frame(tmp_path: Path, chunks: Sequence[bytes]) -> None:
    path = write_avi(tmp_path / "odd.avi", chunks, keys=[index == 0 for index in range(len(chunks))])
    video = decode(path, **NATIVE)
    assert numbers(video) == list(range(NUM_FRAMES))
    assert (list(video.pts_s), video.damage) == (times(TEN), ())


@pytest.mark.parametrize("stay", [b"", HOLD])
def test_frames_that_stay_leave_a_gap(tmp_path: Path, stay: bytes) -> None:
    path = write_avi(tmp_path / "stay.avi", with_a_stay(stay))
    expected = times(TEN, NUM_FRAMES + 3)
    for decoder in (pyav, ffmpeg):
        video = decode(path, decoder=decoder, **NATIVE)
        assert numbers(video) == list(range(NUM_FRAMES))
        assert (list(video.pts_s), video.damage) == (expected[:9] + expected[12:], ())


def test_headers_may_come_with_the_packets(tmp_path: Path) -> None:
    context = SimpleNamespace(codec=SimpleNamespace(canonical_name="mpeg4"), extradata=None)
    unpacker = Unpacker(cast("Any", SimpleNamespace(codec_context=context)))
    with av.open(str(film_in(tmp_path, num_b=2, num=12))) as container:
        packets = list(unpacker(packet for packet in container.demux(video=0) if packet.size))
    assert [bytes(packet) for packet in packets[1:]] == coded(12, num_b=2)[1:]
    assert [packet.pts for packet in packets] == [1, 4, 2, 3, 7, 5, 6, 10, 8, 9, 12, 11]
    assert (unpacker.is_packed, unpacker.is_marked, unpacker.is_regular) == (True, True, True)


@pytest.mark.parametrize("name", ["plain.avi", "plain.mp4"])
def test_pictures_that_are_not_coded_are_no_frames(tmp_path: Path, name: str) -> None:
    pictures = coded(NUM_FRAMES)
    path = write_avi(tmp_path / "plain.avi", [*pictures[:7], HOLD, HOLD, *pictures[7:]])
    path = path if name == path.name else remuxed(path, name)
    for decoder in (pyav, ffmpeg):
        video = decode(path, decoder=decoder, fps=2.0)
        assert numbers(video) == [0, 5, 8, 13, 18, 23, 28, 33, 38]
        assert (video.pts_s[:3], video.damage) == ((0.0, 0.5, 1.0), ())
        assert video.decoding == ("selective" if decoder is pyav else "full")


def test_a_file_cut_off_is_damaged(tmp_path: Path) -> None:
    path = film_in(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    video = decode(path, **NATIVE)
    num_whole = numbers(video).index(20)
    assert numbers(video)[:num_whole] == list(range(20))
    assert list(video.pts_s) == times(TEN, len(video.pts_s))
    assert f"The container lists {NUM_FRAMES} packets and has " in " ".join(video.damage)


@pytest.mark.parametrize("chunks", [pack(coded(20, num_b=1), mark=b""), placed(b""), lacking_one_place()])
def test_a_decoder_that_would_lose_frames_is_refused(tmp_path: Path, chunks: Sequence[bytes]) -> None:
    path = write_avi(tmp_path / "odd.avi", chunks)
    with pytest.raises(VideoRejected, match=r"packed B-frames.*--decoder pyav") as caught:
        decode(path, decoder=ffmpeg, **NATIVE)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize("name", ["packed.avi", "packed.mkv"])
def test_torchcodec_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torchcodec, "_opener", lambda: None)  # before it is asked for a frame
    path = film_in(tmp_path)
    with pytest.raises(VideoRejected, match="--decoder pyav") as caught:
        decode(path if name == path.name else remuxed(path, name), decoder=torchcodec, **NATIVE)
    assert caught.value.reason == "unsupported"


@pytest.mark.needs("nvidia.dali")
def test_dali_on_a_gpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dali, "has_gpu", lambda: True)
    with pytest.raises(VideoRejected, match=r"packed B-frames.*--decoder pyav") as caught:
        decode(film_in(tmp_path), decoder=dali, **NATIVE)
    assert caught.value.reason == "unsupported"
