"""What packets say of themselves, on bytes written down by hand."""

import pytest

from vfm.video2token.container.bitstream.codecs import reader_for
from vfm.video2token.container.bitstream.facts import NotSelectableError
from vfm.video2token.container.bitstream.nal import h264_reader, hevc_reader, nal_units

AVCC = bytes([1, 100, 0, 31, 0xFF, 0xE1, 0])
IDR, REFERENCE, DISPOSABLE, SPS = b"\x65\x88", b"\x41\x9a", b"\x01\x9e", b"\x67\x64\x00"


def framed(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4) + unit for unit in units)


def annex_b(*units: bytes) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


@pytest.mark.parametrize(("extradata", "join"), [(AVCC, framed), (b"", annex_b)])
def test_h264_tells_entries_and_references(extradata: bytes, join: object) -> None:
    read = h264_reader(extradata)
    assert callable(join)
    first = read(join(SPS, IDR))
    assert (first.is_entry, first.is_reference, first.parameters) == (True, True, (SPS.rstrip(b"\0"),))
    assert read(join(REFERENCE))[:4] == (False, True, False, True)
    assert read(join(DISPOSABLE))[:4] == (False, True, False, False)
    assert read(join(DISPOSABLE, REFERENCE)).is_reference  # two fields
    assert not read(join(SPS)).is_shown
    assert not read(join(DISPOSABLE, b"\x0a")).is_reference  # an end of sequence has one byte


@pytest.mark.parametrize("data", [framed(IDR)[:-1], framed(IDR) + b"\0\0\0\0", framed(b"\xe5\x88")])
def test_units_that_do_not_fit_are_damage(data: bytes) -> None:
    with pytest.raises(NotSelectableError, match="damage"):
        list(nal_units(data, length_size=4))


def test_units_without_a_start_code_are_damage() -> None:
    with pytest.raises(NotSelectableError, match="damage"):
        list(nal_units(b"\x65\x88\x80", length_size=0))


def test_film_grain_is_refused() -> None:
    with pytest.raises(NotSelectableError, match="film grain"):
        h264_reader(b"")(annex_b(b"\x06\x13\x01\x00", IDR))


@pytest.mark.parametrize(
    ("kind", "entry", "clean", "leading", "reference"),
    [
        (0, False, True, False, False),  # TRAIL_N
        (1, False, True, False, True),  # TRAIL_R
        (8, False, True, True, False),  # RASL_N
        (9, False, True, True, True),  # RASL_R
        (19, True, True, False, True),  # IDR_W_RADL
        (21, True, False, False, True),  # CRA
    ],
)
def test_hevc_tells_kinds_of_pictures(
    kind: int, entry: bool, clean: bool, leading: bool, reference: bool
) -> None:
    facts = hevc_reader(b"")(annex_b(bytes([kind << 1, 1, 0x80])))
    assert facts[:5] == (entry, clean, leading, reference, True)
    assert not facts.is_layered
    assert hevc_reader(b"")(annex_b(bytes([kind << 1, 2, 0x80]))).is_layered


@pytest.mark.parametrize("kind", [17, 36])
def test_hevc_with_broken_links_is_refused(kind: int) -> None:
    with pytest.raises(NotSelectableError):
        hevc_reader(b"")(annex_b(bytes([kind << 1, 1, 0x80])))


def test_vp9_superframe_is_shown_when_one_of_its_frames_is() -> None:
    read = reader_for("vp9", b"")
    assert read is not None
    hidden, visible = b"\x84\x00", b"\x86\x00"  # frame_marker 2, inter frame, show_frame 0 or 1
    assert (read(hidden).is_shown, read(visible).is_shown) == (False, True)
    index = bytes([0xC1, 2, 2, 0xC1])
    assert read(hidden + visible + index).is_shown
    assert not read(hidden + hidden + index).is_shown
    with pytest.raises(NotSelectableError, match="damage"):
        read(hidden + bytes([0xC1, 9, 9, 0xC1]))


def test_vp9_keyframe_tells_its_size() -> None:
    read = reader_for("vp9", b"")
    assert read is not None
    bits = "10" + "0" + "0" + "0" + "0" + "1" + "0"  # marker, profile 0, key, shown
    bits += f"{0x498342:024b}" + "001" + "0" + f"{319:016b}{239:016b}"
    facts = read(int(bits.ljust(88, "0"), 2).to_bytes(11))
    assert facts.is_entry
    assert facts.parameters[0][-4:] == bytes([319 >> 8, 319 & 255, 0, 239])


def test_codecs_that_were_not_proved_have_no_reader() -> None:
    assert reader_for("flv1", b"") is None
    assert reader_for("mjpeg", b"") is not None
