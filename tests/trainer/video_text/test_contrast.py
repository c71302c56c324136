import math

import pytest
import torch
from torch.nn import functional

from vfm.shards.errors import UsageError
from vfm.trainer.methods.simvtp.recipe import tiny
from vfm.trainer.recipes.settings import override
from vfm.trainer.video_text.contrast import check_contrast, contrast_loss, draw_negatives, unit


def test_both_directions_are_added():
    text, video = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[0.1, 0.0], [1.0, 1.0]])
    loss = contrast_loss(text, video, temperature=0.5, caption_ids=torch.tensor([1, 2]))
    half = math.sqrt(0.5)
    cosines = [[1.0, half], [0.0, half]]  # rows captions, columns videos

    def entropy(rows):
        return sum(math.log(sum(math.exp(c / 0.5) for c in row)) - row[i] / 0.5 for i, row in enumerate(rows))

    expected = (entropy(cosines) + entropy(list(zip(*cosines, strict=True)))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_a_vector_of_nothing_has_no_direction():
    assert unit(torch.zeros(2, 3)).tolist() == [[0, 0, 0]] * 2
    assert unit(torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16)).dtype == torch.float32


def test_equal_captions_are_not_held_against_each_other():
    generator = torch.Generator().manual_seed(0)
    text, video = (torch.randn(3, 4, generator=generator) for _ in range(2))
    loss = contrast_loss(text, video, temperature=0.1, caption_ids=torch.tensor([7, 8, 7]))
    logits = unit(text) @ unit(video).T / 0.1
    logits[0, 2] = logits[2, 0] = -1e9
    wanted = torch.arange(3)
    expected = functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    plain = contrast_loss(text, video, temperature=0.1, caption_ids=torch.tensor([7, 8, 9]))
    assert plain.item() > loss.item()


def test_one_pair_has_nothing_to_be_told_from():
    with pytest.raises(UsageError, match="A micro-batch of one video has no other caption"):
        contrast_loss(torch.ones(1, 2), torch.ones(1, 2), temperature=0.1, caption_ids=torch.tensor([1]))


def test_negatives_are_drawn_among_other_captions_alike():
    torch.manual_seed(0)
    ids = torch.tensor([5, 6, 5, 7])
    drawn = torch.stack([draw_negatives(ids) for _ in range(3000)])
    assert set(drawn[:, 0].tolist()) == {1, 3}
    assert set(drawn[:, 1].tolist()) == {0, 2, 3}
    shares = torch.bincount(drawn[:, 3], minlength=4) / 3000
    assert shares[3] == 0
    assert (shares[:3] - 1 / 3).abs().max() < 0.04


def test_likely_negatives_come_more_often():
    torch.manual_seed(0)
    weights = torch.tensor([[9.0, 3.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    drawn = torch.stack([draw_negatives(torch.tensor([1, 2, 3]), weights=weights) for _ in range(3000)])
    assert (drawn[:, 0] == 1).float().mean().item() == pytest.approx(0.75, abs=0.04)
    assert (drawn[:, 1] == 0).all()


def test_where_all_captions_are_alike_there_is_no_negative():
    assert draw_negatives(torch.tensor([4, 4, 4])).tolist() == [-1, -1, -1]
    assert draw_negatives(torch.tensor([4, 4, 5])).tolist()[:2] == [2, 2]
    # A weight of nothing does not shut out the only one that there is.
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert draw_negatives(torch.tensor([4, 5]), weights=weights).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["objective.max_ids=40"], "objective.max_ids is 40 and model.text_positions 32"),
        (["train.drop_last=false"], "train.drop_last is false"),
        (["train.batch_size=1"], "train.batch_size is 1, and a caption is told from others"),
        (["train.micro_batch_size=1"], "train.micro_batch_size is 1"),
    ],
)
def test_what_contrasts_nothing_is_refused(settings, told):
    check_contrast(tiny())
    with pytest.raises(UsageError, match=told):
        check_contrast(override(tiny(), settings))
