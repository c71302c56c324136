import numpy as np
import pytest

from vfm.trainer.evaluation.retrieval import ranks
from vfm.trainer.evaluation.retrieval.places import places_of_texts, places_of_videos

# Video 0 has texts 0 and 3, video 1 text 1, video 2 texts 2 and 4.
VIDEO_OF_TEXT = np.array([0, 1, 2, 0, 2])
SIMILARITY = np.array(
    [
        [0.5, 0.25, 0.75],
        [0.5, 0.5, 0.25],
        [1.0, 0.125, 0.5],
        [0.75, 0.0, 0.75],
        [0.25, 0.5, 0.5],
    ],
    np.float32,
)


@pytest.fixture(params=[2**24, 1, 7])
def _in_chunks(monkeypatch, request):
    """Compare all at once, a row at a time, and two rows at a time with one left over."""
    monkeypatch.setattr(ranks, "_CHUNK", request.param)


@pytest.mark.usefixtures("_in_chunks")
def test_places_of_texts_by_hand() -> None:
    found = places_of_texts(SIMILARITY, video_of_text=VIDEO_OF_TEXT)
    assert found.ranks.tolist() == [2, 1, 2, 1, 1]
    assert found.own.tolist() == [0, 1, 2, 0, 2]
    assert found.own_similarity.tolist() == [0.5, 0.5, 0.5, 0.75, 0.5]
    assert found.best.tolist() == [2, 1, 0, 0, 2]  # of tied ones its own: text 1 and text 4
    assert found.best_similarity.tolist() == [0.75, 0.5, 1.0, 0.75, 0.5]
    assert (found.num_right.tolist(), found.num_candidates) == ([1, 1, 1, 1, 1], 3)


@pytest.mark.usefixtures("_in_chunks")
def test_places_of_videos_by_hand() -> None:
    """Video 0: 1 before its .75. Video 1: two of .5 share places 1 and 2. Video 2: two of .75 before .5."""
    found = places_of_videos(SIMILARITY, video_of_text=VIDEO_OF_TEXT)
    assert found.ranks.tolist() == [2, 1.5, 3.5]
    assert found.own.tolist() == [3, 1, 2]  # of its tied texts the first: 2, not 4
    assert found.own_similarity.tolist() == [0.75, 0.5, 0.5]
    assert found.best.tolist() == [2, 1, 0]
    assert found.best_similarity.tolist() == [1.0, 0.5, 0.75]
    assert (found.num_right.tolist(), found.num_candidates) == ([2, 1, 2], 5)


def test_of_tied_texts_before_its_own_the_first_is_best() -> None:
    similarity = np.array([[0.25, 0.0], [0.75, 0.5], [0.75, 0.5]], np.float32)
    found = places_of_videos(similarity, video_of_text=np.array([0, 1, 1]))
    assert (found.own.tolist(), found.best.tolist()) == ([0, 1], [1, 1])
