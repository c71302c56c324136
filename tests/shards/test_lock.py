"""One writer per dataset."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vfm.shards.errors import MachineError
from vfm.shards.lock import hold, is_held

HOLD = """
import sys, time
from pathlib import Path
from vfm.shards.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_job_is_told_who_holds_it_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    with start_holder(tmp_path) as holder:
        assert is_held(tmp_path)
        with pytest.raises(MachineError, match=f"written by process {holder.pid}: wait"), hold(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert not is_held(tmp_path)
        with hold(tmp_path):
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_is_free_after_the_block_even_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), hold(tmp_path):
        raise RuntimeError("inside")
    assert not is_held(tmp_path)
    with hold(tmp_path):
        assert is_held(tmp_path)
    assert (tmp_path / ".lock").read_bytes() == b""


def test_a_child_that_lives_on_does_not_keep_the_lock(tmp_path: Path) -> None:
    with hold(tmp_path):
        held = [f for f in Path("/proc/self/fd").iterdir() if f.exists() and f.samefile(tmp_path / ".lock")]
        descriptor = int(held[0].name)
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor]
        )
    assert not is_held(tmp_path)
    child.communicate(b"\n")


def test_a_folder_that_refuses_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(MachineError, match="cannot be written .*: choose a folder"), hold(tmp_path):
        pass


def test_nothing_is_held_where_there_is_no_lock(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "none")
