import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.trainer.evaluation.retrieval import ranks
from vfm.trainer.evaluation.retrieval.ranks import (
    num_texts_of_videos,
    own_similarity,
    text_to_video_ranks,
    video_to_text_ranks,
)

# Video 0 has texts 0 and 1, video 1 texts 2 and 3, video 2 text 4.
VIDEO_OF_TEXT = np.array([0, 0, 1, 1, 2])
SIMILARITY = np.array(
    [
        [0.9, 0.1, 0.5],  # 0.9 is first: place 1
        [0.2, 0.5, 0.2],  # 0.5 is before, video 2 is tied and comes after: place 2
        [0.9, 0.3, 0.8],  # two are before: place 3
        [0.3, 0.5, 0.5],  # tied with video 2: place 1
        [0.9, 0.5, 0.5],  # one before, one tied: place 2
    ],
    np.float32,
)


@pytest.fixture(params=[2**24, 1, 7])
def _in_chunks(monkeypatch, request):
    """Compare all at once, a row at a time, and two rows at a time with one left over."""
    monkeypatch.setattr(ranks, "_CHUNK", request.param)


@pytest.mark.usefixtures("_in_chunks")
def test_text_to_video_by_hand() -> None:
    found = text_to_video_ranks(SIMILARITY, video_of_text=VIDEO_OF_TEXT)
    assert found.dtype == np.float64
    assert found.tolist() == [1, 2, 3, 1, 2]


@pytest.mark.usefixtures("_in_chunks")
def test_video_to_text_by_hand() -> None:
    """Video 0: .9 thrice, places 1 to 3. Video 1: .5 thrice, places 1 to 3. Video 2: .8, then .5 thrice."""
    found = video_to_text_ranks(SIMILARITY, video_of_text=VIDEO_OF_TEXT)
    assert found.dtype == np.float64
    assert found.tolist() == [2, 2, 3]


def test_two_tied_texts_share_a_place_half_way() -> None:
    found = video_to_text_ranks(
        np.array([[0.7, 0.1], [0.7, 0.2]], np.float32), video_of_text=np.array([0, 1])
    )
    assert found.tolist() == [1.5, 1]


def test_ties_of_all_are_first_for_texts_and_in_the_middle_for_videos() -> None:
    same, own = np.full((4, 4), 0.25, np.float32), np.arange(4)
    assert text_to_video_ranks(same, video_of_text=own).tolist() == [1, 1, 1, 1]
    assert video_to_text_ranks(same, video_of_text=own).tolist() == [2.5, 2.5, 2.5, 2.5]


def sorted_places(column: np.ndarray, own: np.ndarray) -> float:
    """Return the best place of some, each the mean of the places of all that are equal, by sorting."""
    ordered = np.sort(column)[::-1]
    return min(np.flatnonzero(ordered == column[text]).mean() + 1 for text in own)


@pytest.mark.parametrize("seed", range(5))
def test_as_sorting_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_texts, num_videos = 60, 15
    similarity = rng.integers(-5, 5, (num_texts, num_videos)).astype(np.float32) / 8  # many ties
    own = rng.permutation(np.arange(num_texts) % num_videos)
    by_text = text_to_video_ranks(similarity, video_of_text=own)
    for text in range(num_texts):
        ordered = np.sort(similarity[text])[::-1]
        assert by_text[text] == 1 + np.flatnonzero(ordered == similarity[text, own[text]])[0]
    by_video = video_to_text_ranks(similarity, video_of_text=own)
    assert by_video.tolist() == [
        sorted_places(similarity[:, video], np.flatnonzero(own == video)) for video in range(num_videos)
    ]


@pytest.mark.parametrize("ranks_of", [text_to_video_ranks, video_to_text_ranks])
@pytest.mark.parametrize("at", [(0, 0), (4, 1)])
def test_what_is_no_number_has_no_place(ranks_of, at: tuple[int, int]) -> None:
    similarity = SIMILARITY.copy()
    similarity[at] = np.nan
    with pytest.raises(UsageError, match=r"^1 of 15 similarities .* earlier checkpoint\.$"):
        ranks_of(similarity, video_of_text=VIDEO_OF_TEXT)


def test_a_video_without_a_text_is_refused() -> None:
    own = np.array([0, 0, 1, 1, 1])
    with pytest.raises(UsageError, match=r"^1 of 3 videos have no text, .* without a caption\.$"):
        video_to_text_ranks(SIMILARITY, video_of_text=own)
    assert num_texts_of_videos(own, num_videos=2).tolist() == [2, 3]


def test_own_similarity_by_hand() -> None:
    found = own_similarity(SIMILARITY, video_of_text=VIDEO_OF_TEXT)
    assert found.tolist() == np.array([0.9, 0.2, 0.3, 0.5, 0.5], np.float32).tolist()
