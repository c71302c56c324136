"""One writer per dataset."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vfm.shards.errors import MachineError
from vfm.shards.io.lock import held_names, hold, is_held

HOLD = """
import sys, time
from pathlib import Path
from vfm.shards.io.lock import hold
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


def test_what_a_killed_job_left_half_written_goes_with_its_lock(tmp_path: Path) -> None:
    for name in (".run.json.tmp-99999", "kept.json", ".kept"):
        (tmp_path / name).write_text("{")
    assert held_names(tmp_path) == {"kept.json", ".kept"}
    with hold(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "kept.json", ".kept"}


@pytest.mark.parametrize("function", ["os.open", "os.ftruncate", "os.pwrite", "fcntl.flock", "os.unlink"])
def test_a_disk_that_fails_at_the_lock_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    (tmp_path / ".run.json.tmp-99999").write_text("{")
    monkeypatch.setattr(function, _fail)
    with pytest.raises(MachineError, match=r"cannot be (written|locked) \(input/output error\): choose a"):
        hold(tmp_path).__enter__()


def test_a_disk_that_fails_as_the_lock_is_given_back_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = os.close

    def fail_late(descriptor: int) -> None:
        close(descriptor)
        _fail()

    with hold(tmp_path), monkeypatch.context() as patch:
        patch.setattr("os.ftruncate", _fail)
        patch.setattr("os.close", fail_late)
    assert not is_held(tmp_path)


def test_a_disk_that_fails_while_the_holder_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(tmp_path):
        monkeypatch.setattr("os.pread", _fail)
        with pytest.raises(MachineError, match="written by another process: wait"), hold(tmp_path):
            pass


def test_nobody_is_named_by_half_a_number(tmp_path: Path) -> None:
    with hold(tmp_path):
        (tmp_path / ".lock").write_text("12")  # of 123456, torn on a full disk
        with pytest.raises(MachineError, match="written by another process: wait"), hold(tmp_path):
            pass


def test_a_file_system_without_locks_holds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lock").write_text("")
    monkeypatch.setattr("fcntl.flock", _fail)
    assert not is_held(tmp_path)


def _fail(*_arguments: object, **_options: object) -> None:
    raise OSError(errno.EIO, "Input/output error")
