"""A page of zeros inside coded pictures makes a sample partial, whatever the decoder says of it."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from vfm.video2token.container.bitstream.zeros import ZeroCount, is_torn, is_torn_framed
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import ffmpeg, pyav
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import VideoRejected

Film = Callable[..., Path]
PAGE_BYTES = 4096
AVCC = bytes([1, 100, 0, 31, 0xFF, 0xE1, 0])
TOLD = "Packets with runs of zeros that their codec forbids: "
X265 = {"x265-params": "log-level=error:keyint=12:bframes=2:pools=1:frame-threads=1", "crf": "20"}
CODECS = {"h264": ("libx264", {"g": "12", "bf": "2", "crf": "20"}), "hevc": ("libx265", X265)}


def framed(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4) + unit for unit in units)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (framed(b"\x65" + bytes(3) + b"\x88"), True),
        (framed(b"\x65\x88", b"\x41" + bytes(4) + b"\x01"), True),
        (bytes(4096) + b"\x88", True),  # in place of a length
        (framed(b"\x65\x88") + bytes(4), True),
        (framed(b"\x65\x88", b"\x41\x9a"), False),  # a length has three
        (
            framed(b"\x00\x01\xaf", b"\x00\x01" + b"\x88" * (1 << 16)),
            False,
        ),  # length, then header of HEVC
        (framed(b"\x65\0\0\x03\0\0\x03"), False),
        (framed(b"\x65\x88\x80" + bytes(9)), False),  # at the end, which `ZeroCount` judges
        (framed(b"\x41\x9a" + b"\0\0\0\x01\x0a"), False),  # a start code left inside
        (framed(b"\x65\x88")[:-1], False),  # another fault
    ],
)
def test_zeros_inside_units_behind_their_lengths(data: bytes, expected: bool) -> None:
    assert is_torn_framed(memoryview(data), length_size=4) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\0\0\0\1\x65" + bytes(3) + b"\x88", True),
        (bytes(500) + b"\x88", True),
        (b"\0\0\0\1\x65\x88\0\0\0\0\0\1\x41\x9a", False),  # stuffing before a start code
        (b"\0\0\1\x65\x88" + bytes(500), False),  # and at the end
        (b"\0\0\1\x65\x88\0\0\x03\0\0\x03", False),
    ],
)
def test_zeros_inside_units_behind_start_codes(data: bytes, expected: bool) -> None:
    assert is_torn(memoryview(data)) is expected


def test_zeros_at_the_end_are_damage_unless_they_are_a_habit() -> None:
    sound, ended = framed(b"\x65\x88"), framed(b"\x65\x88" + bytes(40))
    for num_ended, expected in {1: 1, 8: 8, 50: 0}.items():
        count = ZeroCount("h264", AVCC)
        for packet in [sound] * (100 - num_ended) + [ended] * num_ended:
            count.take(packet)
        assert count.num_zeroed == expected
    for codec in ("vp9", "mpeg4", ""):  # whose packets may hold any bytes
        other = ZeroCount(codec, AVCC)
        other.take(bytes(99))
        assert other.num_zeroed == 0


@pytest.fixture
def noise(tmp_path: Path) -> Film:
    """Return a function that writes a video of moving noise: some pages for each of its pictures."""

    def write(name: str, *, codec: str = "h264", num_frames: int = 30, fps: int = 25) -> Path:
        encoder, options = CODECS[codec]
        rng = np.random.default_rng(12)
        tiles = rng.integers(0, 256, (2, 72, 140, 3), np.uint8).repeat(2, axis=1).repeat(2, axis=2)
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(encoder, rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
            stream.codec_context.thread_count = 1
            for index in range(num_frames):
                shift = 3 * (index % 40)
                picture = np.ascontiguousarray(tiles[index // 9 % 2, 8:136, shift : shift + 160])
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return tmp_path / name

    return write


def spans_of(path: Path) -> list[tuple[int, int]]:
    """Return place and size in the file of each packet of its video."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def zero_page(path: Path, *, page: int) -> Path:
    data = bytearray(path.read_bytes())
    begin = page * PAGE_BYTES
    data[begin : begin + PAGE_BYTES] = bytes(len(data[begin : begin + PAGE_BYTES]))
    damaged = path.with_name(f"page-{page}{path.suffix}")
    damaged.write_bytes(data)
    return damaged


def tear(path: Path, *, packets: list[int]) -> None:
    """Put zeros into the middle of these packets, fewer than a page."""
    spans, data = spans_of(path), bytearray(path.read_bytes())
    for pos, size in (spans[index] for index in packets):
        data[pos + size // 2 : pos + size // 2 + 64] = bytes(64)
    path.write_bytes(data)


def end_of(path: Path, *, selective: bool) -> str:
    """Return ``ok``, ``partial`` or the reason of a rejection."""
    options = ExtractOptions(fps=5.0, size_px=32, selective=selective)
    try:
        video = pyav.decode(str(path), options)
    except VideoRejected as rejected:
        return rejected.reason
    return "partial" if video.damage else "ok"


@pytest.mark.parametrize("selective", [True, False], ids=["selective", "full"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("codec", CODECS)
def test_a_page_of_zeros_is_never_a_sound_sample(
    noise: Film, codec: str, suffix: str, selective: bool
) -> None:
    path = noise(f"film{suffix}", codec=codec)
    assert end_of(path, selective=selective) == "ok"
    spans = spans_of(path)
    first, last = spans[0][0] // PAGE_BYTES + 1, (spans[-1][0] + spans[-1][1]) // PAGE_BYTES
    assert last - first > 8
    ends = {page: end_of(zero_page(path, page=page), selective=selective) for page in range(first, last)}
    assert [page for page, end in ends.items() if end == "ok"] == []
    assert "partial" in ends.values()


@pytest.mark.needs("imageio_ffmpeg")
def test_decoders_that_are_given_a_file_name_tell_of_zeros_too(noise: Film) -> None:
    path = noise("film.mp4")
    options = ExtractOptions(fps=5.0, size_px=32, decoder="ffmpeg")
    assert ffmpeg.decode(str(path), options).damage == ()
    tear(path, packets=[5, 6, 7])
    assert f"{TOLD}3." in ffmpeg.decode(str(path), options).damage


def test_damage_that_the_decoder_conceals_is_counted_and_told(noise: Film) -> None:
    path = noise("film.mp4")
    tear(path, packets=[5, 6, 7])
    for selective in (True, False):
        video = pyav.decode(str(path), ExtractOptions(fps=5.0, size_px=32, selective=selective))
        assert f"{TOLD}3." in video.damage
        assert video.decoding == ("full: the container is damaged" if selective else "full")


def test_a_late_segment_is_judged_by_its_own_packets(noise: Film) -> None:
    path = noise("long.mp4", num_frames=900)
    options = ExtractOptions(fps=5.0, size_px=32)

    def decode(start_s: float) -> DecodedVideo:
        return pyav.decode(str(path), options, start_s=start_s, end_s=start_s + 1)

    tear(path, packets=[25 * 30 + 10])
    assert f"{TOLD}1." in decode(30.0).damage
    assert decode(25.0).damage == ()


@pytest.mark.needs("shared")
def test_no_sound_video_of_the_shared_folder_is_suspected(
    shared: Path, figure: Callable[[str, object], None]
) -> None:
    """Counts packets alone, of each video; those with pages lost are told by their names."""
    suspected, num_videos = set(), 0
    for path in [*(shared / "videos").rglob("*.mp4"), *(shared / "badvideos" / "files").glob("[acdr]*")]:
        count = _count(path)
        num_videos += count is not None
        if count:
            suspected.add(path.name)
    figure("videos", num_videos)
    assert num_videos > 450
    assert suspected == {"r23_nasa_4k_lost.mp4"}


def _count(path: Path) -> int | None:
    """Return how many packets of H.264 or HEVC are suspected; None where there are none to look into."""
    try:
        with av.open(f"file:{path}") as container:
            stream = container.streams.best("video")
            if stream is None or stream.codec_context.codec.canonical_name not in CODECS:
                return None
            context = stream.codec_context
            count = ZeroCount(context.codec.canonical_name, bytes(context.extradata or b""))
            for packet in container.demux(stream):
                if packet.size:
                    count.take(packet)
            return count.num_zeroed
    except (av.FFmpegError, AttributeError):
        return None
