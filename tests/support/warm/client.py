"""Has a process forked behind a socket, and is to its caller what that process is: its output, its end."""

import json
import os
import resource
import signal
import socket
import sys


def run(path: str, words: list[str]) -> int:
    """Run what ``words`` say, as Python's own command line would, and return how it ended."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        asked = {
            "words": words,
            "folder": os.getcwd(),  # noqa: PTH109
            "environment": dict(os.environ),
            "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
        }
        socket.send_fds(server, [json.dumps(asked).encode() + b"\n"], [0, 1, 2])
        answers = server.makefile()
        pid = int(answers.readline())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda number, _: os.kill(pid, number))
        return int(answers.readline())


if __name__ == "__main__":
    status = run(sys.argv[1], sys.argv[2:])
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
