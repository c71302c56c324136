"""Ranks the first candidates by vectors anew, by a model that looks at a video and a caption together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import counted
from vfm.trainer.engine.inference import Inference
from vfm.trainer.evaluation.retrieval.similarity import text_tokens
from vfm.trainer.evaluation.score import all_rows
from vfm.trainer.tasks.classify.clips import LABEL, SpreadClips
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.video_text.model import MatchingModel, is_text_of

_TOGETHER = 64  # pairs of a clip and a text that are scored at once
_NUMBER = "number"
_PUBLISHED = 128  # candidates of each query that UMT ranks anew


@dataclass(frozen=True, slots=True, kw_only=True)
class RankOptions:
    """What candidates are ranked by, beside similarities.

    Attributes:
        dual_softmax: whether similarities are re-weighted, at the temperature of the training.
        rerank: how many candidates of each query a matching head ranks anew; 0 ranks by vectors alone, and
            None is 128 where there is such a head.
    """

    dual_softmax: bool = False
    rerank: int | None = None

    def __post_init__(self) -> None:
        if self.rerank is not None and self.rerank < 0:
            raise UsageError(f"--rerank is {self.rerank}: give how many candidates to rank anew, or 0.")
        if self.dual_softmax and self.rerank:
            raise UsageError(
                "--dual-softmax weighs similarities and --rerank puts other scores in their place: give one."
            )

    def num_reranked(self, task: Retrieve, *, path: Path) -> int | None:
        """Return how many candidates of each query a model ranks anew; None where it ranks by vectors.

        Raises:
            UsageError: it is asked to, and has nothing to rank by.
        """
        if self.rerank:
            check_matching(task, path=path)
        if self.dual_softmax or not isinstance(task.backbone, MatchingModel):
            return None
        return (_PUBLISHED if self.rerank is None else self.rerank) or None


def check_matching(task: Retrieve, *, path: Path) -> None:
    """Refuse a model that cannot look at a video and a text together.

    Raises:
        UsageError: it is one.
    """
    if not isinstance(task.backbone, MatchingModel):
        raise UsageError(
            f"{path} compares vectors alone and has no matching head to rank anew by: leave out --rerank."
        )


def told_of_rank(task: Retrieve, *, k: int | None, num_texts: int, num_videos: int) -> list[str]:
    """Return what to say of how many candidates of each query a matching head ranks anew."""
    if not isinstance(task.backbone, MatchingModel):
        return []
    if k is None:
        return ["Ranked by vectors alone: the matching head is not asked."]
    counts = ((num_texts, "caption"), (num_videos, "video"))
    fewer = [counted(number, what) for number, what in counts if number < k]
    all_are = f" There are {' and '.join(fewer)}: where there are fewer, all are." if fewer else ""
    return [f"The first {k} of each query are ranked anew by the matching head.{all_are}"]


def rerank(similarity_TV: Tensor, *, k: int, score: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return scores to rank videos for each text, and texts for each video, float64 [T, V] both.

    For each text the k most similar videos are scored, and for each video the k most similar texts; a pair
    that both want is scored once. Of equally similar ones the first are taken. Those that a query did not
    score come behind all that it did, in the order of their similarity. UMT's released code gives them all
    -100: where what is right is among the first k its place is the same, and where it is not, it has there
    the same place as all that were left out, or whichever a sort gives it.

    Args:
        similarity_TV: float32 in -1..1, of T texts and V videos.
        k: how many are scored, 1 or more; all, where there are fewer.
        score: returns the scores, float32 [T, V], of the pairs that are wanted, bool [T, V].

    Raises:
        UsageError: a score is not finite.
    """
    by_text, by_video = _most_similar(similarity_TV, k=k), _most_similar(similarity_TV.T, k=k).T
    wanted = by_text | by_video
    scores = score(wanted)
    check_finite(scores[wanted])
    # In float64, so that no two similarities become the same number.
    behind = similarity_TV.double() + (float(scores[wanted].min()) - 2)
    return torch.where(by_text, scores, behind), torch.where(by_video, scores, behind)


def check_finite(scores: Tensor) -> None:
    """Refuse matching scores, of any shape, that cannot be compared.

    Raises:
        UsageError: one is not finite.
    """
    if num_bad := int((~scores.isfinite()).sum()):
        raise UsageError(
            f"{num_bad} of {scores.numel()} matching scores of texts and videos are not finite numbers: take "
            "an earlier checkpoint, or rank by vectors alone."
        )


def _most_similar(similarity_QC: Tensor, *, k: int) -> Tensor:
    """Return which k candidates are the most similar to each query, bool [Q, C]."""
    is_among = torch.zeros(similarity_QC.shape, dtype=torch.bool)
    for row, found in zip(similarity_QC, is_among, strict=True):
        found[torch.argsort(row, descending=True, stable=True)[:k]] = True
    return is_among


def matching_scores(
    task: Retrieve,
    *,
    dataset: Dataset,
    rows: Sequence[Int64],
    wanted: Tensor,
    views: tuple[int, int],
    inference: Inference,
) -> Tensor:
    """Return how sure a model is that texts and videos belong together; every rank must call this.

    Videos are read and encoded once more, and each is scored with all texts that want it. Texts are encoded
    once: of each L x C numbers stay in memory, of its L ids and C channels. On the device, the tokens of the
    clips of 16 videos are there at once, and the keys and values of 64 pairs.

    Args:
        task: with encoders that have a matching head.
        dataset: V videos.
        rows: the ids of each of T texts.
        wanted: bool [T, V], the pairs to score.
        views: clips of each video, and squares of each clip; the mean of their scores is taken.
        inference: goes through the videos.

    Returns:
        float32 [T, V], 0 where none is wanted.
    """
    model, (num_clips, num_crops) = task.backbone, views
    assert isinstance(model, MatchingModel), "refused in check_matching"
    texts, wanted_VT = text_tokens(task, rows, world=inference.world), wanted.T
    num_views = num_clips * num_crops

    def compute(batch: dict[str, Tensor]) -> Tensor:
        clips = {name: array.flatten(0, 1) for name, array in batch.items() if name not in (LABEL, _NUMBER)}
        own = wanted_VT[batch[_NUMBER].cpu()].repeat_interleave(num_views, dim=0)
        scores = score_pairs(model, texts, model.video_tokens(clips), wanted=own)
        return scores.view(-1, num_views, len(texts)).mean(1)

    spread = SpreadClips(random_clip=task.prepare.clips, num_clips=num_clips, num_crops=num_crops)
    numbers = {key: number for number, key in enumerate(dataset.keys)}
    reader = _NumberedClips(clips=spread, numbers=numbers)
    return all_rows(inference.rows(dataset, reader, compute=compute)).T


@dataclass(frozen=True, slots=True, kw_only=True)
class _NumberedClips:
    """Clips of a sample, and its number: a rank, or a process that reads, may see a part of the dataset."""

    clips: SpreadClips
    numbers: Mapping[str, int]

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {**self.clips(dataset, index, rng), _NUMBER: np.array(self.numbers[dataset.keys[index]])}


def score_pairs(model: MatchingModel, texts: Sequence[Tensor], clips: Tensor, *, wanted: Tensor) -> Tensor:
    """Return the scores of pairs of a clip and a text, float32 [C, T] on the CPU, 0 where none is wanted.

    Args:
        model: scores them.
        texts: T of float [L, C], of `text_tokens`, without padding, on the CPU.
        clips: float [C, N, D], of `MatchingModel.video_tokens`.
        wanted: bool [C, T], on the CPU.
    """
    scores = torch.zeros(wanted.shape)
    # Clip by clip, so that those of a step lie side by side.
    pairs = wanted.nonzero(as_tuple=True)
    for start in range(0, len(pairs[0]), _TOGETHER):
        of_clip, of_text = (numbers[start : start + _TOGETHER] for numbers in pairs)
        first, last = int(of_clip[0]), int(of_clip[-1])
        some = [texts[number] for number in of_text.tolist()]
        padded = pad_sequence(some, batch_first=True)
        is_text = is_text_of(torch.tensor([len(text) for text in some]), length=padded.shape[1])
        found = model.match_scores(
            padded.to(clips.device),
            is_text.to(clips.device),
            clips[first : last + 1],
            which=(of_clip - first).to(clips.device),
        )
        scores[of_clip, of_text] = found.float().cpu()
    return scores
