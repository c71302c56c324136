"""What a search found: videos for each sentence, the best first."""

from dataclasses import asdict, dataclass
from typing import Any

from vfm.trainer.recipes.requirements import Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A video that was found.

    Attributes:
        place: 1 is the best.
        score: similarity of sentence and video, -1..1; where a matching head ranked anew, what it says of
            them, any number.
        key: of the sample.
        source: the video that it is of.
        captions: that it has in the dataset; the model has not seen them here.
    """

    place: int
    score: float
    key: str
    source: str
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a sentence found.

    Attributes:
        sentence: as it was asked.
        unknown_words: of it, which the model has not learned from.
        is_cut: whether it is longer than the model reads.
        hits: the best first; equal scores in the order of the dataset.
    """

    sentence: str
    unknown_words: tuple[str, ...]
    is_cut: bool
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What sentences found in a dataset.

    Attributes:
        model: the run's folder, or the file or folder of weights.
        step: updates its checkpoint had seen; None where a file does not say.
        ema: whether the average of the weights was asked.
        data: the dataset's folder.
        split: that was searched; ``all`` is every sample.
        num_clips: clips of each video.
        num_crops: squares of each clip.
        num_videos: videos searched.
        rerank: how many of these, the most similar to a sentence, a matching head ranked anew; None is none.
        fit: how the clips of these are.
        answers: to each sentence.
    """

    model: str
    step: int | None
    ema: bool
    data: str
    split: str
    num_clips: int
    num_crops: int
    num_videos: int
    rerank: int | None
    fit: Fit
    answers: tuple[Answer, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)
