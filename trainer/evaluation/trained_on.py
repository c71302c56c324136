"""Whether what is counted was learned from: accuracy on such samples says nothing of others."""

from collections.abc import Callable
from pathlib import Path

from vfm.shards.reading.dataset import Dataset
from vfm.shards.splits import ALL, TRAIN
from vfm.shards.wording import counted
from vfm.trainer.engine.checkpoint import Checkpoint
from vfm.trainer.runs.initial_weights import InitialWeights


def count_trained_on(
    start: InitialWeights, dataset: Dataset, *, path: Path, split: str, say: Callable[[str], None]
) -> int | None:
    """Return how many samples of a dataset a run has learned from, aloud where there are any.

    Those that the weights it began with had learned from are not known.

    Args:
        start: the weights.
        dataset: the samples counted, with the columns that the weights see.
        path: of what is evaluated.
        split: the split that they are, or ``all``.
        say: takes a sentence; also where a file may have learned from them.

    Returns:
        None where nobody knows: a file does not tell, and another dataset may hold the same videos.
    """
    if start.checkpoint is None:
        if split in (ALL, TRAIN):
            say(
                f"{path} does not tell which samples it has learned from: where those counted are among "
                "them, it may reach far less on others."
            )
        return None
    if not _is_same(start.checkpoint, dataset):
        return None
    learned = start.recipe.data.split
    num_trained = len(dataset) if learned is None else int((dataset.splits == learned).sum())
    if num_trained:
        labels = ", without their labels" if start.recipe.task is None else ""
        num_samples = counted(len(dataset), "sample")
        say(
            f"{path} has learned from {num_trained} of the {num_samples} counted{labels}: "
            "what it reaches on samples that it has not seen may be far less."
        )
    return num_trained


def _is_same(checkpoint: Checkpoint, dataset: Dataset) -> bool:
    """Return whether a run learned from the very shards of a dataset, alone or among others."""
    columns = {name: column["tars_sha256"] for name, column in checkpoint.state["columns"].items()}
    parts = checkpoint.state.get("parts", [columns])
    return any(
        part[name] == dataset.tars_sha256(name) for part in parts for name in dataset.columns if name in part
    )
