"""Random crops, mirroring and erased boxes of a clip, one draw for all of its frames.

As UMT (Li et al. 2023) and VideoMAE (Tong et al. 2022) finetune: RandAugment, a crop of random area and
shape, mirroring, and a box that is erased. Pixels stay 8 bits, where the references resize floats.
"""

import numpy as np
import torch
from torch.nn import functional

from vfm.shards.array_types import Int64, UInt8
from vfm.shards.pixels.resized_crop import NUM_DRAWS, Rectangle, draw_shape, first_fitting, middle
from vfm.trainer.data.rand_augment import augmented, parse_policy
from vfm.trainer.recipes.classify import Augmentation, Resize

_ERASED_AREAS, _ERASED_SHAPES = (0.02, 1 / 3), (0.3, 10 / 3)


def draw_clip(frames: UInt8, *, how: Augmentation, size_px: int, rng: np.random.Generator) -> UInt8:
    """Return a clip as it is learned from once.

    Args:
        frames: uint8 [T, H, W, 3].
        how: what is drawn; ``crop_area`` is given.
        size_px: side of the result.
        rng: source of chance.

    Returns:
        uint8 [T, size_px, size_px, 3].
    """
    assert how.crop_area is not None, "whoever wants the middle square asks for a view"
    if how.rand_augment is not None:
        frames = augmented(frames, parse_policy(how.rand_augment).draw(rng))
    height_px, width_px = frames.shape[1:3]
    top, left, height, width = draw_crop(height_px, width_px, areas=(how.crop_area, 1.0), rng=rng)
    cropped = frames[:, top : top + height, left : left + width]
    return resized(cropped, size_px=size_px, how=how.resize, is_mirrored=rng.random() < how.flip)


def draw_crop(
    height_px: int, width_px: int, *, areas: tuple[float, float], rng: np.random.Generator
) -> Rectangle:
    """Return a part of a frame of random area, shape between 3/4 and 4/3, and place.

    Args:
        height_px: of the frame.
        width_px: of the frame.
        areas: the smallest and the largest share of the frame.
        rng: source of chance.
    """
    draws = (draw_shape(areas=areas, rng=rng) for _ in range(NUM_DRAWS))  # no more than are looked at
    draw = first_fitting(draws, height_px, width_px)
    if draw is None:
        return middle(height_px, width_px)
    height, width = draw.sides(height_px * width_px)
    top, left = rng.integers(height_px - height + 1), rng.integers(width_px - width + 1)
    return Rectangle(int(top), int(left), height, width)


def draw_erased(size_px: int, *, probability: float, rng: np.random.Generator) -> Int64:
    """Return the box of a square frame that is erased (Zhong et al. 2020): top, left, height, width.

    Its area is 1/50 to 1/3 of the frame's, its shape 0.3 to 10/3; all 0 where nothing is.
    """
    nothing = np.zeros(4, np.int64)
    if rng.random() >= probability:
        return nothing
    for _ in range(NUM_DRAWS):
        width, height = draw_shape(areas=_ERASED_AREAS, shapes=_ERASED_SHAPES, rng=rng).sides(size_px**2)
        if 0 < height < size_px and 0 < width < size_px:
            top, left = rng.integers(size_px - height + 1), rng.integers(size_px - width + 1)
            return np.array([top, left, height, width], np.int64)
    return nothing


def resized(frames: UInt8, *, size_px: int, how: Resize = "bilinear", is_mirrored: bool = False) -> UInt8:
    """Return frames as squares, without antialiasing, as the references resize.

    Args:
        frames: uint8 [T, H, W, 3].
        size_px: side of the result.
        how: filter; ``bicubic`` computes in float32 and rounds, as the filter leaves 0..255.
        is_mirrored: whether left becomes right.

    Returns:
        uint8 [T, size_px, size_px, 3].
    """
    planes = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    # torch has kernels for bytes whose colours lie together.
    source = planes if how == "bilinear" else planes.float()
    square = functional.interpolate(source, (size_px, size_px), mode=how, align_corners=False)
    if how == "bicubic":
        square = square.round_().clamp_(0, 255).to(torch.uint8)
    square = square.flip(3) if is_mirrored else square
    found: UInt8 = square.permute(0, 2, 3, 1).contiguous().numpy()
    return found
