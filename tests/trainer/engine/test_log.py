from vfm.shards.io.run_log import RunLog
from vfm.trainer.engine.log import Events, Figures, format_figures

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


def test_figures_say_what_matters():
    assert format_figures(RECORD) == (
        "loss 6.123  mlm_loss 5  lr 1.00e-03  312.4 samples/s  waiting for data 1.2%"
    )


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


def test_a_target_that_cannot_be_opened_is_told(tmp_path):
    said = []
    (tmp_path / "tb").write_text("")
    log = RunLog({"tb": lambda: Events(tmp_path / "tb", after_step=0)}, say=said.append)
    log.write(RECORD)
    assert said == ["Logging to tb stopped (File exists); training continues without it."]


def test_whoever_watches_gets_the_figures(watched):
    Figures(watched).write(RECORD)
    assert watched.figures == [format_figures(RECORD)]
