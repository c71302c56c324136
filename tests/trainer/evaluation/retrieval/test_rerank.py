"""The first candidates by vectors come first, in the order of other scores, and the rest behind them."""

import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.trainer.evaluation.retrieval.rerank import rerank

SIMILARITY = torch.tensor([[0.9, 0.8, 0.1], [0.7, 0.2, 0.3], [0.0, 0.5, 0.4], [-0.5, 0.6, -0.6]])
SCORES = torch.arange(12.0).view(4, 3) - 5


def test_those_that_are_scored_come_first_and_others_by_their_similarity():
    asked = []
    by_text, by_video = rerank(SIMILARITY, k=1, score=lambda wanted: asked.append(wanted) or SCORES)
    (wanted,) = asked
    # Texts want videos 0, 0, 1 and 1; videos want texts 0, 0 and 2.
    assert wanted.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [2, 1], [2, 2], [3, 1]]
    assert by_text.dtype == by_video.dtype == torch.float64
    assert [by_text[place].item() for place in ((0, 0), (1, 0), (2, 1), (3, 1))] == [-5, -2, 2, 5]
    assert [by_video[place].item() for place in ((0, 0), (0, 1), (2, 2))] == [-5, -4, 3]
    # Of all that were scored the lowest is -5, and similarities lie below it by 2.
    assert by_text[0, 1].item() == pytest.approx(-7 + 0.8)
    assert by_video[3, 0].item() == pytest.approx(-7 - 0.5)
    assert by_text.argsort(1, descending=True).tolist() == [[0, 1, 2], [0, 2, 1], [1, 2, 0], [1, 0, 2]]


def test_of_equally_similar_ones_the_first_are_scored():
    asked = []
    rerank(torch.zeros(3, 40), k=2, score=lambda wanted: asked.append(wanted) or torch.zeros(3, 40))
    assert asked[0][2].nonzero()[:, 0].tolist() == [0, 1]
    assert asked[0][:2].all()  # by each video


def test_where_there_are_fewer_all_are_scored():
    for found in rerank(SIMILARITY, k=5, score=lambda wanted: SCORES * wanted):
        assert torch.equal(found, SCORES.double())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused(bad):
    scores = SCORES.clone()
    scores[0, 0] = bad
    with pytest.raises(UsageError, match=r"^1 of 6 matching scores of texts .* are not finite numbers: "):
        rerank(SIMILARITY, k=1, score=lambda wanted: scores)
