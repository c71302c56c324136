"""Vectors of videos and of texts, and how well these fit when all are looked at together."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.distributed import World, gather
from vfm.trainer.engine.inference import Inference
from vfm.trainer.evaluation.score import all_rows
from vfm.trainer.tasks.classify.clips import LABEL, SpreadClips
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.video_text.model import MatchingModel, is_text_of

_CHUNK = 2**23  # similarities re-weighted in one step: 64 MiB of float64
_LOWEST = 0.003  # below, shares of cosines that differ by 2 would be 0 in float64, and tie
# Captions that are padded for each other, in the order of the dataset, on however many ranks: where padding
# counts, a caption's vector depends on it.
_TOGETHER = 16


def mean_of_views(vectors_NWD: Tensor) -> Tensor:
    """Return the mean over W views of each of N samples, float32 [N, D].

    Vectors are averaged as they are, not at length 1: a view that the model says more about weighs more.
    """
    return vectors_NWD.float().mean(1)


def video_vectors(
    task: Retrieve, dataset: Dataset, *, views: tuple[int, int], inference: Inference
) -> Tensor:
    """Return the mean over views of each video's vectors, float32 [N, D]; every rank must call this.

    Args:
        task: the encoders.
        dataset: the videos.
        views: clips of each, and squares of each clip.
        inference: goes through them.
    """
    num_clips, num_crops = views

    def compute(batch: dict[str, Tensor]) -> Tensor:
        clips = {name: array for name, array in batch.items() if name != LABEL}
        num_videos = len(next(iter(clips.values())))
        vectors = task.backbone.video_vectors({name: array.flatten(0, 1) for name, array in clips.items()})
        return mean_of_views(vectors.view(num_videos, num_clips * num_crops, -1))

    reader = SpreadClips(random_clip=task.prepare.clips, num_clips=num_clips, num_crops=num_crops)
    return all_rows(inference.rows(dataset, reader, compute=compute))


def text_vectors(task: Retrieve, rows: Sequence[Int64], *, world: World) -> Tensor:
    """Return a vector of each caption, float32 [T, D]; every rank must call this.

    Args:
        task: the encoders.
        rows: the ids of each caption.
        world: this process among those that share them.
    """
    return torch.cat(_of_texts(rows, encode=task.backbone.text_vectors, task=task, world=world))


def text_tokens(task: Retrieve, rows: Sequence[Int64], *, world: World) -> list[Tensor]:
    """Return what a matching head reads of each caption, float32 [L, C] of its L ids; see `text_vectors`."""
    assert isinstance(task.backbone, MatchingModel), "vectors have no tokens"
    portions = _of_texts(rows, encode=task.backbone.text_tokens, task=task, world=world)
    padded = (tokens for portion in portions for tokens in portion)
    return [tokens[: len(row)].clone() for tokens, row in zip(padded, rows, strict=True)]


def _of_texts(
    rows: Sequence[Int64], *, encode: Callable[[Tensor, Tensor], Tensor], task: Retrieve, world: World
) -> list[Tensor]:
    """Return what is made of captions, those that were padded for each other together, on the CPU."""
    portions = [rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER)]
    pad_id, mine = task.prepare.captions.column.pad_id, []
    for portion in portions[world.rank :: world.size]:
        num_ids = torch.tensor([len(row) for row in portion])
        ids = pad_sequence([torch.from_numpy(row) for row in portion], True, pad_id)
        is_text = is_text_of(num_ids, length=ids.shape[1])
        with torch.inference_mode():
            mine.append(encode(ids.to(world.device), is_text.to(world.device)).float().cpu())
    everyone = gather(mine, world=world)
    return [everyone[i % world.size][i // world.size] for i in range(len(portions))]


def dual_softmax(similarity_TV: Tensor, *, temperature: float, over: Literal["texts", "videos"]) -> Tensor:
    """Return similarities re-weighted by how much more each query wants a candidate than others do.

    To rank videos for a text, a similarity is multiplied by its share of the softmax over all texts: a video
    that is like every text comes down. To rank texts for a video, by its share over all videos. So all
    queries are looked at together (it is transductive): the rank of one depends on which others are asked,
    and results are not comparable with those of queries that come one by one. Cheng et al. 2021, CAMoE,
    arXiv:2109.04290.

    As in the paper the product is taken of the similarity itself. So one below 0 rises towards 0 where its
    share is small.

    Args:
        similarity_TV: float32, cosines of T texts and V videos.
        temperature: similarities are divided by it before the softmax, 0.003 or more.
        over: ``texts`` to rank videos for each text, ``videos`` to rank texts for each video.

    Returns:
        float64 [T, V]: in float32 small shares would be 0 and their ranks tied.

    Raises:
        UsageError: the temperature is too low.
    """
    if not temperature >= _LOWEST:
        raise UsageError(
            f"A dual softmax at temperature {temperature:g} leaves shares too small to compare: choose "
            f"{_LOWEST:g} or more, such as the temperature that the weights were trained with."
        )
    weighted = torch.empty_like(similarity_TV, dtype=torch.float64)
    # The softmax goes down the columns: to go along the rows, matrices are looked at transposed.
    source, target = (m if over == "texts" else m.T for m in (similarity_TV, weighted))
    step = max(_CHUNK // len(source), 1)
    for start in range(0, source.shape[1], step):
        exact = source[:, start : start + step].double()
        target[:, start : start + step] = exact * torch.softmax(exact / temperature, dim=0)
    return weighted
