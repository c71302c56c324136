import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.trainer.methods.vimpac.mask import NOT_PREDICTED, draw_block, draw_mask, mask_clip
from vfm.trainer.methods.vimpac.recipe import Objective

VOCAB, PAD, MASK = 100, 101, 104


def rng(seed=0):
    return np.random.default_rng(seed)


def codes_of(shape, seed=1):
    return rng(seed).integers(0, VOCAB, shape)


# Percent of the codes that the reference masks on average, measured on it (standard error 0.1).
@pytest.mark.parametrize(
    ("length", "side", "num_blocks", "percent"),
    [
        (5, 16, 4, 11.7),
        (5, 16, 5, 14.4),
        (5, 16, 8, 21.6),
        (5, 32, 6, 15.1),
        (10, 16, 6, 14.9),
        (10, 32, 7, 15.3),
    ],
)
def test_masks_as_much_as_the_reference(length, side, num_blocks, percent):
    draws = rng(7)
    shares = [draw_mask((length, side, side), num_blocks=num_blocks, rng=draws).mean() for _ in range(3000)]
    assert 100 * np.mean(shares) == pytest.approx(percent, abs=0.45)


def test_blocks_reach_their_largest_size_and_never_leave_the_clip():
    blocks = [draw_block((5, 16, 10), rng=draws) for draws in [rng(3)] for _ in range(4000)]
    for axis, (longest, size) in enumerate([(3, 5), (8, 16), (5, 10)]):
        lengths = {block[axis].stop - block[axis].start for block in blocks}
        assert lengths == set(range(1, longest + 1))
        assert min(block[axis].start for block in blocks) == 0
        assert max(block[axis].stop for block in blocks) == size


def test_a_clip_of_one_code_can_be_masked():
    assert draw_mask((1, 1, 1), num_blocks=1, rng=rng()).all()


def test_negative_blocks_are_thousandths_of_a_chance():
    is_masked = draw_mask((50, 64, 64), num_blocks=-145, rng=rng())
    assert is_masked.mean() == pytest.approx(0.145, abs=0.005)


def test_labels_are_what_the_mask_hides():
    codes = codes_of((5, 16, 16))
    shown, labels = mask_clip(codes, objective=Objective(), vocab_size=VOCAB, rng=rng())
    is_masked = draw_mask(codes.shape, num_blocks=5, rng=rng())
    np.testing.assert_array_equal(shown, np.where(is_masked, MASK, codes))
    np.testing.assert_array_equal(labels, np.where(is_masked, codes, NOT_PREDICTED))
    assert 0 < is_masked.sum() < is_masked.size


@pytest.mark.parametrize("mask_rand_replace", [False, True])
def test_pad_is_neither_hidden_nor_predicted(mask_rand_replace):
    codes = codes_of((5, 8, 8))
    codes[2:] = PAD
    objective = Objective(mask_blocks=40, mask_rand_replace=mask_rand_replace)
    shown, labels = mask_clip(codes, objective=objective, vocab_size=VOCAB, rng=rng())
    assert (shown[2:] == PAD).all()
    assert (labels[2:] == NOT_PREDICTED).all()
    assert (labels[:2] != NOT_PREDICTED).any()


def test_random_replacement_decides_once_per_block():
    codes, fates = codes_of((4, 8, 8)), []
    objective = Objective(mask_blocks=1, mask_rand_replace=True)
    for seed in range(600):
        shown, labels = mask_clip(codes, objective=objective, vocab_size=VOCAB, rng=rng(seed))
        is_masked = labels != NOT_PREDICTED
        np.testing.assert_array_equal(labels[is_masked], codes[is_masked])
        np.testing.assert_array_equal(shown[~is_masked], codes[~is_masked])
        inside = shown[is_masked]
        hidden, kept = (inside == MASK).all(), (inside == codes[is_masked]).all()
        assert hidden or ((inside >= 0) & (inside < VOCAB)).all()
        fates.append("hidden" if hidden else "kept" if kept else "filled")
    shares = {fate: fates.count(fate) / len(fates) for fate in set(fates)}
    assert shares == pytest.approx({"hidden": 0.8, "filled": 0.1, "kept": 0.1}, abs=0.04)


class Fates:
    """Draws boxes as the generator inside does, and the fates of blocks from a list."""

    def __init__(self, seed, fates):
        self.inside, self.fates = rng(seed), iter(fates)

    def integers(self, *args):
        return self.inside.integers(*args)

    def random(self):
        return next(self.fates)


def test_a_block_that_is_left_keeps_what_earlier_blocks_made_of_it():
    codes = codes_of((2, 4, 4))
    objective = Objective(mask_blocks=60, mask_rand_replace=True)
    fates = [0.5] * 59 + [0.95]  # all hidden, the last one left
    shown, labels = mask_clip(codes, objective=objective, vocab_size=VOCAB, rng=Fates(0, fates))
    assert (shown[labels != NOT_PREDICTED] == MASK).all()
    assert (labels != NOT_PREDICTED).sum() == 32


def test_replacement_by_block_without_blocks_is_refused():
    with pytest.raises(UsageError, match="mask_blocks=-300 draws no blocks; set objective.mask_blocks to 1"):
        Objective(mask_blocks=-300, mask_rand_replace=True)


def test_the_same_generator_gives_the_same_mask():
    codes = codes_of((5, 8, 8))
    first, second, other = (
        mask_clip(codes, objective=Objective(), vocab_size=VOCAB, rng=rng(seed))[0] for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
