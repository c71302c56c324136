"""Empty chunks of AVI show the frame before for longer: no damage, and damage beside them is still seen."""

import re
from pathlib import Path
from typing import Any

import pytest

from support.avi import coded, write_avi
from support.media import number_in
from vfm.shards.pixels import jpeg
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import ffmpeg, pyav
from vfm.video2token.options import ExtractOptions

NUM_FRAMES = 20
CODECS: dict[str, dict[str, Any]] = {
    "mpeg4": {"fourcc": b"DX50", "num_bits": 24},
    "mjpeg": {"fourcc": b"MJPG", "num_bits": 24},
    "rawvideo": {"fourcc": b"UYVY", "num_bits": 16},
}
PIX_FMTS = {"mpeg4": "yuv420p", "mjpeg": "yuvj420p", "rawvideo": "uyvy422"}
GAPS = {
    "begin": {0: 3},
    "middle": {7: 1, 9: 9},
    "end": {NUM_FRAMES: 6},
    "many": {10: 200},
    "everywhere": {0: 1, 5: 2, 12: 4, NUM_FRAMES: 1},
}


def film_in(folder: Path, codec: str, gaps: dict[int, int]) -> tuple[Path, list[int]]:
    """Write a film with empty chunks before some frames; return it and the places of its frames."""
    chunks, places = [], []
    for index, picture in enumerate(coded(NUM_FRAMES, codec=codec, pix_fmt=PIX_FMTS[codec])):
        chunks += [b""] * gaps.get(index, 0)
        places.append(len(chunks))
        chunks.append(picture)
    chunks += [b""] * gaps.get(NUM_FRAMES, 0)
    return write_avi(folder / "gaps.avi", chunks, **CODECS[codec]), places


def decode(path: Path, *, decoder: Any = pyav, **query: Any) -> DecodedVideo:
    video: DecodedVideo = decoder.decode(str(path), ExtractOptions(size_px=48, quality=95, **query))
    return video


def numbers(video: DecodedVideo) -> list[int]:
    return [number_in(jpeg.decode(data)) for data in video.jpegs]


@pytest.mark.needs("imageio_ffmpeg")
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("codec", CODECS)
def test_empty_chunks_are_no_damage(tmp_path: Path, codec: str, gap: str) -> None:
    path, places = film_in(tmp_path, codec, GAPS[gap])
    for options in ({}, {"selective": False}, {"decoder": ffmpeg}):
        video = decode(path, sampling="native", **options)
        assert numbers(video) == list(range(NUM_FRAMES))
        assert list(video.pts_s) == [place / 10 for place in places]
        assert (video.damage, video.flags, video.num_decode_errors) == ((), (), 0)
        # The last frame is shown as long as it says: empty chunks behind it add nothing.
        assert video.source_duration_s == pytest.approx((places[-1] - places[0] + 1) / 10)


@pytest.mark.needs("imageio_ffmpeg")
@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
def test_the_frame_before_is_shown_meanwhile_and_little_is_decoded(tmp_path: Path, codec: str) -> None:
    path, _ = film_in(tmp_path, codec, GAPS["middle"])
    video = decode(path, fps=2.0)
    assert numbers(video) == [0, 5, 8, 8, 10, 15]
    assert video.pts_s == (0.0, 0.5, 0.9, 0.9, 2.0, 2.5)
    assert video.decoding == "selective"
    other = decode(path, decoder=ffmpeg, fps=2.0)
    assert (other.jpegs, other.pts_s) == (video.jpegs, video.pts_s)


@pytest.mark.needs("imageio_ffmpeg")
@pytest.mark.parametrize("codec", CODECS)
def test_a_file_cut_behind_empty_chunks_is_damaged(tmp_path: Path, codec: str) -> None:
    path, places = film_in(tmp_path, codec, {5: 4, 18: 7})
    whole = path.read_bytes()
    chunks = [match.start() for match in re.finditer(b"00dc", whole[: whole.index(b"idx1")])]
    path.write_bytes(whole[: chunks[16]])
    for decoder in (pyav, ffmpeg):
        video = decode(path, decoder=decoder, sampling="native")
        assert numbers(video) == list(range(12))
        assert list(video.pts_s) == [place / 10 for place in places[:12]]
        # Four empty chunks stand before the cut.
        assert f"The container lists {len(chunks)} packets and has 16." in video.damage
