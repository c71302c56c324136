"""Options that projects keep beside weights: sizes that no shape tells, as JSON or as pickled arguments."""

import json
import pickle
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from vfm.shards.errors import UsageError
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.faults import disk_faults

Options = Mapping[str, Any]

# How projects call the weights in a folder of their own, and the options beside them.
FOLDERS = {
    "model.safetensors": "config.json",
    "pytorch_model.bin": "config.json",
    "classifier.pt": "args.pickle",
}
_MAX_BYTES = 2**20  # far more than any such file has


def read_options(path: Path) -> dict[str, Any]:
    """Return the options of a ``.json`` file, or else of a pickled `argparse.Namespace`; nothing is run.

    Raises:
        UsageError: the file is damaged, or a pickle of anything else.
    """
    try:
        with path.open("rb") as file:
            value = json.load(file) if path.suffix == ".json" else vars(_read_namespace(file))
    except pickle.UnpicklingError:
        raise UsageError(
            f"{path} is a pickle of more than plain arguments, which could run code, and is not opened: "
            "move it away, and give sizes with --recipe and --set."
        ) from None
    # Pickles tell of their damage by many kinds of error.
    except (ValueError, EOFError, LookupError, TypeError, AttributeError, ImportError) as error:
        raise UsageError(f"{path} cannot be read ({error or 'it ends too soon'}): fetch it again.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): allow it, or move it away.") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds a {type(value).__name__}, not options by name: fetch it again.")
    return value


def write_options(path: Path, options: Options) -> None:
    """Write options as `read_options` reads them.

    Raises:
        MachineError: the disk is full or does not allow it.
    """
    if path.suffix == ".json":
        data = (json.dumps(dict(options), indent=2) + "\n").encode()
    else:
        data = pickle.dumps(Namespace(**options), protocol=4)
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)


class _NamespaceUnpickler(pickle.Unpickler):
    """Knows of no class and no function but `argparse.Namespace`."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the one class that there is."""
        if (module, name) == ("argparse", "Namespace"):
            return Namespace
        raise pickle.UnpicklingError(f"{module}.{name}")


def _read_namespace(file: BinaryIO) -> Namespace:
    if len(file.read(_MAX_BYTES + 1)) > _MAX_BYTES:
        raise ValueError("it is too large for arguments")
    file.seek(0)
    value = _NamespaceUnpickler(file).load()
    if not isinstance(value, Namespace):
        raise pickle.UnpicklingError(type(value).__name__)
    return value
