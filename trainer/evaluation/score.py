"""Class scores of samples, by a classifier's own head or by neighbours in feature space."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.stream import num_workers
from vfm.trainer.distributed import World
from vfm.trainer.engine.inference import Inference
from vfm.trainer.method import load_exactly
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.runs.finetune import build_task
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.neighbours import neighbour_scores
from vfm.trainer.tasks.classify.classifier import Classify, merge_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What is evaluated: weights, and how many clips of each sample they get to see.

    Attributes:
        recipe: what they were trained by, its columns resolved for the dataset at hand.
        state: the weights.
        num_clips: clips of each sample, spread over it.
        num_crops: squares of each clip.
        inference: goes through samples.
    """

    recipe: Recipe
    state: Mapping[str, Tensor]
    num_clips: int
    num_crops: int
    inference: Inference


def score_views(evaluated: Evaluated, dataset: Dataset) -> Tensor:
    """Return the mean over views of the softmax of a classifier's head: float32 [N, classes].

    Every rank must call this, and gets the scores of all samples.
    """
    task = build_task(evaluated.recipe, dataset)
    assert isinstance(task, Classify), "a probe has several heads, see score_probe"
    load_exactly(task, evaluated.state)
    task.to(evaluated.inference.world.device).eval()

    def score(batch: dict[str, Tensor]) -> Tensor:
        return merge_views(task.view_logits(batch))

    reader = task.spread(num_clips=evaluated.num_clips, num_crops=evaluated.num_crops)
    return all_rows(evaluated.inference.rows(dataset, reader, compute=score))


def score_neighbours(evaluated: Evaluated, dataset: Dataset, *, bank: Dataset) -> Tensor:
    """Return the votes of the nearest samples of a labelled bank: float32 [N, classes].

    Every rank must call this, and gets the votes of all samples.
    """
    return all_rows(
        neighbour_scores(
            recipe=evaluated.recipe,
            state=evaluated.state,
            dataset=dataset,
            bank=bank,
            views=(evaluated.num_clips, evaluated.num_crops),
            how=evaluated.inference,
        )
    )


def inference_of(world: World, *, options: RunOptions) -> Inference:
    """Return how the samples of an evaluation are gone through."""
    workers = num_workers(options.num_workers, device=world.device)
    return Inference(world=world, num_workers=workers, progress=options.progress)


def all_rows(rows: Tensor | None) -> Tensor:
    """Return rows that nobody can have broken off."""
    assert rows is not None, "nobody asks an evaluation to stop"
    return rows
