"""Hidden words that are guessed, and pairs of a video and a caption that are told apart."""

import torch
from torch import Tensor
from torch.nn import functional

from vfm.trainer.video_text.captions import NOT_PREDICTED


def hidden_places(labels: Tensor, num_ids: Tensor) -> tuple[int, Tensor]:
    """Return how long the longest caption is, and where words are hidden, int64 [K].

    Places are counted through captions that are cut to the longest. This waits for the device, so it comes
    before a step's own work is queued.

    Args:
        labels: int64 [B, L], -100 where no word is to be guessed.
        num_ids: int64 [B], of each caption.
    """
    is_hidden = labels != NOT_PREDICTED
    longest, num_hidden = torch.stack([num_ids.max(), is_hidden.sum()]).tolist()
    places = torch.nonzero_static(is_hidden[:, :longest].flatten(), size=num_hidden)[:, 0]
    return longest, places


def word_loss(logits: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross entropy of hidden words, and the share that is right; 0 where none is hidden.

    Args:
        logits: float [K, vocab_size], at the places of hidden words alone.
        words: int64 [K], which they are.
    """
    logits, num_words = logits.float(), max(len(words), 1)
    is_right = logits.detach().argmax(1) == words
    loss = functional.cross_entropy(logits, words, reduction="sum")
    return loss / num_words, is_right.sum() / num_words


def match_loss(logits: Tensor, is_match: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross entropy of pairs, and the share that is right.

    Args:
        logits: float [P, 2], the second number for a pair that belongs together.
        is_match: int64 [P], 1 or 0; -100 for a pair that does not count.
    """
    logits = logits.float()
    is_right = (logits.detach().argmax(1) == is_match).float().sum()
    return functional.cross_entropy(logits, is_match), is_right / (is_match != NOT_PREDICTED).sum()
