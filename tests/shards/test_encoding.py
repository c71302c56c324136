"""Text that is not UTF-8 is refused with its line, its byte and the remedy."""

from pathlib import Path

import pytest

from vfm.shards.encoding import decode_utf8, refuse_file
from vfm.shards.errors import UsageError

REMEDY = "re-save it as UTF-8, as with iconv -f {} -t UTF-8."


def test_a_mark_is_not_part_of_the_text() -> None:
    assert decode_utf8(b"\xef\xbb\xbfcaf\xc3\xa9\r\n", name="a") == "café\r\n"


@pytest.mark.parametrize(
    ("data", "where", "kind"),
    [
        (b"a\nb\ncaf\xe9 x\n", "line 3, byte 0xe9", "LATIN1"),
        ("é\n".encode("utf-16"), "line 1, byte 0xff", "UTF-16"),
        (b"\xfe\xff" + "é\n".encode("utf-16-be"), "line 1, byte 0xfe", "UTF-16"),
        (b"a\n\xc3", "line 2, byte 0xc3", "LATIN1"),
        ("ab\n".encode("utf-16-le"), "line 1, byte 0x00", "UTF-16LE"),
        ("abé\n".encode("utf-16-le"), "line 1, byte 0x00", "UTF-16LE"),
        ("ab\n".encode("utf-16-be"), "line 1, byte 0x00", "UTF-16BE"),
    ],
)
def test_the_line_is_named(tmp_path: Path, data: bytes, where: str, kind: str) -> None:
    told = f"is not UTF-8 text ({where}): {REMEDY.format(kind)}"
    with pytest.raises(UsageError) as caught:
        decode_utf8(data, name="notes")
    assert str(caught.value) == f"notes {told}"
    (tmp_path / "l.txt").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        refuse_file(tmp_path / "l.txt")
    assert str(caught.value) == f"{tmp_path / 'l.txt'} {told}"


def test_a_zero_byte_in_a_text_is_told_without_a_guess() -> None:
    with pytest.raises(UsageError) as caught:
        decode_utf8(b"a dog\na \0 dog\n", name="notes")
    assert str(caught.value) == "notes is not UTF-8 text (line 2, byte 0x00): re-save it as UTF-8."


def test_a_line_far_into_a_file_is_counted_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"x" * 99 + b"\n" + b"a.mp4\n" * 10_000 + b"\xff\n")
    with pytest.raises(UsageError, match=r"\(line 10002, byte 0xff\)"):
        refuse_file(tmp_path / "l.txt")
