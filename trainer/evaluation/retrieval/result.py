"""The result of a retrieval: what each text and each video found, and what follows from it."""

from dataclasses import dataclass
from typing import Any, Literal

from vfm.shards.array_types import Int64
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import canonical_json
from vfm.trainer.evaluation.result import Result, apart
from vfm.trainer.evaluation.retrieval.figures import Ranking, ranking_of
from vfm.trainer.evaluation.retrieval.places import Places

Captions = Literal["each", "joined"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rankings:
    """What T texts found among V videos, and videos among texts.

    Attributes:
        keys: of the V videos.
        texts: the T texts.
        video_of_text: int64 [T], the video that each text belongs to; every video has one at least.
        text_to_video: what texts found, candidates counted as in ``keys``.
        video_to_text: what videos found, candidates counted as in ``texts``.
    """

    keys: tuple[str, ...]
    texts: tuple[str, ...]
    video_of_text: Int64
    text_to_video: Places
    video_to_text: Places

    @property
    def worst(self) -> str | None:
        """Return the video that a text found at the last place; None where all were first."""
        ranks = self.text_to_video.ranks
        last = int(ranks.argmax())
        return self.keys[self.video_of_text[last]] if ranks[last] > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalResult(Result):
    """How well texts find their videos, and videos their texts.

    Attributes:
        protocol: ``retrieval``.
        dual_softmax: temperature of the dual softmax that similarities were re-weighted by, which looks at
            all queries at once; None where they were not.
        rerank: how many candidates of each query a matching head ranked anew, all where there were fewer;
            None where vectors alone did.
        is_zero_shot: whether the weights are those of a pretraining, which has not learned to retrieve here.
        captions: ``each`` is a text of its own, or those of a video are ``joined`` to one.
        num_videos: videos searched among, each with a text.
        num_texts: texts searched with.
        num_without_caption: samples of the split left out because they have no caption.
        num_duplicate_texts: texts that say word for word what one before says: no model can tell them apart.
        text_to_video: how texts fared.
        video_to_text: how videos fared.
        rankings: what each of them found.
    """

    protocol: Literal["retrieval"] = "retrieval"
    dual_softmax: float | None
    rerank: int | None
    is_zero_shot: bool
    captions: Captions
    num_videos: int
    num_texts: int
    num_without_caption: int
    num_duplicate_texts: int
    text_to_video: Ranking
    video_to_text: Ranking
    rankings: Rankings = apart()


def ranked(rankings: Rankings) -> dict[str, Any]:
    """Return the fields of a `RetrievalResult` that follow from what was found."""
    num_texts, by_text, by_video = len(rankings.texts), rankings.text_to_video, rankings.video_to_text
    num_captions = zip(rankings.keys, by_video.num_right.tolist(), strict=True)
    return {
        "num_videos": len(rankings.keys),
        "num_texts": num_texts,
        "num_duplicate_texts": num_texts - len(set(rankings.texts)),
        "sample_list_sha256": sha256(canonical_json(sorted(num_captions))),
        "text_to_video": _ranking(by_text),
        "video_to_text": _ranking(by_video),
        "rankings": rankings,
    }


def _ranking(places: Places) -> Ranking:
    return ranking_of(places.ranks, num_right=places.num_right, num_candidates=places.num_candidates)
