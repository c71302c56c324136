import json

import pytest

from vfm.trainer.log import Events, JsonLines, Lines, RunLog, format_line, read_records

RECORD = {
    "step": 100,
    "epoch": 1.5,
    "loss": 6.12345,
    "mlm_loss": 5.0,
    "grad_norm": 0.5,
    "lr": 1e-3,
    "samples_per_s": 312.44,
    "data_wait": 0.0123,
    "left_s": 3723.9,
    "elapsed_s": 20.0,
}


def test_line_says_what_matters():
    assert format_line(RECORD, num_steps=1000) == (
        "step 100/1000  loss 6.123  mlm_loss 5  lr 1.00e-03  312.4 samples/s  "
        "waiting for data 1.2%  left 1:02:03"
    )


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
    assert read_records(path) == [
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


def test_tensorboard_reads_the_events(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for after_step, steps in ((0, (1, 2, 3)), (1, (2,))):
        events = Events(tmp_path / "tb", after_step=after_step)
        for step in steps:
            events.write({"step": step, "loss": step + after_step * 10.0})
        events.close()
        (tmp_path / "tb").rename(tmp_path / f"tb{after_step}")
    found = EventAccumulator(str(tmp_path / "tb0")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in found] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    found = EventAccumulator(str(tmp_path / "tb1")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in found] == [(2, 12.0)]


class _Broken:
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
    assert said == ["Logging to bad stopped (No space left on device); the training goes on without it."]


def test_a_target_that_cannot_be_opened_is_told(tmp_path):
    said = []
    (tmp_path / "tb").write_text("")
    log = RunLog({"tb": lambda: Events(tmp_path / "tb", after_step=0)}, say=said.append)
    log.write(RECORD)
    assert said == ["Logging to tb stopped (File exists); the training goes on without it."]


def test_screen_gets_the_line():
    said = []
    Lines(said.append, num_steps=1000).write(RECORD)
    assert said == [format_line(RECORD, num_steps=1000)]


@pytest.mark.parametrize("left", [0.0, 59.9])
def test_time_left_is_whole_seconds(left):
    assert format_line({**RECORD, "left_s": left}, num_steps=1).endswith(f"left 0:00:{int(left):02d}")
