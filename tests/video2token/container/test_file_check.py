import os
import socket
import struct
from pathlib import Path

import pytest

from vfm.video2token.container.file_check import FileFacts, check_file
from vfm.video2token.rejection import VideoRejected

MP4 = struct.pack(">I4s8s", 16, b"ftyp", b"isom\0\0\2\0")


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def stsd(*entries: bytes) -> bytes:
    """Return a list of sample entries, each with a few bytes inside."""
    return box(
        b"stsd", struct.pack(">II", 0, len(entries)) + b"".join(box(kind, bytes(9)) for kind in entries)
    )


def reason_for(path: Path, *, size_bytes: int = -1) -> str:
    with pytest.raises(VideoRejected) as caught:
        check_file(str(path), size_bytes=size_bytes)
    assert caught.value.message.endswith(".")
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "playlist"),
        (b"\xef\xbb\xbf\n #extm3u\n", "playlist"),
        (b"ffconcat version 1.0\nfile secret.mp4\n", "playlist"),
        (b'<?xml version="1.0"?>\n<!-- x --><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', "playlist"),
        (b"<ASX version='3.0'>", "playlist"),
        (b"[playlist]\nFile1=a.mp4", "playlist"),
        (b"\xff\xd8\xff\xe0 jpeg", "still_image"),
        (b"\x89PNG\r\n\x1a\n", "still_image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "still_image"),
        (b"\0\0\0\x18ftypavif", "still_image"),
        (b"ID3\x04 an mp3 with a cover", "no_video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "no_video"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "not_video"),
        (
            MP4
            + struct.pack(">I4s", 8 + 8 + 16, b"moov")
            + b"stsd\0\0\0\0\0\0\0\1\0\0\0\x08encv" + bytes(4),
            "encrypted",
        ),
        (MP4 + box(b"moov", stsd(b"avc1", b"encv")), "encrypted"),
        (MP4 + box(b"moov", stsd(b"mp4a") + stsd(b"drmi")), "encrypted"),
        (box(b"ftyp", b"isom\0\0\2\0isomencv") + box(b"moov", stsd(b"avc1")), "encrypted"),
    ],
)  # fmt: skip
def test_what_is_no_video_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "named.mp4"
    path.write_bytes(data)
    assert reason_for(path) == reason


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (MP4 + struct.pack(">I4s", 8, b"moov"), FileFacts(is_known=True, is_cut=False)),
        (MP4 + struct.pack(">I4s", 9999, b"mdat"), FileFacts(is_known=True, is_cut=True)),
        (MP4 + struct.pack(">I4sQ", 1, b"mdat", 1 << 40), FileFacts(is_known=True, is_cut=True)),
        (MP4 + struct.pack(">I4s", 0, b"mdat") + bytes(99), FileFacts(is_known=True, is_cut=False)),
        (MP4 + struct.pack(">I4s", 3, b"junk"), FileFacts(is_known=True, is_cut=False)),
        (b"\x1aE\xdf\xa3" + bytes(99), FileFacts(is_known=True, is_cut=False)),
        (b"G" + bytes(187) + b"G" + bytes(187), FileFacts(is_known=True, is_cut=False)),
        (MP4 + box(b"moov") + box(b"mdat", b"encv") + box(b"free"), FileFacts(is_known=True, is_cut=False)),
        ((MP4 + box(b"moov")) * 2, FileFacts(is_known=True, is_cut=False, has_trailing_data=True)),
        (
            MP4 + box(b"moov") + struct.pack(">I4s", 0, b"mdat") + MP4,
            FileFacts(is_known=True, is_cut=False),
        ),
        (
            MP4 + box(b"mdat") + box(b"moov") + bytes(16),
            FileFacts(is_known=True, is_cut=False, has_trailing_data=True),
        ),
        (MP4 + box(b"moov", stsd(b"avc1")), FileFacts(is_known=True, is_cut=False)),
        (b"\x1b[31mcolour", FileFacts(is_known=False, is_cut=False)),
    ],
)
def test_what_may_be_a_video_is_described(tmp_path: Path, data: bytes, facts: FileFacts) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    assert check_file(str(path)) == facts


def test_anything_but_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s.mp4"))
        assert reason_for(tmp_path / "s.mp4") == "not_regular"
    assert reason_for(tmp_path / "pipe.mp4") == "not_regular"
    assert reason_for(tmp_path / "zero.mp4") == "not_regular"
    assert reason_for(tmp_path / "loop.mp4") == "missing"
    assert reason_for(tmp_path) == "not_regular"
    assert reason_for(tmp_path / "dangling.mp4") == "missing"
    assert reason_for(tmp_path / "dangling.mp4" / "x.mp4") == "missing"


def test_file_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(MP4 * 2)
    assert reason_for(path, size_bytes=16) == "changed"
    assert check_file(str(path), size_bytes=32).is_known


def test_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # tests may run as root, whom no mode stops
    assert reason_for(tmp_path / "film.mp4") == "permission"


def test_what_follows_the_end_of_the_file_becomes_a_flag() -> None:
    assert FileFacts(is_known=True, is_cut=False, has_trailing_data=True).flags == ("trailing_data",)
    assert FileFacts(is_known=True, is_cut=False).flags == ()
