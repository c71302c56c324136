"""Nearest neighbours: what an encoder knows without being taught the task."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

NUM_NEIGHBOURS, TEMPERATURE = 200, 0.07


def knn_scores(
    query_QD: Tensor,
    *,
    bank_ND: Tensor,
    labels_N: Tensor,
    num_classes: int,
    num_neighbours: int = NUM_NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Return the share of each class in the weighted votes of the nearest samples of a bank.

    A neighbour's vote weighs exp(cosine / temperature) (Wu et al. 2018, arXiv:1805.01978). Of a bank that has
    fewer samples than ``num_neighbours``, all vote.

    Args:
        query_QD: vectors to classify.
        bank_ND: vectors whose class is known.
        labels_N: int64, their classes.
        num_classes: classes in all.
        num_neighbours: how many neighbours vote.
        temperature: how much nearer neighbours outweigh others.

    Returns:
        float32 [Q, num_classes], rows sum to 1.
    """
    cosine_QN = normalize(query_QD.float(), dim=1) @ normalize(bank_ND.float(), dim=1).T
    nearest = cosine_QN.topk(min(num_neighbours, len(bank_ND)), dim=1)
    # Softmax is exp(cosine / temperature) over its sum: votes that add up to 1 and cannot overflow.
    votes_QK = torch.softmax(nearest.values / temperature, dim=1)
    scores = votes_QK.new_zeros(len(query_QD), num_classes)
    return scores.scatter_add_(1, labels_N[nearest.indices], votes_QK)
