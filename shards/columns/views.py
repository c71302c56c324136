"""The views that a column is computed in, as a user names them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.json import read_json
from vfm.shards.io.typed import coerce
from vfm.shards.pixels.multi_scale import PLACES, SCALES, SHAPES
from vfm.shards.pixels.resized_crop import NUM_DRAWS, ResizedCrop, draw_shape
from vfm.shards.pixels.views import Box, Offset, View, centre

_VIMPAC = "vimpac12"
_SEED = 0  # the same K views for everybody, and the first of them for a smaller K
MAX_VIEWS = 64
_RESIZED_AREAS = (0.5, 1.0)
_DIGITS = 4  # of what is drawn, so that people can read it
VIMPAC_PLACES: tuple[Offset, ...] = ("centre", "start", "end")


def parse_views(text: str, *, crop_px: int) -> tuple[View, ...]:
    """Return the views that ``--views`` asks for.

    Args:
        text: ``centre`` (or ``center``), ``random:K``, ``resized:K``, ``vimpac12`` or the path of a JSON list
            of views.
        crop_px: side of every view; those of a file may leave their sides out.

    Raises:
        UsageError: it is none of them, or a view that cannot be.
    """
    if text in ("centre", "center"):
        return (centre(crop_px),)
    if text == _VIMPAC:
        return vimpac_views(crop_px)
    kind, colon, number = text.partition(":")
    if not colon or kind not in ("random", "resized"):
        return _read_views(Path(text), crop_px=crop_px)
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= MAX_VIEWS:
        raise UsageError(f"--views {text} must end in a number from 1 to {MAX_VIEWS}, such as {kind}:4.")
    draw = random_views if kind == "random" else resized_views
    return draw(int(number), crop_px=crop_px)


def random_views(num_views: int, *, crop_px: int) -> tuple[View, ...]:
    """Return views as UMT's and VideoMAE's loaders draw them, half of them mirrored; always the same ones.

    They are those of UMT's first stage: sides of a few lengths, at a few places.

    Args:
        num_views: how many.
        crop_px: side of what is seen.
    """
    rng = np.random.default_rng(_SEED)
    seen = centre(crop_px)
    return tuple(_perhaps_mirrored(replace(seen, box=_draw_box(rng)), rng) for _ in range(num_views))


def resized_views(num_views: int, *, crop_px: int) -> tuple[View, ...]:
    """Return views as the loader of UMT's second stage draws them, half of them mirrored; always the same.

    They have half of the frame's area or more, sides of 3:4 to 4:3, and any place.

    Args:
        num_views: how many.
        crop_px: side of what is seen.
    """
    rng = np.random.default_rng(_SEED)
    seen = centre(crop_px)
    return tuple(_perhaps_mirrored(replace(seen, resized=_draw_crop(rng)), rng) for _ in range(num_views))


def vimpac_views(crop_px: int) -> tuple[View, ...]:
    """Return the 12 views that VIMPAC is finetuned on (its data preparation: flips x crops x sizes).

    Plain ones before mirrored ones, the short side as large as the square before a quarter larger (rounded
    down), then the middle, the upper left and the lower right. So the first view is the one of pretraining,
    and the first three are those of a test.

    Args:
        crop_px: side of what is seen.
    """
    return tuple(
        View(resize_px=resize_px, crop_px=crop_px, top=place, left=place, flip=flip)
        for flip in (False, True)
        for resize_px in (crop_px, crop_px * 5 // 4)
        for place in VIMPAC_PLACES
    )


def _draw_box(rng: np.random.Generator) -> Box:
    tall, wide = SHAPES[rng.integers(len(SHAPES))]
    across, down = PLACES[rng.integers(len(PLACES))]
    return Box(top=down / 4, left=across / 4, height=SCALES[tall], width=SCALES[wide])


def _draw_crop(rng: np.random.Generator) -> ResizedCrop:
    drawn = [draw_shape(areas=_RESIZED_AREAS, rng=rng) for _ in range(NUM_DRAWS)]
    top, left = (round(rng.random(), _DIGITS) for _ in range(2))
    draws = tuple((round(draw.area, _DIGITS), round(draw.shape, _DIGITS)) for draw in drawn)
    return ResizedCrop(top=top, left=left, draws=draws)


def _perhaps_mirrored(view: View, rng: np.random.Generator) -> View:
    """Return a view, mirrored with a probability of one half."""
    return replace(view, flip=bool(rng.integers(2)))


def _read_views(path: Path, *, crop_px: int) -> tuple[View, ...]:
    try:
        found = read_json(path)
    except (OSError, DamageError) as error:
        raise UsageError(
            f"--views {path} is neither center nor random:K nor resized:K nor vimpac12 nor a file of JSON "
            f"that can be read ({error})."
        ) from None
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_VIEWS:
        raise UsageError(f"{path} must hold a JSON list of 1 to {MAX_VIEWS} views.")
    sides = {"resize_px": crop_px, "crop_px": crop_px}
    given = [{**sides, **view} if isinstance(view, dict) else view for view in found]
    try:
        views: tuple[View, ...] = coerce(given, tuple[View, ...], key="views")
    except ValueError as error:
        raise UsageError(f"{path} holds something else than views: {error}.") from None
    if other := {view.crop_px for view in views} - {crop_px}:
        raise UsageError(
            f"{path} holds a view of {min(other)} px where --crop makes all of them {crop_px} px: leave "
            "crop_px out, or change --crop."
        )
    return views
