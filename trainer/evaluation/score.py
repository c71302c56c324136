"""Class scores of samples, by a finetuned run's own head or by neighbours in feature space."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vfm.shards.errors import VfmError
from vfm.shards.order import eval_share, sample_rng
from vfm.shards.progress import Progress
from vfm.shards.reading.dataset import Dataset
from vfm.trainer import methods
from vfm.trainer.data.clip_sampling import clip_sampling
from vfm.trainer.data.stream import stack
from vfm.trainer.distributed import World, gather
from vfm.trainer.engine.checkpoint import fill
from vfm.trainer.evaluation.knn import knn_scores
from vfm.trainer.method import Backbone, SampleReader
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.runs.finetune import build_task
from vfm.trainer.tasks.classify.classifier import merge_views
from vfm.trainer.tasks.classify.clips import LABEL, RandomClip, SpreadClips

_BATCH_SIZE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedRun:
    """What is evaluated: weights, and how many clips of each sample they get to see.

    Attributes:
        recipe: what the run was trained by, its columns resolved for the dataset at hand.
        state: the run's weights.
        num_clips: clips of each sample, spread over it.
        num_crops: squares of each clip.
        world: this process among those that share the samples.
        progress: receives this rank's progress.
    """

    recipe: Recipe
    state: Mapping[str, Tensor]
    num_clips: int
    num_crops: int
    world: World
    progress: Progress


def score_views(evaluated: EvaluatedRun, dataset: Dataset) -> Tensor:
    """Return the mean over views of the softmax of a finetuned run's head: float32 [N, classes].

    Every rank must call this, and gets the scores of all samples.
    """
    task = build_task(evaluated.recipe, dataset)
    fill(task, evaluated.state)
    device = evaluated.world.device
    task.to(device).eval()

    def score(batch: dict[str, Tensor]) -> Tensor:
        return merge_views(task.view_logits(batch))

    reader = task.spread(num_clips=evaluated.num_clips, num_crops=evaluated.num_crops)
    return _shared(dataset, reader, compute=score, evaluated=evaluated)


def score_neighbours(evaluated: EvaluatedRun, dataset: Dataset, *, bank: Dataset) -> Tensor:
    """Return the votes of the nearest samples of a labelled bank: float32 [N, classes].

    Every rank must call this, and gets the votes of all samples.
    """
    package = methods.load(evaluated.recipe.method)
    backbone = package.build_backbone(evaluated.recipe, dataset)
    backbone.load_pretrained(evaluated.state)
    backbone.to(evaluated.world.device).eval()
    clip = RandomClip(
        reader=package.build_clip_reader(evaluated.recipe, dataset),
        sampling=clip_sampling(evaluated.recipe.data),
    )
    clips = SpreadClips(random_clip=clip, num_clips=evaluated.num_clips, num_crops=evaluated.num_crops)

    def compute(batch: dict[str, Tensor]) -> Tensor:
        return _features(backbone, batch)

    query, known = (_shared(part, clips, compute=compute, evaluated=evaluated) for part in (dataset, bank))
    return knn_scores(
        query,
        bank_ND=known,
        labels_N=torch.from_numpy(bank.class_indices),
        num_classes=len(dataset.classes),
    )


def _shared(
    dataset: Dataset,
    reader: SampleReader,
    *,
    compute: Callable[[dict[str, Tensor]], Tensor],
    evaluated: EvaluatedRun,
) -> Tensor:
    """Return what is computed of all samples, [N, ...] on the CPU; each rank does its share of them.

    Raises:
        VfmError: that of the first rank that met one, on every rank.
    """
    world, progress = evaluated.world, evaluated.progress
    mine = dataset.select(eval_share(len(dataset), rank=world.rank, world_size=world.size))
    rows: list[Tensor] = []
    fault: VfmError | None = None
    progress.start(len(mine), "samples")
    try:
        with torch.inference_mode():
            for batch in _read(mine, reader, device=world.device):
                rows.append(compute(batch).cpu())
                progress.advance(ok=len(rows[-1]))
    except VfmError as error:
        fault = error
    finally:
        progress.finish()
    everyone = gather((rows, fault), world=world)
    for _, met in everyone:
        if met is not None:
            raise met
    return torch.cat([row for rows, _ in everyone for row in rows])


def _read(dataset: Dataset, reader: SampleReader, *, device: torch.device) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(dataset), _BATCH_SIZE):
        indices = range(start, min(start + _BATCH_SIZE, len(dataset)))
        # Evaluation draws nothing, but a reader is always given a generator.
        rngs = (sample_rng(seed=0, epoch=0, key=dataset.keys[i]) for i in indices)
        batch = stack([reader(dataset, i, rng) for i, rng in zip(indices, rngs, strict=True)])
        yield {name: array.to(device) for name, array in batch.items()}


def _features(backbone: Backbone, batch: dict[str, Tensor]) -> Tensor:
    """Return the mean over views of each sample's vectors, float32 [B, D]."""
    views = {name: array for name, array in batch.items() if name != LABEL}
    num_samples, num_views = next(iter(views.values())).shape[:2]
    flat = backbone.features({name: array.flatten(0, 1) for name, array in views.items()})
    return flat.float().view(num_samples, num_views, -1).mean(1)
