"""Which codes of a clip are hidden: a union of boxes in time and space, or single codes by chance."""

import numpy as np

from vfm.trainer.methods.vimpac.recipe import Objective

NOT_PREDICTED = -100  # label of a code that no loss looks at
# With mask_rand_replace a block is hidden, filled with random codes, or left as earlier blocks left it.
HIDE, FILL = 0.8, 0.9  # thresholds of one uniform draw: 80 %, 10 %, 10 %


def draw_block(shape: tuple[int, int, int], *, rng: np.random.Generator) -> tuple[slice, slice, slice]:
    """Draw one box: up to floor(2 L / 3) frames, H // 2 rows and W // 2 columns, anywhere it fits.

    The paper says two thirds rounded up; the code rounds down, and so do we. A side shorter than two still
    gives blocks of one.

    Args:
        shape: frames, rows and columns of the clip.
        rng: source of chance.
    """
    longest = (2 * shape[0] // 3, shape[1] // 2, shape[2] // 2)
    lengths = [int(rng.integers(1, max(limit, 1) + 1)) for limit in longest]
    starts = [int(rng.integers(0, size - length + 1)) for size, length in zip(shape, lengths, strict=True)]
    time, row, column = (slice(start, start + length) for start, length in zip(starts, lengths, strict=True))
    return time, row, column


def draw_mask(shape: tuple[int, int, int], *, num_blocks: int, rng: np.random.Generator) -> np.ndarray:
    """Draw which codes of a clip are to be predicted.

    Args:
        shape: frames, rows and columns of the clip.
        num_blocks: boxes to unite; below 0, minus thousandths of a chance for every single code.
        rng: source of chance.

    Returns:
        bool [L, H, W], True means predict it.
    """
    if num_blocks < 0:
        is_masked: np.ndarray = rng.random(shape) < -num_blocks / 1000
        return is_masked
    is_masked = np.zeros(shape, dtype=bool)
    for _ in range(num_blocks):
        is_masked[draw_block(shape, rng=rng)] = True
    return is_masked


def mask_clip(
    codes: np.ndarray, *, objective: Objective, vocab_size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hide codes of one clip and keep them as labels. PAD is never hidden and never predicted.

    Args:
        codes: int64 [L, H, W], PAD in frames past the end.
        objective: how much to hide, and how.
        vocab_size: codes of the codebook.
        rng: source of chance.

    Returns:
        Codes with MASK (id V + 4) in place, and labels: the code where it is to be predicted, -100 elsewhere.
    """
    is_code = codes != vocab_size + 1
    if objective.mask_rand_replace:
        is_masked, shown = _replace_by_block(codes, objective=objective, vocab_size=vocab_size, rng=rng)
    else:
        is_masked = draw_mask(codes.shape, num_blocks=objective.mask_blocks, rng=rng)
        shown = np.where(is_masked, vocab_size + 4, codes)
    labels = np.where(is_masked & is_code, codes, NOT_PREDICTED)
    return np.where(is_code, shown, codes), labels


def _replace_by_block(
    codes: np.ndarray, *, objective: Objective, vocab_size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    is_masked, shown = np.zeros(codes.shape, dtype=bool), codes.copy()
    for _ in range(objective.mask_blocks):
        block, fate = draw_block(codes.shape, rng=rng), rng.random()
        is_masked[block] = True
        if fate < HIDE:
            shown[block] = vocab_size + 4
        elif fate < FILL:
            shown[block] = rng.integers(0, vocab_size, shown[block].shape)
    return is_masked, shown
