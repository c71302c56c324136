"""Whether a target would enlarge a dataset's pixels, which adds nothing to see, and what to do instead."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfm.shards.columns.options import ENLARGEMENT
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.sample import SampleMeta
from vfm.shards.pixels.views import View
from vfm.shards.reading.dataset import Dataset
from vfm.shards.reading.stored_frames import look_at, short_side
from vfm.video2token.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Enlargement:
    """Pixels that would be enlarged, in half of the samples or more.

    Attributes:
        times: how far, above 1.
        told: what the target needs and what there is, a clause.
        remedy: what to do instead, a clause; it never enlarges.
    """

    times: float
    told: str
    remedy: str


def find_enlargement(target: Target, dataset: Dataset) -> Enlargement | None:
    """Return how a target would enlarge the frames of a dataset; None where it would not."""
    return enlargement_of(target.views, dataset, what=f"Target {target.name}", token_px=target.token_px)


def enlargement_of(
    views: Sequence[View], dataset: Dataset, *, what: str, token_px: int
) -> Enlargement | None:
    """Return how views would enlarge the frames of a dataset; None where they would not.

    Args:
        views: what of a frame is looked at.
        dataset: opened with its frames.
        what: is computed from them, for a sentence.
        token_px: sides of a view are multiples of it.
    """
    metas = look_at(dataset) if views else []
    side = short_side(metas)
    if side is None:
        return None
    needed_px = _needed_px(views, metas)
    if needed_px <= side.short_px:
        return None
    times = needed_px / side.short_px
    crop_px = int(side.short_px * max(view.crop_px for view in views) / needed_px) // token_px * token_px
    if needed_px <= side.source_px:
        is_of_images = dataset.manifest.columns[FRAMES].options.get("images")
        how = "IMAGES NEW_DATA --images" if is_of_images else f"VIDEOS NEW_DATA {_rule(metas[0])}"
        remedy = f"extract again with `vfm extract {how} --size {needed_px}`"
    elif crop_px:
        remedy = f"its videos have {side.source_px} px, so take --crop {crop_px}"
    else:
        remedy = f"one token takes {token_px} px and its videos have {side.source_px}, so take others"
    return Enlargement(
        times=times,
        told=f"{what} is computed from frames of {needed_px} px, and {dataset.data} has "
        f"frames of {side.short_px} px, which would be enlarged {times:.3g} times",
        remedy=remedy,
    )


def accepted(enlarged: Enlargement | None, *, accept: bool) -> tuple[dict[str, float], str]:
    """Return what is kept with values that were computed from enlarged frames, and the sentence about them.

    Both are empty where nothing is enlarged.

    Raises:
        UsageError: it is not accepted.
    """
    if enlarged is None:
        return {}, ""
    if not accept:
        raise UsageError(f"{enlarged.told}: {enlarged.remedy}, or go on with --accept-data.")
    return {ENLARGEMENT: enlarged.times}, f"{enlarged.told}: accepted."


def _needed_px(views: Sequence[View], metas: Sequence[SampleMeta]) -> int:
    """Return the short side that frames shaped as half of the samples' need, for all of the views."""
    shapes = [(meta.height_px, meta.width_px) for meta in metas]
    return math.ceil(float(np.median([max(view.short_px(*shape) for view in views) for shape in shapes])))


def _rule(meta: SampleMeta) -> str:
    """Return the options of ``vfm extract`` that took the frames of a sample when they did."""
    if meta.sampling == "native":
        return "--fps native"
    if meta.fps is None:
        return f"--num-frames {meta.num_frames}"
    return f"--fps {meta.fps:.12g}" + ("" if meta.sampling == "grid" else f" --sampling {meta.sampling}")
