import pytest
import torch
from torch.nn import functional

from vfm.trainer.video_text.losses import hidden_places, match_loss, word_loss


def test_places_are_counted_through_captions_cut_to_the_longest():
    labels = torch.tensor([[-100, 7, -100, -100, -100], [-100, -100, 9, -100, -100]])
    longest, places = hidden_places(labels, torch.tensor([2, 3]))
    assert (longest, places.tolist()) == (3, [1, 5])
    _, none = hidden_places(torch.full((2, 5), -100), torch.tensor([2, 3]))
    assert none.tolist() == []


def test_words_are_scored_at_their_places_and_none_is_no_loss():
    logits, words = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 0, 0])
    loss, share = word_loss(logits, words)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, words))
    assert share.item() == pytest.approx(2 / 3)
    loss, share = word_loss(logits[:0], words[:0])
    assert (loss.item(), share.item()) == (0, 0)


def test_a_pair_that_does_not_count_is_left_out():
    logits, is_match = torch.tensor([[0.0, 2.0], [0.0, 1.0], [5.0, 0.0]]), torch.tensor([1, 0, -100])
    loss, share = match_loss(logits, is_match)
    torch.testing.assert_close(loss, functional.cross_entropy(logits[:2], is_match[:2]))
    assert share.item() == 0.5
