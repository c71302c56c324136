"""What an encoder says of the samples of a dataset: one vector each."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vfm.shards.progress import NoProgress, Progress
from vfm.shards.reading.dataset import Dataset
from vfm.trainer import methods
from vfm.trainer.distributed import World
from vfm.trainer.engine.inference import Inference
from vfm.trainer.export.model import VideoModel
from vfm.trainer.recipes.columns import resolve_columns, with_columns
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.runs.folder import check_columns
from vfm.trainer.runs.neighbours import mean_features, views_of


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedOptions:
    """How samples are looked at.

    Attributes:
        num_clips: of each sample, spread over it as in tests, whose vectors are averaged; where clips are
            windows, a single one is the beginning of the video.
        num_crops: squares of each clip, averaged too; one lies in the middle.
        batch_size: samples at once.
        num_workers: processes that read ahead.
        accept_data: whether to go on, aloud, with frames that are not as the model needs them.
        say: takes one sentence for people.
        progress: receives progress updates.
    """

    num_clips: int = 5
    num_crops: int = 1
    batch_size: int = 16
    num_workers: int = 0
    accept_data: bool = False
    say: Callable[[str], None]
    progress: Progress = field(default_factory=NoProgress)


def features_of(model: VideoModel, dataset: Dataset, *, how: EmbedOptions) -> npt.NDArray[np.float32]:
    """Return one vector for each sample, in order: float32 [N, D], of a classifier those before its layer.

    The columns that the model reads are opened, whatever the dataset was opened with. The model computes
    where it is, in evaluation mode, and is left as it was.

    Raises:
        UsageError: the dataset lacks a column that the model reads, has frames that are not as it needs
            them, or codes of another codebook.
        DamageError: stored bytes are not what was written.
    """
    read = methods.load(model.recipe.method).clip_columns(model.recipe.data.columns)
    wanted = with_columns(model.recipe, read)
    recipe = resolve_columns(wanted, dataset.manifest)
    dataset = dataset.with_columns(recipe.data.columns)
    origin = model.origin
    if origin.columns and origin.path is not None:
        check_columns(origin.columns, path=origin.path, recipe=recipe, dataset=dataset)
    recipe, _ = fit_to_data(recipe, dataset, accept=how.accept_data, say=how.say)
    clips = views_of(recipe, dataset, num_clips=how.num_clips, num_crops=how.num_crops)
    device = next(model.parameters()).device
    inference = Inference(
        world=World(device=device),
        progress=how.progress,
        batch_size=how.batch_size,
        num_workers=how.num_workers,
    )
    was_training = model.training
    model.eval()
    try:
        rows = inference.rows(dataset, clips, compute=lambda batch: mean_features(model.backbone, batch))
    finally:
        model.train(was_training)
    assert rows is not None, "nobody asks to stop"
    return rows.numpy()
