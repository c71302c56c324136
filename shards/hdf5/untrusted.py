"""An HDF5 file that anybody may have made: its names, attributes and numbers, never what it points to."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy.typing as npt
from h5py import h5a, h5d, h5g, h5l, h5pl, h5s, h5t

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.hdf5.stored import Stored, UnsafeError, look_at, read_stored

_MAX_OBJECTS = 1 << 22
_MAX_DEPTH = 16  # of groups in groups
_MAX_ATTRIBUTE_BYTES = 1 << 16
# What h5py raises about a file that is not as it should be.
_FAULTS = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError, zlib.error)


@contextmanager
def open_untrusted(path: Path) -> Iterator["UntrustedFile"]:
    """Open a file for reading; no plug-in of HDF5 is loaded in the block.

    Raises:
        UsageError: there is no such file, or it is not HDF5.
        DamageError: it is cut or damaged.
    """
    if not path.is_file():
        raise UsageError(f"{path} is not a file: name an HDF5 file.")
    with _without_plug_ins():
        with _told(path):
            if not h5py.is_hdf5(path):
                raise UsageError(f"{path} is not an HDF5 file: name one that h5py wrote.")
            file = h5py.File(path, "r", driver="sec2")
        with file:
            with _told(path):
                opened = UntrustedFile(path, file=file)
            yield opened


class UntrustedFile:
    """A file opened by `open_untrusted`; data sets go by their path in it, without the first ``/``.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, *, file: h5py.File) -> None:
        self.path = path
        self._root = h5g.open(file.id, b"/")
        self._num_objects = 0

    def attribute(self, name: str) -> str | int | None:
        """Return a text or a whole number that is an attribute of the root; None without one.

        Raises:
            UsageError: it is something else.
        """
        with _told(self.path):
            raw = name.encode()
            if not h5a.exists(self._root, raw):
                return None
            found = h5a.open(self._root, raw)
            kind = found.get_type()
            is_one = found.get_space().get_simple_extent_type() == h5s.SCALAR
            is_plain = isinstance(kind, h5t.TypeStringID | h5t.TypeIntegerID)
            if not is_one or not is_plain or found.get_storage_size() > _MAX_ATTRIBUTE_BYTES:
                raise UsageError(
                    f"Attribute {name} of {self.path} is neither a text nor a number: export it again."
                )
            value = h5py.AttributeManager(h5py.Group(self._root))[name]
            if isinstance(value, bytes):
                return value.decode()
            return value if isinstance(value, str) else int(value)

    def names(self) -> list[str]:
        """Return the paths of all data sets.

        Raises:
            UsageError: there is a link, a loop, or something that is neither group nor data set.
            DamageError: the file is damaged.
        """
        with _told(self.path):
            self._num_objects = 0
            return list(self._walk(self._root, prefix="", depth=0))

    def look_at(self, name: str) -> Stored:
        """Return what a data set is, without reading it.

        Raises:
            UsageError: it is not to be read.
            DamageError: the file is damaged.
        """
        with self._safely(name):
            return look_at(self._open(name))

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return the numbers of a data set, copied.

        Raises:
            VfmError: see `look_at`.
        """
        with self._safely(name):
            dataset = self._open(name)
            return read_stored(dataset, look_at(dataset))

    def _open(self, name: str) -> h5d.DatasetID:
        return h5d.open(self._root, name.encode("utf-8", "surrogateescape"))

    @contextmanager
    def _safely(self, name: str) -> Iterator[None]:
        with _told(self.path, name=name):
            try:
                yield
            except UnsafeError as error:
                raise self._refusal(name, str(error)) from None

    def _walk(self, group: h5g.GroupID, *, prefix: str, depth: int) -> Iterator[str]:
        self._num_objects += group.get_num_objs()
        if self._num_objects > _MAX_OBJECTS:
            raise UsageError(f"{self.path} holds more than {_MAX_OBJECTS} objects: split it.")
        for raw in group:
            name = prefix + raw.decode("utf-8", "surrogateescape")
            if group.links.get_info(raw).type != h5l.TYPE_HARD:
                raise self._refusal(name, "is a link to somewhere else")
            found = h5g.get_objinfo(group, raw, follow_link=False)
            if found.nlink > 1:
                raise self._refusal(name, "has several names")
            if found.type == h5g.DATASET:
                yield name
            elif found.type == h5g.GROUP and depth < _MAX_DEPTH:
                yield from self._walk(h5g.open(group, raw), prefix=f"{name}/", depth=depth + 1)
            else:
                raise self._refusal(name, "is neither a data set nor a group of them")

    def _refusal(self, name: str, clause: str) -> UsageError:
        return UsageError(
            f"{name} of {self.path} {clause}: write a file of plain data sets, each with its own numbers, "
            "and import that."
        )


@contextmanager
def _told(path: Path, *, name: str = "") -> Iterator[None]:
    """Turn what h5py raises into one sentence."""
    try:
        yield
    except _FAULTS as error:
        where = f"{name} of {path}" if name else str(path)
        why = str(error).partition("\n")[0].strip(" .'\"")[:200]
        raise DamageError(
            f"{where} cannot be read as HDF5 ({why}): restore it from a copy, or write it again."
        ) from None


@contextmanager
def _without_plug_ins() -> Iterator[None]:
    """Leave HDF5 no folder to look for plug-ins in, whatever HDF5_PLUGIN_PATH says."""
    folders = [h5pl.get(number) for number in range(h5pl.size())]
    for _ in folders:
        h5pl.remove(0)
    try:
        yield
    finally:
        for folder in folders:
            h5pl.append(folder)
