"""The training loop, which knows no method: ``losses = method(batch)``, and ``loss`` goes backwards."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from vfm.shards.io.run_log import LOG_NAME, RunLog
from vfm.shards.order import Place, epoch_len
from vfm.shards.progress import Progress
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.stream import BatchStream, StepInput, epoch_samples, step_seed
from vfm.trainer.distributed import World, largest
from vfm.trainer.engine.checkpoint import Checkpoint, discard_after, fill, prune, save
from vfm.trainer.engine.cost import Cost, measure_cost
from vfm.trainer.engine.divergence import divergence
from vfm.trainer.engine.log import log_targets
from vfm.trainer.engine.meter import Meter
from vfm.trainer.engine.opening import Schedule, doubts, opening
from vfm.trainer.engine.updates.optim import (
    load_moments,
    lr_at,
    num_updates,
    updates_per_epoch,
)
from vfm.trainer.engine.updates.updater import Updater
from vfm.trainer.engine.validation import Standing, Validation
from vfm.trainer.interrupts import Interrupt, catch_interrupts
from vfm.trainer.method import Method
from vfm.trainer.recipes.recipe import Recipe

CHECKPOINTS_FOLDER = "checkpoints"
BEST_FOLDER = f"best/{CHECKPOINTS_FOLDER}"  # so that best is named as the folder of a run is
_WORTH_MEASURING = 50  # updates that a run has left, before five are spent on measuring what they cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the loop needs.

    Attributes:
        recipe: the numbers.
        method: what learns; its weights are those before the first update.
        dataset: what it learns from.
        world: this process among its peers.
        out: the run's folder, locked by the caller.
        identity: what tells this run from another; kept in every checkpoint.
        say: takes one sentence for people; silent on all ranks but one.
        progress: receives every update and the figures logged; silent on all ranks but one.
        validation: measures held-out samples; None where there are none, or nobody wants it.
    """

    recipe: Recipe
    method: Method
    dataset: Dataset
    world: World
    out: Path
    identity: dict[str, Any]
    say: Callable[[str], None]
    progress: Progress
    validation: Validation | None = None

    def open_log(self, *, step: int) -> RunLog:
        """Return where records after a step go; nowhere on all ranks but one."""
        targets = log_targets(self.out, progress=self.progress, step=step) if self.world.is_chief else {}
        return RunLog(targets, say=self.say)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: updates done.
        num_steps: updates of the whole run.
        signal: the signal that stopped it, 0 when none did.
        record: the last record logged, empty when none was.
    """

    step: int
    num_steps: int
    signal: int = 0
    record: dict[str, float]


def train(job: Job, *, resume: Checkpoint | None) -> Outcome:
    """Train to the end of the recipe, or until a signal asks to stop; both leave a checkpoint.

    Raises:
        DivergenceError: a loss or gradient is not finite, on any rank.
        VfmError: the data, the disk or the batch size stand in the way.
    """
    if resume is not None:
        fill(job.method, resume.model())  # before any rank holds a part of them alone
    loop = _Loop(job)
    if resume is not None:
        loop.restore(resume)
    if loop.step >= loop.num_steps and not loop.standing.is_due:
        return Outcome(step=loop.step, num_steps=loop.num_steps, record={})
    loop.announce()
    job.progress.start(loop.num_steps, "updates", done=loop.step)
    try:
        with catch_interrupts() as stop, closing(job.open_log(step=loop.step)) as log:
            return loop.run(stop=stop, log=log)
    finally:
        job.progress.finish()


class _Loop:
    """The state of a run: weights, moments, step, place in the stream, sums since the last log line."""

    def __init__(self, job: Job) -> None:
        self.job = job
        config = job.recipe.train
        num_samples = epoch_len(job.dataset.shares, batch_size=config.batch_size)
        self.num_steps = num_updates(config, num_samples=num_samples)
        self.epoch_samples = epoch_samples(config, num_samples=num_samples)
        self.optim = job.recipe.optim.for_run(
            batch_size=config.batch_size,
            updates_per_epoch=updates_per_epoch(config, num_samples=num_samples),
        )
        self.step = 0
        self.place = Place(seed=job.recipe.train.seed, epoch=0, samples_seen=0)
        self.updater = Updater(job.method, optim=self.optim, config=config, world=job.world)
        self.meter = Meter()
        self.cost: Cost | None = None
        self.standing = Standing()
        self.spent_s = 0.0
        self.record: dict[str, float] = {}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take up every number of ``checkpoint``, and every tensor but the weights, which are there."""
        state = checkpoint.state
        load_moments(self.updater.optimizer, checkpoint.optim())
        if self.updater.average is not None:
            self.updater.average.fill(checkpoint.average())
        self.step = checkpoint.step
        self.place = Place.from_dict(state["place"])
        self.meter = Meter.restored(state["meter"], device=self.job.world.device)
        self.standing = Standing.restored(state.get("validation", {}))
        self.spent_s = float(state["elapsed_s"])
        if self.job.world.is_chief:
            discard_after(self.job.out / BEST_FOLDER, step=self.step)

    def announce(self) -> None:
        """Say what is about to be trained, and what of it is hardly meant."""
        job = self.job
        schedule = Schedule(num_updates=self.num_steps, epoch_samples=self.epoch_samples, optim=self.optim)
        log = job.out / LOG_NAME
        job.say(opening(job.recipe, method=job.method, schedule=schedule, world=job.world, log=log))
        for told in doubts(job.recipe, dataset=job.dataset, schedule=schedule):
            job.say(told)

    def run(self, *, stop: Interrupt, log: RunLog) -> Outcome:
        """Do the updates that are left."""
        job = self.job
        config = job.recipe.train
        stream = BatchStream(dataset=job.dataset, prepare=job.method.prepare, config=config, world=job.world)
        start_s = time.perf_counter() - self.spent_s
        number = self.settle(0, stop=stop, log=log) if self.standing.is_due else 0
        for update in [] if number else stream.updates(self.place, num_updates=self.num_steps - self.step):
            if self.cost is None and self.num_steps - self.step >= _WORTH_MEASURING:
                update = self.appraise(update)  # noqa: PLW2901 (the same update)
            number = self.train_step(update, stop=stop)
            self.spent_s = time.perf_counter() - start_s
            job.progress.advance(ok=1)
            number = self.settle(number, stop=stop, log=log)
            if number:
                break
        return Outcome(step=self.step, num_steps=self.num_steps, signal=number, record=self.record)

    def appraise(self, update: StepInput) -> StepInput:
        """Measure what updates cost, say it, and return the update that is still to be done."""
        begun_s = time.perf_counter()
        config = self.job.recipe.train
        first = next(update.micro_batches)
        self.cost = measure_cost(self.updater, update, first, seed=config.seed, batch_size=config.batch_size)
        self.job.say(self.cost.told())
        self.meter.leave_out(time.perf_counter() - begun_s)
        return replace(update, micro_batches=chain([first], update.micro_batches))

    def settle(self, number: int, *, stop: Interrupt, log: RunLog) -> int:
        """Measure, log and save what is due after an update; return the signal that any rank has caught."""
        config, validation = self.job.recipe.train, self.job.validation
        is_last = self.step == self.num_steps
        found: dict[str, float] = {}
        self.standing.is_due = False
        if validation is not None and (is_last or self.step % validation.every == 0):
            found = {} if number else self.measure(validation, stop=stop)
            if not found:  # broken off: it is the first thing that the run does when it goes on
                self.standing.is_due = True
                (caught,) = largest([number or stop.number], world=self.job.world)
                self.save(must_succeed=True)
                return int(caught)
        if is_last or found or self.step % config.log_every == 0:
            self.log_record(log, found)
        if found:
            self.judge(found)
        if is_last or number or self.step % config.checkpoint_every == 0:
            self.save(must_succeed=is_last or number > 0)
        return number

    def measure(self, validation: Validation, *, stop: Interrupt) -> dict[str, float]:
        """Return the figures of held-out samples, none where any rank is asked to stop meanwhile."""
        begun_s = time.perf_counter()
        self.job.method.eval()
        found = validation.measure(lambda: stop.number > 0)
        self.job.method.train()
        self.meter.leave_out(time.perf_counter() - begun_s)
        return found or {}

    def judge(self, found: dict[str, float]) -> None:
        """Keep the weights whose figures are the best so far; say where samples are learned by heart."""
        is_best, told = self.standing.add(found, step=self.step)
        if is_best:
            self.save(folder=self.job.out / BEST_FOLDER, keep=1, must_succeed=False)
        if told:
            self.job.say(told)

    def train_step(self, update: StepInput, *, stop: Interrupt) -> int:
        """Do one update and return the signal that any rank has caught, 0 for none."""
        job, config = self.job, self.job.recipe.train
        seed = step_seed(config.seed, step=self.step, rank=job.world.rank)
        gradients = self.updater.gradients(update, seed=seed)
        # The only wait for the device in an update; nothing has touched a weight yet.
        losses, norm = gradients.values()
        is_bad = not all(map(math.isfinite, [*losses, norm]))
        any_bad, number = largest([is_bad, stop.number], world=job.world)
        if any_bad:
            raise divergence(
                losses, parts=gradients.indices, step=self.step + 1, dataset=job.dataset, world=job.world
            )
        self.updater.apply(lr=lr_at(self.step, num_updates=self.num_steps, config=self.optim))
        self.step, self.place = self.step + 1, update.place
        for scalars, share in gradients.scalars():
            self.meter.add(scalars, share=share)
        self.meter.count(num_samples=config.batch_size, wait_s=gradients.waiting.seconds())
        return int(number)

    def log_record(self, log: RunLog, found: dict[str, float]) -> None:
        """Log the means since the last line, and what was found of held-out samples."""
        means = self.meter.means(world=self.job.world)
        self.standing.learn(means["loss"], num_updates=self.meter.num_updates)
        self.record = {
            "step": self.step,
            "epoch": self.place.epoch + self.place.samples_seen / self.epoch_samples,
            **means,
            **found,
            "lr": lr_at(self.step - 1, num_updates=self.num_steps, config=self.optim),
            **self.pace(),
            "elapsed_s": self.spent_s,
        }
        log.write(self.record)
        self.meter.clear()

    def pace(self) -> dict[str, float]:
        """Return how fast it goes, in samples, tokens and the share of what the device can do."""
        speed = self.meter.speed(updates_left=self.num_steps - self.step)
        num_tokens = self.job.method.num_tokens
        if num_tokens is not None:
            speed["tokens_per_s"] = num_tokens * speed["samples_per_s"]
        if self.cost is not None:
            speed["mfu"] = self.cost.utilisation(speed["samples_per_s"])
        return speed

    def save(self, *, must_succeed: bool, folder: Path | None = None, keep: int | None = None) -> None:
        """Write a checkpoint and remove the oldest; where ``must_succeed`` is off, a failure is only told."""
        job = self.job
        state = {
            **job.identity,
            "step": self.step,
            "num_steps": self.num_steps,
            "place": self.place.to_dict(),
            "meter": self.meter.state(world=job.world),
            "elapsed_s": self.spent_s,
            "validation": self.standing.state(),
        }
        tensors = self.updater.tensors()
        if not job.world.is_chief:
            return
        folder = folder or job.out / CHECKPOINTS_FOLDER
        try:
            save(folder, state=state, model=tensors.model, optim=tensors.optim, average=tensors.average)
            prune(folder, keep=keep or job.recipe.train.keep_checkpoints)
        except OSError as error:
            if must_succeed:
                raise
            job.say(
                f"The checkpoint of step {self.step} could not be written ({error.strerror or error}); "
                "training continues with the one before."
            )
