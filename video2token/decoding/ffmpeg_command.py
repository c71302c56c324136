"""The ffmpeg command: where it is, which version it has, and how it runs so that it can do no harm."""

import os
import re
import shutil
import subprocess
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from vfm.shards.errors import MachineError
from vfm.shards.parent import dying_with
from vfm.video2token.execution.exit_status import how_it_ended

VARIABLE = "VFM_FFMPEG"
MIN_VERSION = (5, 1)  # the first with -fps_mode
_VERSION = re.compile(r"^ffmpeg version \D?(\d+)\.(\d+)\S*")
_GIT_BUILD = re.compile(r"^ffmpeg version (N-\S+|\d{4}-\S+|git\S*)")
_DECODERS = re.compile(r"^ V\S+ +(h264|hevc|vp9|av1|libdav1d|mpeg4|mjpeg) ", re.MULTILINE)
_LOOK_LIMIT_S = 20.0
_HEAD_BYTES = 1 << 14
_REMEDY = f"install ffmpeg 5.1 or newer, run `pip install 'vfm[ffmpeg]'`, or name one in {VARIABLE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ffmpeg:
    """An ffmpeg command that vfm can use.

    Attributes:
        path: absolute, or what VFM_FFMPEG says.
        version: as it calls itself.
        number: of its release; (999, 0) for a build between releases.
    """

    path: str
    version: str
    number: tuple[int, int]


def locate_ffmpeg() -> str:
    """Return where the ffmpeg command is: the one in VFM_FFMPEG, else on the PATH, else in imageio-ffmpeg.

    Raises:
        MachineError: there is none.
    """
    path = os.environ.get(VARIABLE) or shutil.which("ffmpeg") or _of_imageio()
    if path is None:
        raise MachineError(f"No ffmpeg command was found: {_REMEDY}.")
    return path


def find_ffmpeg() -> Ffmpeg:
    """Return the ffmpeg command, once it has shown that it can be used.

    Raises:
        MachineError: there is none, it does not run, it is too old, or it decodes no video.
    """
    path = locate_ffmpeg()
    found = _identified(path, _output_of(path, "-version"))
    if found.number < MIN_VERSION:
        raise MachineError(f"{path} is ffmpeg {found.version}, which is too old: {_REMEDY}.")
    if not _DECODERS.search(_output_of(path, "-decoders")):
        raise MachineError(f"{path} was built without video decoders: {_REMEDY}.")
    return found


def _of_imageio() -> str | None:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def _output_of(path: str, argument: str) -> str:
    try:
        done = subprocess.run(
            [path, "-hide_banner", argument] if argument != "-version" else [path, argument],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LOOK_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MachineError(f"{path} {argument} gave no answer in {_LOOK_LIMIT_S:g} s: {_REMEDY}.") from None
    except OSError as error:
        raise MachineError(f"{path} cannot be run ({error.strerror}): {_REMEDY}.") from None
    if done.returncode:
        raise MachineError(f"{path} {argument} failed ({how_it_ended(done.returncode)}): {_REMEDY}.")
    return done.stdout.decode("utf-8", "replace")


def _identified(path: str, text: str) -> Ffmpeg:
    if match := _VERSION.match(text):
        number = (int(match[1]), int(match[2]))
    elif match := _GIT_BUILD.match(text):
        number = (999, 0)
    else:
        raise MachineError(f"{path} does not call itself ffmpeg: {_REMEDY}.")
    return Ffmpeg(path=path, version=text.split()[2], number=number)


@dataclass(slots=True, kw_only=True)
class Run:
    """A run of the command.

    Attributes:
        stdout: what it writes.
        returncode: its exit status, once it has ended; negative for a signal.
        num_lines: lines it has written on stderr.
        said: the first of them.
    """

    stdout: IO[bytes]
    returncode: int | None = None
    num_lines: int = 0
    said: str = ""


@contextmanager
def running(command: Sequence[str], pass_fds: Sequence[int] = ()) -> Iterator[Run]:
    """Run a command whose output is read inside the block; on leaving it the command has ended.

    It stays in our process group, which the pool kills as a whole, and gets SIGKILL when we end, however we
    end. Its stderr is read all the time, since a full pipe would stop it, and its beginning is kept.

    Raises:
        MachineError: it does not start.
    """
    process = _started(command, pass_fds)
    assert process.stdout is not None
    assert process.stderr is not None
    run = Run(stdout=process.stdout)
    listener = threading.Thread(target=_listen, args=(process.stderr, run), daemon=True)
    listener.start()
    is_whole = False
    try:
        yield run
        is_whole = True
    finally:
        process.stdout.close()
        if not is_whole:
            process.kill()
        run.returncode = process.wait()
        listener.join()
        process.stderr.close()


def _started(command: Sequence[str], pass_fds: Sequence[int]) -> "subprocess.Popen[bytes]":
    with warnings.catch_warnings():
        # From Python 3.12 on: a fork beside other threads. What runs in the child until it is the command is
        # two system calls, which take no lock that another thread could hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=pass_fds,
                preexec_fn=dying_with(os.getpid()),  # noqa: PLW1509 (as above)
            )
        except OSError as error:
            raise MachineError(f"{command[0]} cannot be run ({error.strerror}): {_REMEDY}.") from None


def _listen(stderr: IO[bytes], run: Run) -> None:
    head = bytearray()
    while chunk := stderr.read(1 << 16):
        run.num_lines += chunk.count(b"\n")
        head += chunk[: _HEAD_BYTES - len(head)]
    run.said = head.decode("utf-8", "replace")
