"""A look at a file's first bytes before a decoder opens it: playlists, stills and other files end here.

A playlist is a video file's name with other files' frames behind it: it must never reach a demuxer, whatever
the file is called.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vfm.video2token.rejection import RejectReason, VideoRejected

_HEAD_BYTES = 4096
_PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"<asx", b"<smil", b"<?wpl", b"[reference]")
_STILLS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*", b"8BPS", b"\x00\x00\x01\x00")
_STILL_BRANDS = (b"heic", b"heix", b"mif1", b"avif")
_AUDIO = (b"ID3", b"fLaC", b"#!AMR")
_LFS = b"version https://git-lfs"
_CONTAINER_BOXES = (b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"ftyp", b"uuid", b"sidx", b"styp")
_CONTAINERS = (b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"GIF8", b"\x30\x26\xb2\x75", b"\x00\x00\x01\xba")
_MAX_MOOV_BYTES = 64 << 20
_MAX_BOXES = 100_000
_MAX_ENTRIES = 64  # of one track, each looked at
_PROTECTED = (b"encv", b"drmi")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What the bytes of a file that may be a video say before a demuxer reads it.

    Attributes:
        is_known: whether they begin like a container this module knows.
        is_cut: whether the last box of an MP4 ends after the file does.
        header_duration_s: duration that the head of an MP4 gives, seconds; None where it gives none.
        has_trailing_data: whether an MP4 goes on after its end: a second file, or bytes that are not a box.
    """

    is_known: bool
    is_cut: bool
    header_duration_s: float | None = None
    has_trailing_data: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """What of this a sample records in its flags."""
        return ("trailing_data",) if self.has_trailing_data else ()


def check_file(path: str, *, size_bytes: int = -1) -> FileFacts:
    """Return what the first bytes say of a file that is worth opening.

    Args:
        path: absolute.
        size_bytes: size that the plan counted with; -1 when it is not to be compared.

    Raises:
        VideoRejected: with reason missing, permission, not_regular, empty, changed, playlist, still_image,
            no_video, encrypted or not_video.
    """
    with open_regular(path, size_bytes=size_bytes) as descriptor:
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        _refuse_text(head)
        _refuse_other_media(head)
        return _look_at_boxes(descriptor, head=head, size_bytes=os.fstat(descriptor).st_size)


@contextmanager
def open_regular(path: str, *, size_bytes: int = -1) -> Iterator[int]:
    """Yield a descriptor of a file that holds something, closed behind the block.

    Args: as of `check_file`.

    Raises:
        VideoRejected: with reason missing, permission, unreadable, not_regular, empty or changed.
    """
    descriptor = _open(path)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise VideoRejected(
                RejectReason.NOT_REGULAR, "Not a regular file but a device, a pipe or a folder."
            )
        if status.st_size == 0:
            raise VideoRejected(RejectReason.EMPTY, "The file is empty.")
        if size_bytes not in {-1, status.st_size}:
            raise VideoRejected(
                RejectReason.CHANGED,
                f"It has {status.st_size} bytes now and had {size_bytes} when the plan was made.",
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        # Without O_NONBLOCK a named pipe would block here until someone writes to it.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise VideoRejected(RejectReason.MISSING, "The file does not exist.") from None
    except PermissionError:
        raise VideoRejected(RejectReason.PERMISSION, "No permission to read the file.") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise VideoRejected(RejectReason.MISSING, "It is a link that points to itself.") from None
        is_device = error.errno in {errno.ENXIO, errno.ENODEV}
        reason = RejectReason.NOT_REGULAR if is_device else RejectReason.UNREADABLE
        raise VideoRejected(reason, f"The file cannot be opened ({error.strerror}).") from None


def _refuse_text(head: bytes) -> None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_LFS):
        raise VideoRejected(
            RejectReason.NOT_VIDEO, "It is a git LFS pointer: run `git lfs pull` for the video."
        )
    is_manifest = re.search(rb"<(mpd|smil|asx)[\s>]", text) is not None and text.startswith(b"<")
    if text.startswith(_PLAYLISTS) or is_manifest:
        raise VideoRejected(RejectReason.PLAYLIST, "It is a playlist that names other files, not a video.")


def _refuse_other_media(head: bytes) -> None:
    is_riff = head.startswith(b"RIFF")
    if (
        head.startswith(_STILLS)
        or (is_riff and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS)
    ):
        raise VideoRejected(RejectReason.STILL_IMAGE, "It is a still image, not a video.")
    if head.startswith(_AUDIO) or (is_riff and head[8:12] == b"WAVE"):
        raise VideoRejected(RejectReason.NO_VIDEO, "It is an audio file without a video stream.")


def _look_at_boxes(descriptor: int, *, head: bytes, size_bytes: int) -> FileFacts:
    """Walk the boxes of an MP4 (ISO 14496-12 section 4.2); other containers are only recognised."""
    if head[4:8] not in _CONTAINER_BOXES:
        known = head.startswith(_CONTAINERS) or head[8:12] == b"AVI " or head[0:189:188] == b"GG"
        return FileFacts(is_known=known, is_cut=False)
    end, seen, told_s = 0, set[bytes](), None
    for position, length, kind in _boxes(descriptor, size_bytes=size_bytes):
        # A second index, or no box at all, after the first index: something was appended to the file.
        if b"moov" in seen and (kind in {b"ftyp", b"moov"} or not length):
            return FileFacts(is_known=True, is_cut=False, header_duration_s=told_s, has_trailing_data=True)
        if kind in {b"ftyp", b"moov"} and length <= _MAX_MOOV_BYTES:
            content = os.pread(descriptor, length, position)
            _refuse_encrypted(content, kind=kind)
            told_s = _told_duration_s(content) if kind == b"moov" else told_s
        seen.add(kind)
        end = position + length
    return FileFacts(is_known=True, is_cut=end > size_bytes, header_duration_s=told_s)


def _boxes(descriptor: int, *, size_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield position, length and kind of the top boxes; one of length 0 marks bytes that are not a box."""
    position = 0
    for _ in range(_MAX_BOXES):
        if position + 8 > size_bytes:
            return
        box = os.pread(descriptor, 16, position)
        length, kind = int.from_bytes(box[:4]), box[4:8]
        if length == 1:
            length = int.from_bytes(box[8:16])
        elif length == 0 and kind.isalnum():  # until the end of the file
            length = size_bytes - position
        if length < 8:
            yield position, 0, kind
            return
        yield position, length, kind
        position += length


def _told_duration_s(moov: bytes) -> float | None:
    """Return the duration in the movie header (ISO 14496-12 section 8.2.2), None where it is left open."""
    at = moov.find(b"mvhd") + 4
    if at < 4 or len(moov) < at + 32:
        return None
    scale_at, num_bytes = (at + 20, 8) if moov[at] == 1 else (at + 12, 4)
    scale = int.from_bytes(moov[scale_at : scale_at + 4])
    ticks = int.from_bytes(moov[scale_at + 4 : scale_at + 4 + num_bytes])
    is_open = ticks in {0, (1 << 8 * num_bytes) - 1} or scale == 0
    return None if is_open else ticks / scale


def _refuse_encrypted(box: bytes, *, kind: bytes) -> None:
    """Refuse a video that says it is encrypted: it decodes to noise.

    It says so in a sample entry ``encv`` (ISO 14496-12 section 8.12), ``drmi`` with FairPlay. That name among
    the brands of the ``ftyp`` box, where it is none, is taken for the same claim.
    """
    names = [box[at : at + 4] for at in range(8, len(box), 4)] if kind == b"ftyp" else _sample_entries(box)
    if any(name in _PROTECTED for name in names):
        raise VideoRejected(
            RejectReason.ENCRYPTED, "The video is encrypted (DRM), its pictures cannot be read."
        )


def _sample_entries(moov: bytes) -> Iterator[bytes]:
    """Yield the kinds of all sample entries: after "stsd" stand version and flags, a count, then entries."""
    for found in re.finditer(rb"stsd\0...(....)", moov, re.DOTALL):
        at = found.end()
        for _ in range(min(int.from_bytes(found[1]), _MAX_ENTRIES)):
            length = int.from_bytes(moov[at : at + 4])
            yield moov[at + 4 : at + 8]
            if length < 8:
                break
            at += length
