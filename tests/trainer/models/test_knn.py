import math

import pytest
import torch

from vfm.trainer.models.knn import knn_scores


def test_votes_by_hand():
    bank = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    labels = torch.tensor([0, 1, 2])
    scores = knn_scores(
        torch.tensor([[5.0, 0.0]]),
        bank_ND=bank,
        labels_N=labels,
        num_classes=4,
        num_neighbours=2,
        temperature=0.5,
    )
    # Cosines 1 and 0: votes e^2 and 1; the opposite sample is not among the nearest two.
    near = math.exp(2) / (math.exp(2) + 1)
    assert scores[0].tolist() == pytest.approx([near, 1 - near, 0, 0])


def test_small_bank_votes_as_a_whole():
    bank = torch.eye(3)
    scores = knn_scores(torch.eye(3), bank_ND=bank, labels_N=torch.tensor([0, 0, 1]), num_classes=2)
    assert scores.argmax(1).tolist() == [0, 0, 1]
    assert scores.sum(1).tolist() == pytest.approx([1, 1, 1])
