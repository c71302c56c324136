"""The training loop, which knows no method: ``losses = method(batch)``, and ``loss`` goes backwards."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vfm.shards.errors import VfmError
from vfm.shards.io.run_log import LOG_NAME, JsonLines, LogSink, RunLog
from vfm.shards.order import Place
from vfm.shards.progress import Progress
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import listed
from vfm.trainer.data.stream import BatchStream, StepInput, epoch_samples, step_seed
from vfm.trainer.distributed import World, gather, largest, unsynced, wrap
from vfm.trainer.engine.checkpoint import Checkpoint, fill, prune, save
from vfm.trainer.engine.log import EVENTS_FOLDER, Events, Figures
from vfm.trainer.engine.meter import Meter
from vfm.trainer.engine.opening import Schedule, doubts, opening
from vfm.trainer.engine.optim import (
    build_optimizer,
    load_moments,
    lr_at,
    moments,
    num_updates,
    set_lr,
    updates_per_epoch,
)
from vfm.trainer.engine.precision import autocast
from vfm.trainer.interrupts import Interrupt, catch_interrupts
from vfm.trainer.method import Method
from vfm.trainer.recipes.recipe import Recipe

CHECKPOINTS_FOLDER = "checkpoints"
MAX_NAMED_KEYS = 8


class DivergenceError(VfmError):
    """A loss or a gradient is not finite: the run stopped before it could spoil a weight (exit 3)."""

    exit_code: ClassVar[int] = 3


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
    """

    recipe: Recipe
    method: Method
    dataset: Dataset
    world: World
    out: Path
    identity: dict[str, Any]
    say: Callable[[str], None]
    progress: Progress


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
    loop = _Loop(job)
    if resume is not None:
        loop.restore(resume)
    if loop.step >= loop.num_steps:
        return Outcome(step=loop.step, num_steps=loop.num_steps, record={})
    loop.announce()
    job.progress.start(loop.num_steps, "updates", done=loop.step)
    try:
        with catch_interrupts() as stop, closing(_open_log(job, step=loop.step)) as log:
            return loop.run(stop=stop, log=log)
    finally:
        job.progress.finish()


class _Loop:
    """The state of a run: weights, moments, step, place in the stream, sums since the last log line."""

    def __init__(self, job: Job) -> None:
        self.job = job
        config, num_samples = job.recipe.train, len(job.dataset)
        self.num_steps = num_updates(config, num_samples=num_samples)
        self.epoch_samples = epoch_samples(config, num_samples=num_samples)
        self.optim = job.recipe.optim.for_run(
            batch_size=config.batch_size,
            updates_per_epoch=updates_per_epoch(config, num_samples=num_samples),
        )
        self.step = 0
        self.place = Place(seed=job.recipe.train.seed, epoch=0, samples_seen=0)
        self.wrapped = wrap(job.method.to(job.world.device).train(), world=job.world)
        self.optimizer = build_optimizer(job.method, config=self.optim)
        self.meter = Meter()
        self.spent_s = 0.0
        self.record: dict[str, float] = {}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take up every tensor and number of ``checkpoint``."""
        state = checkpoint.state
        fill(self.job.method, checkpoint.model())
        load_moments(self.optimizer, checkpoint.optim())
        self.step = checkpoint.step
        self.place = Place.from_dict(state["place"])
        self.meter = Meter.restored(state["meter"], device=self.job.world.device)
        self.spent_s = float(state["elapsed_s"])

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
        job, config = self.job, self.job.recipe.train
        stream = BatchStream(dataset=job.dataset, prepare=job.method.prepare, config=config, world=job.world)
        start_s = time.perf_counter() - self.spent_s
        number = 0
        for update in stream.updates(self.place, num_updates=self.num_steps - self.step):
            number = self.train_step(update, stop=stop)
            self.spent_s = time.perf_counter() - start_s
            job.progress.advance(ok=1)
            is_last = self.step == self.num_steps
            if is_last or self.step % config.log_every == 0:
                self.log_record(log)
            if is_last or number or self.step % config.checkpoint_every == 0:
                self.save(must_succeed=is_last or number > 0)
            if number:
                break
        return Outcome(step=self.step, num_steps=self.num_steps, signal=number, record=self.record)

    def train_step(self, update: StepInput, *, stop: Interrupt) -> int:
        """Do one update and return the signal that any rank has caught, 0 for none."""
        job = self.job
        torch.manual_seed(step_seed(job.recipe.train.seed, step=self.step, rank=job.world.rank))
        set_lr(self.optimizer, lr_at(self.step, num_updates=self.num_steps, config=self.optim))
        losses, parts, wait_s = self.accumulate(update)
        clip_norm = self.optim.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(job.method.parameters(), clip_norm or math.inf)
        # The only wait for the device in an update; nothing has touched a weight yet.
        *loss_values, norm_value = torch.stack([*losses, norm]).tolist()
        is_bad = not all(map(math.isfinite, [*loss_values, norm_value]))
        any_bad, number = largest([is_bad, stop.number], world=job.world)
        if any_bad:
            raise self.divergence(loss_values, norm=norm_value, parts=parts)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step, self.place = self.step + 1, update.place
        self.meter.add({"grad_norm": norm}, share=1.0)
        self.meter.count(num_samples=job.recipe.train.batch_size, wait_s=wait_s)
        return int(number)

    def accumulate(self, update: StepInput) -> tuple[list[Tensor], list[list[int]], float]:
        """Add up the gradients of all micro-batches, each weighed by its share of the samples.

        Returns:
            The loss of each micro-batch, its samples, and the seconds spent waiting for data.
        """
        job, device = self.job, self.job.world.device
        losses: list[Tensor] = []
        parts: list[list[int]] = []
        wait_s = 0.0
        for i, size in enumerate(update.sizes):
            start_s = time.perf_counter()
            micro_batch = next(update.micro_batches)
            wait_s += time.perf_counter() - start_s
            batch = {name: array.to(device, non_blocking=True) for name, array in micro_batch.batch.items()}
            share = size / sum(update.sizes)
            is_last = i == len(update.sizes) - 1
            with nullcontext() if is_last else unsynced(self.wrapped):
                with autocast(job.recipe.train.precision, device=device):
                    found: dict[str, Tensor] = self.wrapped(batch)
                (found["loss"] * share).backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            self.meter.add(found, share=share)
            losses.append(found["loss"].detach())
            parts.append(micro_batch.indices)
        return losses, parts, wait_s

    def divergence(
        self, losses: Sequence[float], *, norm: float, parts: Sequence[Sequence[int]]
    ) -> DivergenceError:
        """Return the error that names the step and the samples, of all ranks, that it came from."""
        bad = [part for loss, part in zip(losses, parts, strict=True) if not math.isfinite(loss)]
        mine = [self.job.dataset.keys[i] for part in bad for i in part]
        everyone = gather((mine, [self.job.dataset.keys[i] for p in parts for i in p]), world=self.job.world)
        keys = [key for named, _ in everyone for key in named]
        what = "loss" if keys else "gradient"
        # With finite losses any sample of the update may have caused it.
        keys = keys or [key for _, read in everyone for key in read]
        return DivergenceError(
            f"The {what} of step {self.step + 1} is not finite, with samples "
            f"{listed(keys, limit=MAX_NAMED_KEYS)}: no weight was updated; look at them with `vfm inspect`, "
            "or lower optim.lr and train into another --out."
        )

    def log_record(self, log: RunLog) -> None:
        """Log the means since the last line."""
        self.record = {
            "step": self.step,
            "epoch": self.place.epoch + self.place.samples_seen / self.epoch_samples,
            **self.meter.means(world=self.job.world),
            "lr": lr_at(self.step - 1, num_updates=self.num_steps, config=self.optim),
            **self.meter.speed(updates_left=self.num_steps - self.step),
            "elapsed_s": self.spent_s,
        }
        log.write(self.record)
        self.meter.clear()

    def save(self, *, must_succeed: bool) -> None:
        """Write a checkpoint and remove the oldest; where ``must_succeed`` is off, a failure is only told."""
        job = self.job
        state = {
            **job.identity,
            "step": self.step,
            "num_steps": self.num_steps,
            "place": self.place.to_dict(),
            "meter": self.meter.state(world=job.world),
            "elapsed_s": self.spent_s,
        }
        if not job.world.is_chief:
            return
        folder = job.out / CHECKPOINTS_FOLDER
        try:
            save(folder, state=state, model=job.method.state_dict(), optim=moments(self.optimizer))
            prune(folder, keep=job.recipe.train.keep_checkpoints)
        except OSError as error:
            if must_succeed:
                raise
            job.say(
                f"The checkpoint of step {self.step} could not be written ({error.strerror or error}); "
                "training continues with the one before."
            )


def _open_log(job: Job, *, step: int) -> RunLog:
    if not job.world.is_chief:
        return RunLog({}, say=job.say)
    targets: dict[str, Callable[[], LogSink]] = {
        LOG_NAME: lambda: JsonLines(job.out / LOG_NAME, after_step=step),
        EVENTS_FOLDER: lambda: Events(job.out / EVENTS_FOLDER, after_step=step),
        "the screen": lambda: Figures(job.progress),
    }
    return RunLog(targets, say=job.say)
