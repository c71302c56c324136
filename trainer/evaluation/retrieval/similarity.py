"""How well texts and videos fit, by the vectors that a model makes of them."""

from typing import Literal

import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.trainer.video_text.contrast import unit

_CHUNK = 2**23  # similarities re-weighted in one step: 64 MiB of float64
_LOWEST = 0.003  # below, shares of cosines that differ by 2 would be 0 in float64, and tie


def mean_of_views(vectors_NWD: Tensor) -> Tensor:
    """Return the mean over W views of each of N samples, float32 [N, D].

    Vectors are averaged as they are, not at length 1: a view that the model says more about weighs more.
    """
    return vectors_NWD.float().mean(1)


def cosine_similarity(text_TD: Tensor, video_VD: Tensor) -> Tensor:
    """Return the cosine of every text and every video.

    Args:
        text_TD: float, a vector of any length for each text.
        video_VD: float, the same for each video, on the same device.

    Returns:
        float32 [T, V] in -1..1; 0 with a vector of zeros.
    """
    return unit(text_TD) @ unit(video_VD).T


def dual_softmax(similarity_TV: Tensor, *, temperature: float, over: Literal["texts", "videos"]) -> Tensor:
    """Return similarities re-weighted by how much more each query wants a candidate than others do.

    To rank videos for a text, a similarity is multiplied by its share of the softmax over all texts: a video
    that is like every text comes down. To rank texts for a video, by its share over all videos. So all
    queries are looked at together (it is transductive): the rank of one depends on which others are asked,
    and results are not comparable with those of queries that come one by one. Cheng et al. 2021, CAMoE,
    arXiv:2109.04290.

    As in the paper the product is taken of the similarity itself. So one below 0 rises towards 0 where its
    share is small.

    Args:
        similarity_TV: float32, cosines of T texts and V videos.
        temperature: similarities are divided by it before the softmax, 0.003 or more.
        over: ``texts`` to rank videos for each text, ``videos`` to rank texts for each video.

    Returns:
        float64 [T, V]: in float32 small shares would be 0 and their ranks tied.

    Raises:
        UsageError: the temperature is too low.
    """
    if not temperature >= _LOWEST:
        raise UsageError(
            f"A dual softmax at temperature {temperature:g} leaves shares too small to compare: choose "
            f"{_LOWEST:g} or more, such as the temperature that the weights were trained with."
        )
    weighted = torch.empty_like(similarity_TV, dtype=torch.float64)
    # The softmax goes down the columns: to go along the rows, matrices are looked at transposed.
    source, target = (m if over == "texts" else m.T for m in (similarity_TV, weighted))
    step = max(_CHUNK // len(source), 1)
    for start in range(0, source.shape[1], step):
        exact = source[:, start : start + step].double()
        target[:, start : start + step] = exact * torch.softmax(exact / temperature, dim=0)
    return weighted
