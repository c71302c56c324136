"""Validation while a run trains: when, what is kept, what is said, and that a resumed run does the same."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from vfm.trainer.engine.checkpoint import read
from vfm.trainer.engine.loop import train
from vfm.trainer.engine.validation import Standing, Validation

TIMES = ("samples_per_s", "data_wait", "elapsed_s", "left_s")


class Scripted:
    """Figures that follow from how often a weight was updated, and the steps they were asked for at."""

    def __init__(self, losses: dict[int, float]) -> None:
        self.losses, self.asked = losses, []
        self.stop_at = -1

    def job(self, toy, name: str = "run", *, every: int = 3, recipe=None):
        job = toy.job(name, recipe=recipe)
        self.method = job.method
        return type(job)(
            **{
                **{field: getattr(job, field) for field in job.__dataclass_fields__},
                "validation": Validation(every=every, measure=self),
            }
        )

    def __call__(self, should_stop):
        assert not self.method.training
        assert not should_stop()
        torch.rand(7)  # draws nothing from what the next update draws
        place = len(self.asked)
        self.asked.append(place)
        if place == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
            assert should_stop()
            return None
        return {"val_loss": list(self.losses.values())[place]}


def records(run: Path):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


LOSSES = {3: 2.0, 6: 1.0, 9: 1.5, 10: 1.0}


def test_held_out_figures_are_logged_at_their_steps_and_at_the_end(toy) -> None:
    job = Scripted(LOSSES).job(toy)
    train(job, resume=None)
    found = {line["step"]: line.get("val_loss") for line in records(job.out)}
    assert found == {2: None, 3: 2.0, 4: None, 6: 1.0, 8: None, 9: 1.5, 10: 1.0}


def test_the_first_of_the_best_is_kept_beside_the_newest(toy) -> None:
    job = Scripted(LOSSES).job(toy)
    train(job, resume=None)
    assert [path.name for path in (job.out / "best" / "checkpoints").iterdir()] == ["step-000006"]
    kept = read(job.out / "best" / "checkpoints" / "step-000006")
    assert kept.state["validation"]["best"] == -1.0


def test_it_changes_no_weight(toy) -> None:
    with_it, without = Scripted(LOSSES).job(toy, "with"), toy.job("without")
    train(with_it, resume=None)
    train(without, resume=None)
    for name, tensor in without.method.state_dict().items():
        assert torch.equal(tensor, with_it.method.state_dict()[name])


@pytest.mark.parametrize("place", [0, 2, 3])  # the last one too, after which no update is left
def test_one_that_was_broken_off_is_done_when_the_run_goes_on(toy, place) -> None:
    unbroken = Scripted(LOSSES).job(toy, "unbroken")
    train(unbroken, resume=None)
    broken = Scripted(LOSSES)
    broken.stop_at = place
    job = broken.job(toy, "broken")
    outcome = train(job, resume=None)
    step = list(LOSSES)[place]
    assert (outcome.step, outcome.signal) == (step, signal.SIGTERM)
    assert broken.asked == list(range(place + 1))
    rest = Scripted(dict(list(LOSSES.items())[place:]))
    again = rest.job(toy, "broken")
    train(again, resume=read(job.out / "checkpoints" / f"step-{step:06d}"))
    assert records(again.out) == records(unbroken.out)
    for name, tensor in unbroken.method.state_dict().items():
        assert torch.equal(tensor, again.method.state_dict()[name])
    bests = [path.name for path in (again.out / "best" / "checkpoints").iterdir()]
    assert bests == ["step-000006"]


def test_a_run_that_goes_on_from_an_earlier_step_forgets_the_best_of_later_ones(toy) -> None:
    train(Scripted({3: 2.0, 6: 1.0, 9: 0.5, 10: 0.7}).job(toy), resume=None)
    again = Scripted({10: 0.9}).job(toy, every=5)  # another interval, so that step 9 never comes
    train(again, resume=read(again.out / "checkpoints" / "step-000008"))
    assert [path.name for path in (again.out / "best" / "checkpoints").iterdir()] == ["step-000010"]


def test_one_that_was_broken_off_is_forgotten_where_nobody_wants_it_any_more(toy) -> None:
    broken = Scripted(LOSSES)
    broken.stop_at = 3
    job = broken.job(toy)
    train(job, resume=None)
    for _ in range(2):
        outcome = train(toy.job(), resume=read(job.out / "checkpoints" / "step-000010"))
        said = [told for told in toy.said if told.startswith("Training")]
    assert (outcome.step, len(said)) == (10, 2)  # the first of the two again, to log; the second is done


def standing(train_losses, losses) -> list[str]:
    found, told = Standing(), []
    for step, (train_loss, loss) in enumerate(zip(train_losses, losses, strict=True), start=1):
        found.learn(train_loss, num_updates=4)
        told.append(found.add({"val_loss": loss}, step=step)[1])
    return told


def test_learning_by_heart_is_told_once() -> None:
    told = standing([3, 2, 1, 0.9, 0.8, 0.7], [3, 2, 2.1, 2.2, 2.3, 2.4])
    assert [bool(sentence) for sentence in told] == [False, False, False, False, True, False]
    assert told[4] == (
        "The loss on held-out samples has not fallen since step 2 (2 then, 2.3 now) while that in training "
        "has (2 then, 0.8 now): samples are learned by heart. The best weights so far are kept in the folder "
        "best of the run."
    )


def test_nothing_is_told_where_both_or_neither_fall() -> None:
    assert not any(standing([3, 2, 1, 0.9, 0.8, 0.7], [3, 2.9, 3, 2.8, 3, 2.7]))
    assert not any(standing([3, 2, 2.1, 2.2, 2.1, 2.3], [3, 2, 2.1, 2.2, 2.3, 2.4]))


def test_the_accuracy_decides_which_is_best() -> None:
    found = Standing()
    figures = [(1.0, 0.5), (0.5, 0.4), (2.0, 0.6), (0.1, 0.6)]
    bests = [
        found.add({"val_loss": loss, "val_accuracy": accuracy}, step=step)[0]
        for step, (loss, accuracy) in enumerate(figures)
    ]
    assert bests == [True, False, True, False]
