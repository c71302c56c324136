"""Imports what takes long, once, and forks a process for each that asks; ends with its standard input."""

import contextlib
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import sys
from typing import Any

MODULES = (
    *("torch._dynamo", "torch.distributed", "torch.nn.parallel", "torch.utils.data"),
    *("tensorboard.compat.proto.event_pb2", "tensorboard.summary.writer.record_writer"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("vfm.cli.main", "vfm.trainer.runs.run", "vfm.trainer.runs.finetune", "vfm.trainer.evaluation.evaluate"),
)


def serve(path: str) -> dict[str, Any] | None:
    """Fork for all that ask; return in a process that was, with what it is asked, and None in the end."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen()
        os.rename(f"{path}.new", path)  # noqa: PTH104
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none of them is left a zombie, which tests would meet
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if listener not in ready:
                return None
            asking, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                return keep(asking)
            asking.close()


def keep(asking: socket.socket) -> dict[str, Any]:
    """Fork the process that is asked for, and tell how it ends; it ends with the one that asked."""
    message, files, _, _ = socket.recv_fds(asking, 1 << 20, 3)
    while not message.endswith(b"\n"):
        message += asking.recv(1 << 20)
    pid = os.fork()
    if pid == 0:
        asking.close()
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        asked: dict[str, Any] = json.loads(message)
        return asked
    for file in (0, 1, 2, *files):
        os.close(file)
    asking.sendall(b"%d\n" % pid)
    ready, _, _ = select.select([asking, os.pidfd_open(pid)], [], [])
    if asking in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        asking.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def become(asked: dict[str, Any]) -> None:
    """Run what is asked in this process."""
    os.chdir(asked["folder"])
    resource.setrlimit(resource.RLIMIT_NOFILE, asked["open_files"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [path for path in paths if path and path not in sys.path]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())  # type: ignore[union-attr]
    match asked["words"]:
        case ["-m", name, *arguments]:
            sys.argv, sys.path[0] = [name, *arguments], asked["folder"]
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        case ["-c", code, *arguments]:
            sys.argv, sys.path[0] = ["-c", *arguments], ""
            exec(code, {"__name__": "__main__"})
        case [script, *arguments]:
            sys.argv, sys.path[0] = [script, *arguments], os.path.dirname(script)  # noqa: PTH120
            runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    for each in MODULES:
        importlib.import_module(each)
    gc.freeze()
    found = serve(sys.argv[1])
    if found is not None:
        become(found)
