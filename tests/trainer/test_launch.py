import os
import signal
import sys
import threading
import time

import psutil
import pytest

from vfm.shards.errors import UsageError
from vfm.trainer import launch as launching
from vfm.trainer.launch import launch, wants_ranks


def python(script):
    return [sys.executable, "-c", script]


def test_each_rank_finds_its_place(tmp_path):
    script = f"""
import os
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
open({str(tmp_path)!r} + "/" + os.environ["RANK"], "w").write(",".join(os.environ[n] for n in names))
"""
    assert launch(python(script), num_ranks=3) == 0
    found = [(tmp_path / str(i)).read_text().split(",") for i in range(3)]
    assert [place[:4] for place in found] == [[str(i), str(i), "3", "127.0.0.1"] for i in range(3)]
    assert len({place[4] for place in found}) == 1


def test_rank_0_is_heard_and_the_first_that_fails(capfd):
    script = """
import os, sys
rank = os.environ["RANK"]
print("out of", rank)
print("word of", rank, file=sys.stderr, flush=True)
sys.exit(2 if rank == "1" else 0)
"""
    assert launch(python(script), num_ranks=2) == 2
    captured = capfd.readouterr()
    assert captured.out == "out of 0\n"
    assert captured.err == "word of 0\nword of 1\n"


def test_what_all_say_is_heard_once(capfd):
    script = """
import os, sys, time
time.sleep(0.3 * (os.environ["RANK"] == "0"))  # another one is the first
print("no such data", file=sys.stderr, flush=True)
sys.exit(2)
"""
    assert launch(python(script), num_ranks=3) == 2
    assert capfd.readouterr().err == "no such data\n"


def test_others_that_do_not_notice_a_failure_are_ended(monkeypatch):
    monkeypatch.setattr("vfm.trainer.launch._GRACE_S", 0.2)
    script = "import os, sys, time\nsys.exit(3) if os.environ['RANK'] == '0' else time.sleep(60)"
    start_s = time.monotonic()
    assert launch(python(script), num_ranks=2) == 3
    assert time.monotonic() - start_s < 20
    assert not [child for child in psutil.Process().children() if "time.sleep(60)" in str(child.cmdline())]


def test_a_killed_rank_has_the_status_of_its_signal():
    script = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    assert launch(python(script), num_ranks=1) == 128 + signal.SIGKILL


def test_signals_go_on_to_every_rank(tmp_path):
    script = f"""
import os, signal, sys, time
path = {str(tmp_path)!r} + "/" + os.environ["RANK"]
def stop(number, frame):
    open(path + ".stopped", "w").close()
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
open(path + ".ready", "w").close()
time.sleep(60)
"""

    def ask():
        while len(list(tmp_path.glob("*.ready"))) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    asking = threading.Thread(target=ask)
    asking.start()
    assert launch(python(script), num_ranks=2) == 143
    asking.join()
    assert sorted(path.name for path in tmp_path.glob("*.stopped")) == ["0.stopped", "1.stopped"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_while_ranks_start_stops_those_that_start_later_too(monkeypatch):
    start, started = launching._start, []

    def interrupted(command, **how):
        if not started:
            os.kill(os.getpid(), signal.SIGTERM)
        started.append(start(command, **how))
        return started[-1]

    monkeypatch.setattr(launching, "_start", interrupted)
    start_s = time.monotonic()
    assert launch(python("import time\ntime.sleep(60)"), num_ranks=2) == 128 + signal.SIGTERM
    assert time.monotonic() - start_s < 20
    assert [rank.process.returncode for rank in started] == [-signal.SIGTERM] * 2


def test_ranks_are_started_once(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert not wants_ranks(None)
    assert not wants_ranks(1)
    assert wants_ranks(2)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not wants_ranks(2)
    with pytest.raises(UsageError, match=r"^--nproc 4 is given to one of 2 ranks that run already: leave it"):
        wants_ranks(4)
