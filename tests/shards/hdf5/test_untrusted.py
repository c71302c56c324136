"""Files of strangers: what leads out of them, loads code or takes memory is refused before it is touched."""

import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5pl

from vfm.shards.errors import DamageError, UsageError, VfmError
from vfm.shards.hdf5.untrusted import open_untrusted

Fill = Callable[[h5py.File], object]
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(path: Path, fill: Fill) -> Path:
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def read_all(path: Path) -> dict[str, np.ndarray]:
    with open_untrusted(path) as file:
        return {name: file.read(name) for name in file.names()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (2, 3)},
        {"chunks": (3, 2), "compression": "gzip"},
        {"chunks": (2, 3), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (2, 3), "compression": "lzf", "shuffle": True},
        {"dtype": ">f4"},
        {"dtype": "<f8"},
        {"dtype": "f2"},
        {"dtype": "u2"},
    ],
)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_plain_data_sets_are_read(tmp_path: Path, options: dict[str, object], libver: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("é/b.mp4", data=ROWS, **options)
    found = read_all(path)
    assert list(found) == ["é/b.mp4"]
    assert found["é/b.mp4"].dtype == np.dtype(str(options.get("dtype", "f4"))).newbyteorder("=")
    np.testing.assert_array_equal(found["é/b.mp4"], ROWS)


def empty(file: h5py.File, shape: tuple[int, ...], **options: object) -> None:
    file.create_dataset("v", shape=shape, dtype="f4", **options)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4, 3), dtype="f4")
    layout[:] = h5py.VirtualSource("secret.h5", "v", shape=(4, 3))
    file.create_virtual_dataset("v", layout)


def bomb(file: h5py.File) -> None:
    """A chunk of 48 bytes that unpacks to a megabyte."""
    data_set = file.create_dataset("v", shape=(4, 3), dtype="f4", chunks=(4, 3), compression="gzip")
    data_set.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 14), 9))


def twice_packed(file: h5py.File) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4, 3))
    plist.set_deflate(9)
    plist.set_deflate(9)
    space = h5py.h5s.create_simple((4, 3))
    h5py.h5d.create(file.id, b"v", h5py.h5t.IEEE_F32LE, space, plist)


def plug_in(file: h5py.File) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4, 3))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # Zstandard's number
    space = h5py.h5s.create_simple((4, 3))
    h5py.h5d.create(file.id, b"v", h5py.h5t.IEEE_F32LE, space, plist)


def hard_link(file: h5py.File) -> None:
    file["v"] = ROWS
    file["w"] = file["v"]


def loop(file: h5py.File) -> None:
    group = file.create_group("v")
    group["again"] = group


@pytest.mark.parametrize(
    ("fill", "told"),
    [
        (
            lambda f: f.__setitem__("v", h5py.ExternalLink("secret.h5", "/v")),
            "v of .* is a link to somewhere",
        ),
        (lambda f: f.__setitem__("v", h5py.SoftLink("/w")), "v of .* is a link to somewhere else"),
        (hard_link, "v of .* has several names"),
        (loop, "v of .* has several names"),
        (lambda f: f.__setitem__("v", np.dtype("f4")), "v of .* is neither a data set nor a group"),
        (lambda f: f.create_group("/".join("g" * 18)), "is neither a data set nor a group of them"),
        (virtual, "v of .* is virtual, its numbers lie in other files"),
        (lambda f: empty(f, (4, 3), external=[("secret.bin", 0, 48)]), "has its numbers in an external file"),
        (plug_in, "is packed by filter 32015, which would have to be loaded as a plug-in"),
        (lambda f: empty(f, (4, 3), chunks=(4, 3), scaleoffset=2), "is packed by filter 6"),
        (twice_packed, r"is packed more than once \(gzip, gzip\)"),
        (lambda f: f.__setitem__("v", ["text"]), "holds something else than plain numbers"),
        (lambda f: f.__setitem__("v", np.array([b"text"])), "holds something else than plain numbers"),
        (lambda f: f.__setitem__("v", np.zeros(3, [("a", "f4")])), "holds something else than plain numbers"),
        (
            lambda f: f.create_dataset("v", (3,), h5py.vlen_dtype("f4")),
            "holds something else than plain numbers",
        ),
        (lambda f: f.create_dataset("v", (3,), h5py.ref_dtype), "holds something else than plain numbers"),
        (lambda f: f.__setitem__("v", np.zeros(3, bool)), "holds something else than plain numbers"),
        (lambda f: f.__setitem__("v", np.zeros(3, np.longdouble)), "holds something else than plain numbers"),
        (lambda f: f.__setitem__("v", 1.0), "v of .* has no axes"),
        (lambda f: f.__setitem__("v", h5py.Empty("f4")), "v of .* has no axes"),
        (lambda f: empty(f, (1 << 30, 1 << 30), chunks=(1, 64)), r"declares 4.29e\+09 GiB, more than 1 GiB"),
        (lambda f: empty(f, (1 << 29,)), "declares 2 GiB, more than 1 GiB"),
        (
            lambda f: empty(f, (1 << 14, 1 << 13), chunks=(1 << 14, 1 << 12)),
            "chunks of 256 MiB, more than 64",
        ),
        (lambda f: empty(f, (1 << 22,), chunks=(1 << 22,), compression="lzf"), "of 16 MiB, more than 8 MiB"),
        (lambda f: empty(f, (1 << 18,), chunks=(1,)), "has 262144 chunks, more than 131072"),
        (lambda f: empty(f, (4, 3), chunks=(2, 3)), "has 0 of its 2 chunks"),
        (lambda f: empty(f, (4, 3)), "has 0 of its 48 bytes"),
        (bomb, "has a chunk that unpacks to more than its 48 bytes"),
    ],
)
def test_what_is_not_to_be_read_is_refused(tmp_path: Path, fill: Fill, told: str) -> None:
    path = tmp_path / "a.h5"
    write(tmp_path / "secret.h5", lambda file: file.__setitem__("v", ROWS))
    write(path, fill)
    with pytest.raises(UsageError, match=told) as caught:
        read_all(path)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fill",
    [
        lambda f: f.__setitem__("v", np.zeros((3, 0), "u1")),
        lambda f: f.create_dataset("v", (3, 0), "u1", maxshape=(3, 9), chunks=(3, 9), compression="gzip"),
    ],
)
def test_an_array_without_numbers_is_one(tmp_path: Path, fill: Fill) -> None:
    with open_untrusted(write(tmp_path / "a.h5", fill)) as file:
        assert file.look_at("v").shape == (3, 0)
        array = file.read("v")
    assert (array.shape, array.dtype) == ((3, 0), np.uint8)


def test_an_axis_that_no_array_has_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", lambda f: f.create_dataset("v", (1 << 62, 1 << 62, 0), "u1"))
    with pytest.raises(DamageError, match=r"v of .* cannot be read as HDF5"):
        read_all(path)


def test_no_file_that_a_virtual_data_set_names_is_opened(tmp_path: Path) -> None:
    """Whoever opens a pipe that nobody writes to waits forever."""
    path = write(tmp_path / "a.h5", virtual)
    os.mkfifo(tmp_path / "secret.h5")
    with pytest.raises(UsageError, match="is virtual"):
        read_all(path)


def test_no_plug_in_can_be_found_meanwhile(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", lambda file: file.__setitem__("v", ROWS))
    before = [h5pl.get(number) for number in range(h5pl.size())]
    with open_untrusted(path):
        assert h5pl.size() == 0
    assert [h5pl.get(number) for number in range(h5pl.size())] == before


def test_what_is_no_hdf5_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(UsageError, match=r"a\.h5 is not a file: name an HDF5 file\."):
        read_all(path)
    with pytest.raises(UsageError, match="is not a file"):
        read_all(tmp_path)
    for text in (b"", b"not HDF5"):
        path.write_bytes(text)
        with pytest.raises(UsageError, match=r"a\.h5 is not an HDF5 file: name one that h5py wrote\."):
            read_all(path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_file_that_was_cut_or_changed_is_one_sentence(tmp_path: Path, libver: str) -> None:
    whole, path = tmp_path / "whole.h5", tmp_path / "a.h5"
    with h5py.File(whole, "w", libver=libver) as file:
        for number in range(3):
            file.create_dataset(f"v{number}", data=ROWS + number, chunks=(2, 3), fletcher32=True)
    data = whole.read_bytes()
    for size_bytes in range(8, len(data), len(data) // 40):
        path.write_bytes(data[:size_bytes])
        with pytest.raises(VfmError):
            read_all(path)
    rng = np.random.default_rng(0)
    for place in rng.integers(8, len(data), 200):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << rng.integers(8)]) + data[place + 1 :])
        with suppress(VfmError):  # others changed what is nobody's: unused space, a time, a name
            assert {array.shape for array in read_all(path).values()} <= {(4, 3)}


def test_a_checksum_that_does_not_match_is_damage(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("v", data=np.full((64, 64), 1.5, np.float32), chunks=(64, 64), fletcher32=True)

    path = write(tmp_path / "a.h5", fill)
    data = bytearray(path.read_bytes())
    data[data.index(np.full(8, 1.5, np.float32).tobytes()) + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamageError, match=r"v of .*a\.h5 cannot be read as HDF5 \(.*\): restore it"):
        read_all(path)


def test_attributes_are_texts_and_whole_numbers(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file.attrs.update({"text": "é", "bytes": np.bytes_(b"plain"), "number": 3})
        file.attrs.update({"list": [1, 2], "float": 1.5, "none": h5py.Empty("f4")})

    path = write(tmp_path / "a.h5", fill)
    with open_untrusted(path) as file:
        told = [file.attribute(name) for name in ("text", "bytes", "number", "missing")]
        assert told == ["é", "plain", 3, None]
        for name in ("list", "float", "none"):
            with pytest.raises(UsageError, match=f"Attribute {name} of .* is neither a text nor a number"):
                file.attribute(name)
