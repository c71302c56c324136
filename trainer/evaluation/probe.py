"""A probe of an encoder: trained in a folder of its own, counted with the learning rate it chose itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.splits import TRAIN
from vfm.shards.wording import counted
from vfm.trainer.data.labels import with_labels
from vfm.trainer.distributed import World, gather
from vfm.trainer.engine.checkpoint import Checkpoint, fill, newest
from vfm.trainer.engine.loop import CHECKPOINTS_FOLDER, Outcome
from vfm.trainer.evaluation.result import EvaluateOptions, ProbeResult, RateResult
from vfm.trainer.evaluation.score import Evaluated, all_rows
from vfm.trainer.evaluation.views import seen_as
from vfm.trainer.recipes.columns import resolve_columns
from vfm.trainer.recipes.probe import probe_batch_size
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.runs.finetune import build_task, finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint, recipe_of, silent
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.tasks.linear.probe import Probe


class ProbeStoppedError(Exception):
    """A signal stopped the training of a probe.

    Attributes:
        outcome: how far it came.
        folder: where it goes on.
    """

    def __init__(self, outcome: Outcome, *, folder: Path) -> None:
        super().__init__(f"the training in {folder} was stopped by signal {outcome.signal}")
        self.outcome, self.folder = outcome, folder


def probe_folder(path: Path, *, how: EvaluateOptions) -> Path:
    """Return the folder in which a probe is trained: inside a run's or a folder of weights, beside a file."""
    name = f"{how.protocol}-ema" if how.ema else how.protocol
    return path.with_name(f"{path.stem}.{name}") if path.is_file() else path / name


def train_probe(  # noqa: PLR0913 (keyword-only)
    start: InitialWeights,
    *,
    folder: Path,
    how: EvaluateOptions,
    data: Path,
    options: RunOptions,
    world: World,
) -> Checkpoint:
    """Train a probe in a run's folder of its own, to the end.

    One that was stopped goes on; one that is finished is used again, aloud.

    Args:
        start: whose encoder is frozen.
        folder: see `probe_folder`.
        how: the protocol, which is the probe's name.
        data: the dataset's folder, from whose split ``train`` the probe learns.
        options: device, fallback, and who listens.
        world: the ranks that train it.

    Returns:
        Its last checkpoint.

    Raises:
        UsageError: see `finetune`; or the folder holds a probe of other weights or other samples.
        ProbeStoppedError: a signal stopped it.
    """
    encoder = seen_as(start.recipe, how.views)
    settings = [f"data.split={TRAIN}"]
    if options.num_workers is not None:
        settings.append(f"train.num_workers={options.num_workers}")
    recipe = finetune_recipe(how.protocol, start=encoder, settings=settings)
    recipe = _portioned(recipe, data=data, folder=folder, world=world, options=options)
    options = replace(options, elsewhere=f"move {folder} away to train another")
    outcome = finetune(recipe, start=start, data=data, out=folder, options=options)
    if outcome.signal:
        raise ProbeStoppedError(outcome, folder=folder)
    if not outcome.record:
        options.say(f"The probe in {folder} is trained to the end, step {outcome.step}: it is used again.")
    gather(None, world=world)  # rank 0 has written its last checkpoint before any rank reads it
    return newest_checkpoint(folder, options=options)


def _portioned(recipe: Recipe, *, data: Path, folder: Path, world: World, options: RunOptions) -> Recipe:
    """Return the recipe with the batches and the precision that a run in the folder began with, if one did.

    A probe is used again where other ranks or another device would begin a new one otherwise.
    """
    columns = resolve_columns(recipe, read_manifest(data)).data.columns
    known = with_labels(open_dataset(data, columns=columns, select_split=TRAIN), say=silent)
    size = probe_batch_size(len(known), world_size=world.size)
    precision = recipe.train.precision
    found = newest(folder / CHECKPOINTS_FOLDER, fall_back=options.fall_back, say=silent)
    if found is not None:
        begun = recipe_of(found).train
        precision = begun.precision
        size = begun.batch_size if begun.batch_size <= len(known) else size
    return replace(recipe, train=replace(recipe.train, batch_size=size, precision=precision))


def learned_samples(checkpoint: Checkpoint, *, data: Path) -> Dataset:
    """Return the samples that a probe has learned from.

    Raises:
        UsageError: they are not those of this dataset.
    """
    recipe = recipe_of(checkpoint)
    dataset = open_dataset(data, columns=recipe.data.columns, select_split=recipe.data.split)
    dataset = with_labels(dataset, say=silent)
    if dataset.fingerprint != checkpoint.state["dataset"]:
        raise UsageError(
            f"{checkpoint.path} is a probe, whose learning rate is chosen by samples that it learned beside, "
            f"and {data} does not hold the same ones: evaluate it on the dataset it was trained on."
        )
    return dataset


def score_probe(
    evaluated: Evaluated, dataset: Dataset, *, taught: Dataset, step: int
) -> tuple[Tensor, ProbeResult]:
    """Return the chosen head's mean softmax over views, float32 [N, classes], and how it was chosen.

    The choice is made by the fifth of what was learned from that half of the heads have not seen, one clip of
    each sample: by accuracy, and between equals by the mean logarithm of the right class's probability.
    Nothing of ``dataset`` takes part. Every rank must call this.

    Args:
        evaluated: the probe.
        dataset: samples to classify.
        taught: the samples it has learned from.
        step: updates it has seen.
    """
    task = build_task(evaluated.recipe, taught)
    assert isinstance(task, Probe), "another task has one head, see score_views"
    fill(task, evaluated.state)
    task.to(evaluated.inference.world.device).eval()
    left_out = taught.select(np.flatnonzero(task.prepare.left_out))
    compute = _scores_of(task, partial=True)
    found = all_rows(evaluated.inference.rows(left_out, task.held_out_reader, compute=compute))
    chosen, left_out_accuracies = _choose(found, torch.from_numpy(left_out.class_indices))
    reader = task.spread(num_clips=evaluated.num_clips, num_crops=evaluated.num_crops)
    every = all_rows(evaluated.inference.rows(dataset, reader, compute=_scores_of(task, partial=False)))
    accuracies = _accuracies(every, torch.from_numpy(dataset.class_indices))
    rates = zip(task.rates, left_out_accuracies, accuracies, strict=True)
    result = ProbeResult(
        rate=task.rates[chosen],
        step=step,
        num_left_out=len(left_out),
        rates=tuple(
            RateResult(rate=r, left_out_accuracy=before, accuracy=after) for r, before, after in rates
        ),
    )
    return every[:, chosen].contiguous(), result


def told_of_choice(found: ProbeResult, *, split: str) -> str:
    """Return which learning rate is counted, and what the others would have reached."""
    (chosen,) = (result for result in found.rates if result.rate == found.rate)
    accuracies = [100 * result.accuracy for result in found.rates]
    told = (
        f"The probe's learning rate is {found.rate:g}, which named {100 * chosen.left_out_accuracy:.1f} % of "
        f"the {counted(found.num_left_out, 'training sample')} left out to choose it by"
    )
    if len(accuracies) == 1:
        return f"{told}; it has no other."
    return (
        f"{told}; on {split} the {len(accuracies)} rates reach {min(accuracies):.1f} to "
        f"{max(accuracies):.1f} %."
    )


def _scores_of(task: Probe, *, partial: bool) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda batch: task.view_scores(batch, partial=partial)


def _choose(scores_NRC: Tensor, labels_N: Tensor) -> tuple[int, list[float]]:
    """Return which of R rates did best, and the accuracy of each."""
    accuracies = _accuracies(scores_NRC, labels_N)
    right = scores_NRC.double().gather(2, labels_N[:, None, None].expand(-1, scores_NRC.shape[1], 1))
    likelihoods = right[..., 0].clamp(min=torch.finfo(torch.float32).tiny).log().mean(0).tolist()
    order = list(zip(accuracies, likelihoods, strict=True))
    return max(range(len(order)), key=order.__getitem__), accuracies


def _accuracies(scores_NRC: Tensor, labels_N: Tensor) -> list[float]:
    found: list[float] = (scores_NRC.argmax(2) == labels_N[:, None]).double().mean(0).tolist()
    return found
