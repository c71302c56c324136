"""What a recipe needs of a dataset's frames, and whether they are so: time between them, size, how many.

A clip of the right number of frames at the wrong distance in time, or of enlarged pixels, trains without a
word and learns something else. So it is refused before a model is built, unless it is accepted aloud.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vfm.shards.clips import is_near, nearest_stride
from vfm.shards.columns.options import ENLARGEMENT
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.reading.dataset import Dataset
from vfm.shards.reading.stored_frames import enlargement, look_at, short_side, stored_fps
from vfm.trainer.recipes.encoder import reads_images
from vfm.trainer.recipes.recipe import Recipe

MAX_REPEATED = 0.1  # mean share of a clip's frames that may lie past the end of its video


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a recipe was made for.

    Attributes:
        clip_len: frames of a clip.
        spans_video: whether the frames of a clip are taken from the whole video, whatever its length.
        seconds_apart: from one frame of a clip to the next.
        frame_px: side of the square that the network sees, in pixels.
    """

    clip_len: int
    spans_video: bool = False
    seconds_apart: float | Literal["any"]
    frame_px: int | Literal["any"]

    def __str__(self) -> str:
        """Return the words for it: ``clips of 16 frames, 0.133 s apart (2 s), of 224 px``."""
        apart, side = self.seconds_apart, self.frame_px
        time = "any time apart" if apart == "any" else f"{apart:.3g} s apart"
        time = "from all over a video" if self.spans_video else time
        return f"clips of {self.clip_len} frames, {time}, of {'any size' if side == 'any' else f'{side} px'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a dataset has.

    Attributes:
        fps: stored frames per second; None where they are not evenly spaced, or nothing says so.
        num_frames: int64 [N], stored frames of each sample.
        short_px: short side of what the network's square is cut from: of the stored frames, or of the frames
            of the video where it is less, for half of the samples at least; None unknown.
        source_px: short side of the frames of the videos, for half of the samples at least; None unknown.
        square_px: side of the square that target columns were made of; None where there are none, or none of
            pixels.
        enlargement: how many times pixels were enlarged, on request, when target columns were made.
    """

    fps: float | None
    num_frames: npt.NDArray[np.int64]
    short_px: int | None
    source_px: int | None
    square_px: int | None
    enlargement: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a dataset's clips are, kept with every result.

    Attributes:
        stride: stored frames from one frame of a clip to the next.
        seconds_apart: the time between them; None unknown, or different from video to video.
        repeated_frames: mean share of a clip's frames that lie past the end of its video, 0..1.
        enlargement: how many times pixels are enlarged to the recipe's size, or were for its targets; 1 where
            they are not.
    """

    stride: int
    seconds_apart: float | None
    repeated_frames: float
    enlargement: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def requirements_of(recipe: Recipe) -> Requirements:
    """Return what a recipe needs."""
    return Requirements(
        clip_len=recipe.data.clip_len,
        spans_video=recipe.data.spans_video,
        seconds_apart=recipe.data.seconds_apart,
        frame_px=recipe.model.frame_px,
    )


def fit_to_data(
    recipe: Recipe, dataset: Dataset, *, accept: bool, say: Callable[[str], None]
) -> tuple[Recipe, Fit]:
    """Return the recipe with its stride in stored frames, and how well the dataset's clips are what it needs.

    Args:
        recipe: with its columns resolved.
        dataset: opened with these columns.
        accept: go on, aloud, where the dataset does not fit.
        say: takes a sentence about what does not fit but is accepted.

    Raises:
        UsageError: it does not fit; says how it could.
    """
    fits = [_fit(recipe, part, accept=accept, say=say) for part in dataset.parts]
    fit = fits[0] if len(fits) == 1 else _fit_of_all(dataset, fits)
    return replace(recipe, data=replace(recipe.data, stride=fit.stride)), fit


def _fit_of_all(dataset: Dataset, fits: Sequence[Fit]) -> Fit:
    """Return how the clips of a mixture are, from how those of its parts are."""
    of_videos = [
        (part, fit) for part, fit in zip(dataset.parts, fits, strict=True) if not part.manifest.holds_images
    ]
    for part, fit in of_videos:
        first, chosen = of_videos[0]
        if (fit.stride, fit.seconds_apart) != (chosen.stride, chosen.seconds_apart):
            raise UsageError(
                f"The frames of a clip would lie {_apart(chosen)} in {first.data} and "
                f"{_apart(fit)} in {part.data}: extract both at the same rate to mix them."
            )
    repeated = [fit.repeated_frames for fit in fits]
    return replace(
        of_videos[0][1] if of_videos else fits[0],
        repeated_frames=float(np.average(repeated, weights=[share.per_epoch for share in dataset.shares])),
        enlargement=max(fit.enlargement for fit in fits),
    )


def _fit(recipe: Recipe, dataset: Dataset, *, accept: bool, say: Callable[[str], None]) -> Fit:
    """Return how well one dataset's clips are what a recipe needs; see `fit_to_data`."""
    needed, offer = requirements_of(recipe), offer_of(dataset, columns=recipe.data.columns)
    if dataset.manifest.holds_images:
        if not reads_images(recipe):
            raise UsageError(
                f"{dataset.data} holds images, and {recipe.name} is made for {needed}: give it videos."
            )
        needed = replace(needed, clip_len=1, seconds_apart="any", spans_video=True)
    fit = compare(needed, offer, stride=recipe.data.stride)
    if wrong := misfits(needed, offer, fit):
        told = f"{recipe.name} is made for {needed}, and {dataset.data} has {', and '.join(wrong)}"
        if not accept:
            raise UsageError(f"{told}: {remedy(needed, offer)}, or go on with --accept-data.")
        say(f"{told}: accepted.")
    return fit


def _apart(fit: Fit) -> str:
    frames = "1 stored frame" if fit.stride == 1 else f"{fit.stride} stored frames"
    return f"{frames} apart" if fit.seconds_apart is None else f"{frames}, {fit.seconds_apart:.3g} s, apart"


def offer_of(dataset: Dataset, *, columns: Sequence[str]) -> Offer:
    """Return what a dataset has; sizes and rates that only samples tell are those of a few, evenly spread."""
    metas = look_at(dataset)
    side = short_side(metas)
    targets = [dataset.manifest.columns[name].options for name in columns if name != FRAMES]
    squares = [view["crop_px"] for target in targets for view in target.get("views", [])]
    return Offer(
        fps=stored_fps(dataset, metas),
        num_frames=dataset.num_frames,
        short_px=None if side is None else side.short_px,
        source_px=None if side is None else side.source_px,
        square_px=squares[0] if squares else None,
        enlargement=max((target.get(ENLARGEMENT, 1.0) for target in targets), default=1.0),
    )


def compare(needed: Requirements, offer: Offer, *, stride: int | None) -> Fit:
    """Return the stride that comes nearest to what is needed, and what the clips are like with it.

    Args:
        needed: what the recipe needs.
        offer: what the dataset has.
        stride: stored frames between those of a clip; None follows from the time between them.
    """
    if stride is None and needed.seconds_apart != "any" and offer.fps is not None:
        stride = nearest_stride(needed.seconds_apart, fps=offer.fps)
    stride = max(stride or 1, 1)
    enlarged = offer.enlargement
    if needed.frame_px != "any" and offer.square_px is None and offer.short_px:
        enlarged = enlargement(needed.frame_px, short_px=offer.short_px)
    inside = np.minimum(-(-offer.num_frames // stride), needed.clip_len)
    return Fit(
        stride=stride,
        seconds_apart=None if offer.fps is None or needed.spans_video else stride / offer.fps,
        repeated_frames=float(1 - inside.mean() / needed.clip_len) if len(inside) else 0.0,
        enlargement=enlarged,
    )


def misfits(needed: Requirements, offer: Offer, fit: Fit) -> list[str]:
    """Return what of a dataset's clips is not as needed, in words; nothing where all is."""
    wrong = []
    if needed.seconds_apart != "any":
        if fit.seconds_apart is None:
            wrong.append("frames at no fixed rate")
        elif not is_near(fit.seconds_apart, wanted_s=needed.seconds_apart):
            span_s = (needed.clip_len - 1) * fit.seconds_apart
            wrong.append(f"frames {fit.seconds_apart:.3g} s apart, so that a clip spans {span_s:.3g} s")
    if fit.repeated_frames > MAX_REPEATED:
        wrong.append(f"videos so short that {fit.repeated_frames:.0%} of a clip's frames lie past their end")
    if fit.enlargement > offer.enlargement:  # what was enlarged for a column was accepted there
        wrong.append(f"frames of {offer.short_px} px, which would be enlarged {fit.enlargement:.3g} times")
    if needed.frame_px != "any" and offer.square_px not in (None, needed.frame_px):
        wrong.append(f"a column made of frames of {offer.square_px} px")
    return wrong


def remedy(needed: Requirements, offer: Offer) -> str:
    """Return how a dataset that fits can be made, never by enlarging."""
    frame_px = needed.frame_px
    if frame_px != "any" and offer.source_px is not None and offer.source_px < frame_px:
        return f"its videos have {offer.source_px} px, so choose a recipe for frames of that size"
    is_other_square = frame_px != "any" and offer.square_px not in (None, frame_px)
    if frame_px != "any" and is_other_square and (offer.short_px or frame_px) >= frame_px:
        return f"recompute the column with `vfm tokenize DATA --target ... --crop {frame_px} --name NEW`"
    side = "" if frame_px == "any" else f" --size {frame_px}"
    rule = f"--fps {wanted_fps(needed, offer):.6g}"
    if needed.spans_video:
        rule = f"--num-frames {2 * needed.clip_len}"  # twice a clip: there is something to draw from
    return f"extract one that fits with `vfm extract VIDEOS NEW_DATA {rule}{side}`"


def wanted_fps(needed: Requirements, offer: Offer) -> float:
    """Return the lowest rate of extraction at which clips are as needed."""
    if needed.seconds_apart != "any":
        return round(1 / needed.seconds_apart, 3)
    # A clip is to fit into nine videos of ten.
    longest = float(np.quantile(offer.num_frames, MAX_REPEATED)) if len(offer.num_frames) else 1.0
    return math.ceil((offer.fps or 1.0) * needed.clip_len / max(longest, 1.0))
