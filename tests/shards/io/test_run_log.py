import json
import resource
import signal

import pytest

from vfm.shards.io.run_log import JsonLines, RunLog, read_records


def test_lines_are_appended_and_those_after_a_resume_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    first = JsonLines(path, after_step=0)
    for step in (2, 4, 6):
        first.write({"step": step, "loss": step / 2})
    first.close()
    with path.open("ab") as file:
        file.write(b'{"step": 8, "lo')  # torn by a kill
    second = JsonLines(path, after_step=4)
    second.write({"step": 6, "loss": 9.0})
    second.close()
    assert read_records(path).lost == ""
    assert read_records(path).records == [
        {"step": 2, "loss": 1.0},
        {"step": 4, "loss": 2.0},
        {"step": 6, "loss": 9.0},
    ]


def test_a_fresh_run_drops_what_a_run_without_checkpoint_left(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 2}\n')
    JsonLines(path, after_step=0).close()
    assert path.read_bytes() == b""


def test_what_is_not_finite_is_no_json(tmp_path):
    log = JsonLines(tmp_path / "log.jsonl", after_step=0)
    log.write({"step": 1, "accuracy": float("nan"), "loss": 1.0})
    log.close()
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 1, "loss": 1.0}


class _Broken:
    lost = ""

    def __init__(self, fail_at):
        self.fail_at, self.taken = fail_at, []

    def write(self, record):
        if record["step"] == self.fail_at:
            raise OSError(28, "No space left on device")
        self.taken.append(record["step"])

    def close(self):
        pass


def test_a_target_that_fails_is_told_once_and_dropped():
    said, bad, good = [], _Broken(2), _Broken(None)
    log = RunLog({"bad": lambda: bad, "good": lambda: good}, say=said.append)
    for step in (1, 2, 3, 4):
        log.write({"step": step})
    log.close()
    assert (bad.taken, good.taken) == ([1], [1, 2, 3, 4])
    assert said == ["Logging to bad stopped (No space left on device); training continues without it."]


LINES = [b'{"step": 1, "loss": 3.0}', b'{"step": 2, "loss": 2.0}', b'{"step": 3, "loss": 1.0}']


@pytest.mark.parametrize(
    "spoilt",
    [
        b'{"stdp": 2, "loss": 2.0}',
        b'["step", 2]',
        b'{"step": "2", "loss": 2.0}',
        b'{"step": 2, "loss": null}',
        b'{"step": 2, "loss": NaN}',
        b'{"step": 2, "loss": true}',
        b'{"step": 1%b}' % (b"0" * 400),
        b'{"step": 2, "l\xf3ss": 2.0}',
        b"[" * 100_000,
        b"2",
        b"",
    ],
)
def test_a_line_that_does_not_read_costs_itself_and_is_told(tmp_path, spoilt):
    path, said = tmp_path / "log.jsonl", []
    path.write_bytes(b"\n".join([LINES[0], spoilt, LINES[2], b""]))
    log = RunLog({"log.jsonl": lambda: JsonLines(path, after_step=3)}, say=said.append)
    log.write({"step": 4, "loss": 0.5})
    log.close()
    assert said == [f"1 of 3 lines of {path} cannot be read and are left out; the first is line 2."]
    assert [record["step"] for record in read_records(path).records] == [1, 3, 4]
    assert read_records(path).lost == ""


def test_no_flipped_bit_stops_a_log(tmp_path):
    """Of every bit of it: the other lines are kept, and what is lost is told."""
    path, whole = tmp_path / "log.jsonl", b"\n".join([*LINES, b""])
    for bit in range(8 * len(whole)):
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoilt)
        found = read_records(path)
        assert len(found.records) >= 1
        assert len(found.records) == 3 or found.lost
        JsonLines(path, after_step=3).close()


def test_a_disk_that_fills_up_leaves_no_half_line(tmp_path):
    """The system takes as much as there is room for and says so; only the next write fails."""
    path, said = tmp_path / "log.jsonl", []
    log = RunLog({"log.jsonl": lambda: JsonLines(path, after_step=0)}, say=said.append)
    log.write({"step": 1, "loss": 3.0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, before[1]))
    try:
        log.write({"step": 2, "loss": 2.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    log.close()
    assert said == ["Logging to log.jsonl stopped (File too large); training continues without it."]
    assert path.read_bytes() == b'{"step": 1, "loss": 3.0}\n'


def test_a_short_write_is_gone_on_with(tmp_path):
    class Short:
        def __init__(self, file):
            self.file = file

        def fileno(self):
            return self.file.fileno()

        def write(self, data):
            return self.file.write(data[:3])

        def close(self):
            self.file.close()

    log = JsonLines(tmp_path / "log.jsonl", after_step=0)
    log._file = Short(log._file)
    log.write({"step": 1, "loss": 3.0})
    log.close()
    assert (tmp_path / "log.jsonl").read_bytes() == b'{"step": 1, "loss": 3.0}\n'
