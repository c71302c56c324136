import math

import pytest
import torch

from support.retrieval import ToyPairs
from vfm.shards.errors import UsageError
from vfm.trainer.evaluation.retrieval import similarity
from vfm.trainer.evaluation.retrieval.similarity import dual_softmax, mean_of_views


def test_views_are_averaged_before_they_are_brought_to_length_1() -> None:
    """(8, 0) and (0, 6) average to (4, 3), not to the (1/2, 1/2) that vectors of length 1 would."""
    video = mean_of_views(torch.tensor([[[8.0, 0.0], [0.0, 6.0]]], dtype=torch.float16))
    assert video.dtype == torch.float32
    assert video.tolist() == [[4, 3]]
    found = ToyPairs().similarity(torch.tensor([[2.0, 0.0], [0.0, -5.0]]), video)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([[0.8], [-0.6]]))


def test_a_vector_of_zeros_is_like_nothing_and_a_tiny_one_as_its_direction_says() -> None:
    text = torch.tensor([[0.0, 0.0], [3e-7, 4e-7], [3e-9, 4e-9]])
    found = ToyPairs().similarity(text, torch.tensor([[0.0, 1.0]]))
    # Of length 5e-9 it is divided by 1e-8.
    torch.testing.assert_close(found, torch.tensor([[0.0], [0.8], [0.4]]))


@pytest.mark.parametrize("chunk", [2**23, 1, 5])
def test_dual_softmax_by_hand(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """At temperature 1 / ln 2 the softmax is of powers of 2: of (0, 1) it is 1/3 and 2/3."""
    monkeypatch.setattr(similarity, "_CHUNK", chunk)
    given = torch.tensor([[0.0, 1.0, -1.0], [1.0, 1.0, 0.0]])
    for_texts = dual_softmax(given, temperature=1 / math.log(2), over="texts")
    expected = torch.tensor([[0, 1 / 2, -1 / 3], [2 / 3, 1 / 2, 0]], dtype=torch.float64)
    torch.testing.assert_close(for_texts, expected)
    # Rows: 1, 2, 1/2 of 7/2; 2, 2, 1 of 5.
    for_videos = dual_softmax(given, temperature=1 / math.log(2), over="videos")
    expected = torch.tensor([[0, 4 / 7, -1 / 7], [2 / 5, 2 / 5, 0]], dtype=torch.float64)
    torch.testing.assert_close(for_videos, expected)


def test_a_video_that_is_like_every_text_comes_down() -> None:
    """Video 0 is the most similar to both texts; text 1 stands out among those of video 1."""
    given = torch.tensor([[0.9, 0.1], [0.9, 0.8]])
    assert given.argmax(1).tolist() == [0, 0]
    assert dual_softmax(given, temperature=0.05, over="texts").argmax(1).tolist() == [0, 1]


def test_small_shares_do_not_tie() -> None:
    given = torch.tensor([[1.0], [-0.9], [-0.95]])
    found = dual_softmax(given, temperature=0.003, over="texts")
    assert found.unique().numel() == 3
    assert (found.float() == 0).sum() == 2  # which is why the result is no float32


@pytest.mark.parametrize("temperature", [0.0, -1.0, 0.001, math.nan])
def test_a_temperature_too_low_is_refused(temperature: float) -> None:
    with pytest.raises(UsageError, match=r"^A dual softmax at temperature .*: choose 0\.003 or more"):
        dual_softmax(torch.zeros(2, 2), temperature=temperature, over="texts")
