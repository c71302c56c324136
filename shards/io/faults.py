"""What the disk did not allow, as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfm.shards.errors import MachineError


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a MachineError that says what to do."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, BrokenPipeError):
        raise  # the first two are faults of the path, the last is a closed terminal
    except OSError as error:
        raise MachineError(
            f"{error.filename or path} cannot be written ({error.strerror}): fix this, then run the same "
            "command again; finished shards are kept."
        ) from error
