"""A Python that has imported torch before: fixture ``warm_python``, for tests that start many processes.

A command line that begins with it does what one does that begins with ``sys.executable``: it runs a script, a
module (``-m``) or code (``-c``) in a process of its own, with the environment, folder, files and limit of
open files that it is given, and takes signals. That process is forked from one that has the imports behind
it, which spares each of them three seconds. It is no child of the test's: drills that look for its workers,
or that measure a start or memory, begin with ``sys.executable``.
"""

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.jobs import ENVIRONMENT, wait_for

_HERE = Path(__file__).parent


@contextmanager
def warm(environment: Mapping[str, str]) -> Iterator[str]:
    """Return the path of a Python, for as long as the process lives from which others are forked.

    Args:
        environment: of that process, for what libraries read as they are imported.
    """
    with tempfile.TemporaryDirectory(prefix="vfm-warm-") as folder:
        socket = Path(folder) / "socket"
        line = [sys.executable, str(_HERE / "server.py"), str(socket)]
        with subprocess.Popen(line, env=dict(environment), stdin=subprocess.PIPE) as server:
            wait_for(lambda: socket.exists() or server.poll() is not None, limit_s=60)
            assert server.poll() is None
            client = [sys.executable, "-I", "-S", str(_HERE / "client.py"), str(socket)]
            python = Path(folder) / "python"
            python.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
            python.chmod(0o755)
            yield str(python)


@pytest.fixture(scope="session")
def warm_python() -> Iterator[str]:
    """Return what stands in the place of ``sys.executable``."""
    with warm({**ENVIRONMENT, "OMP_NUM_THREADS": "1"}) as python:
        yield python
