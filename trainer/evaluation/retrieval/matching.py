"""What a model says of videos and texts that it looks at together, pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.engine.inference import Inference
from vfm.trainer.evaluation.retrieval.similarity import text_tokens
from vfm.trainer.evaluation.score import all_rows
from vfm.trainer.tasks.classify.clips import LABEL, SpreadClips
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.video_text.model import MatchingModel, is_text_of

_TOGETHER = 64  # pairs of a clip and a text that are scored at once
_NUMBER = "number"


def check_matching(task: Retrieve, *, path: Path) -> None:
    """Refuse a model that cannot look at a video and a text together.

    Raises:
        UsageError: it is one.
    """
    if not isinstance(task.backbone, MatchingModel):
        raise UsageError(
            f"{path} compares vectors alone and has no matching head to rank anew by: leave out --rerank."
        )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """Says how sure a model is that texts and videos belong together.

    Attributes:
        task: with encoders that have a matching head.
        views: clips of each video, and squares of each clip; the mean of their scores is taken.
        inference: goes through the videos.
        as_probability: whether a score is a probability, 0..1, in place of its logit.
    """

    task: Retrieve
    views: tuple[int, int]
    inference: Inference
    as_probability: bool = False

    def scores(self, dataset: Dataset, *, rows: Sequence[Int64], wanted: Tensor) -> Tensor:
        """Return the scores of pairs; every rank must call this.

        Videos are read and encoded once more, and each is scored with all texts that want it. Texts are
        encoded once: of each L x C numbers stay in memory, of its L ids and C channels. On the device, the
        tokens of the clips of 16 videos are there at once, and the keys and values of 64 pairs.

        Args:
            dataset: V videos.
            rows: the ids of each of T texts.
            wanted: bool [T, V], the pairs to score.

        Returns:
            float32 [T, V], 0 where none is wanted.
        """
        model, (num_clips, num_crops) = self.task.backbone, self.views
        assert isinstance(model, MatchingModel), "refused in check_matching"
        texts, wanted_VT = text_tokens(self.task, rows, world=self.inference.world), wanted.T
        num_views = num_clips * num_crops

        def compute(batch: dict[str, Tensor]) -> Tensor:
            clips = {
                name: array.flatten(0, 1) for name, array in batch.items() if name not in (LABEL, _NUMBER)
            }
            own = wanted_VT[batch[_NUMBER].cpu()].repeat_interleave(num_views, dim=0)
            logits = pair_logits(model, texts, model.video_tokens(clips), wanted=own)
            scores = logits.softmax(-1) if self.as_probability else logits
            return (scores[..., 1] * own).view(-1, num_views, len(texts)).mean(1)

        clips = self.task.prepare.clips
        spread = SpreadClips(random_clip=clips, num_clips=num_clips, num_crops=num_crops)
        numbers = {key: number for number, key in enumerate(dataset.keys)}
        reader = _NumberedClips(clips=spread, numbers=numbers)
        return all_rows(self.inference.rows(dataset, reader, compute=compute)).T


@dataclass(frozen=True, slots=True, kw_only=True)
class _NumberedClips:
    """Clips of a sample, and its number: a rank, or a process that reads, may see a part of the dataset."""

    clips: SpreadClips
    numbers: Mapping[str, int]

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {**self.clips(dataset, index, rng), _NUMBER: np.array(self.numbers[dataset.keys[index]])}


def pair_logits(model: MatchingModel, texts: Sequence[Tensor], clips: Tensor, *, wanted: Tensor) -> Tensor:
    """Return the logits of pairs of a clip and a text, float32 [C, T, 2] on the CPU, 0 where none is wanted.

    Args:
        model: tells them.
        texts: T of float [L, C], of `text_tokens`, without padding, on the CPU.
        clips: float [C, N, D], of `MatchingModel.video_tokens`.
        wanted: bool [C, T], on the CPU.
    """
    logits = torch.zeros(*wanted.shape, 2)
    # Clip by clip, so that those of a step lie side by side.
    pairs = wanted.nonzero(as_tuple=True)
    for start in range(0, len(pairs[0]), _TOGETHER):
        of_clip, of_text = (numbers[start : start + _TOGETHER] for numbers in pairs)
        first, last = int(of_clip[0]), int(of_clip[-1])
        some = [texts[number] for number in of_text.tolist()]
        padded = pad_sequence(some, batch_first=True)
        is_text = is_text_of(torch.tensor([len(text) for text in some]), length=padded.shape[1])
        found = model.match_logits(
            padded.to(clips.device),
            is_text.to(clips.device),
            tokens=clips[first : last + 1],
            which=(of_clip - first).to(clips.device),
        )
        logits[of_clip, of_text] = found.float().cpu()
    return logits
