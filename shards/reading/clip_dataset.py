"""One clip of every sample of a dataset, for the loader of PyTorch; NumPy alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, get_args

from vfm.shards.array_types import Int64
from vfm.shards.clips import clip_times, is_near, middle_start, nearest_stride, random_start
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.order import sample_rng
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.reading.clip_frames import read_frames, shown_times
from vfm.shards.reading.item import place_of
from vfm.shards.reading.stored_frames import enlargement, look_at, short_side, stored_fps

if TYPE_CHECKING:
    from vfm.shards.reading.dataset import Dataset

Where = Literal["start", "middle", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipWindow:
    """Which stored frames of a sample make its clip.

    Attributes:
        num_frames: of a clip.
        stride: stored frames from one frame of a clip to the next.
        where: ``start``, ``middle`` or ``random``: where in the video the clip lies.
        seed: of random clips.
    """

    num_frames: int
    stride: int
    where: Where = "middle"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no clip can be."""
        _check_whole("num_frames", self.num_frames, low=1)
        _check_whole("seed", self.seed, low=0)
        if self.where not in get_args(Where):
            raise UsageError(f"where is {self.where!r}: use {', '.join(map(repr, get_args(Where)))}.")

    def times(self, num_stored: int, *, epoch: int, key: str) -> Int64:
        """Return the stored frames of a sample's clip, int64 [num_frames], `clips.PAD` past the end.

        Args:
            num_stored: frames that the sample has.
            epoch: of random clips.
            key: of the sample.
        """
        span = {"clip_len": self.num_frames, "stride": self.stride}
        start = 0
        if self.where == "middle":
            start = middle_start(num_stored, **span)
        elif self.where == "random":
            # As the trainer draws them: the same seed and epoch show the same clips.
            rng = sample_rng(seed=self.seed, epoch=epoch, key=key)
            start = random_start(num_stored, **span, rng=rng)
        return clip_times(start, num_frames=num_stored, **span)


class ClipDataset:
    """One clip of each sample, which torch's `DataLoader` reads and stacks as it is; picklable.

    Only frames are read; `Dataset.array` and `Dataset.rows` read target columns.

    Attributes:
        dataset: the samples.
        window: which frames make a clip.
        size_px: side of the square that is seen.
        epoch: of random clips, see `set_epoch`.
    """

    def __init__(
        self, dataset: "Dataset", *, window: ClipWindow, size_px: int, allow_enlarging: bool = False
    ) -> None:
        if FRAMES not in dataset.columns:
            raise UsageError(f'{dataset} was opened without frames: open it with columns=["{FRAMES}"].')
        _check_whole("size_px", size_px, low=1)
        if not allow_enlarging:
            _check_not_enlarged(dataset, size_px=size_px)
        self.dataset = dataset
        self.window = window
        self.size_px = size_px
        self.epoch = 0
        self._view = centre(size_px)

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        """Return what it is in a line, for a prompt."""
        return f"ClipDataset({self.dataset!r}, window={self.window}, size_px={self.size_px})"

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        """Return the clip of a sample, in an array that is the caller's own.

        Returns:
            ``frames``, uint8 [T, S, S, 3]; ``label``, its position in ``dataset.classes``, -1 unknown; and
            ``key``.

        Raises:
            DamageError: stored bytes are not what was written.
            IndexError: there is no such sample.
            TypeError: ``index`` is no whole number.
        """
        dataset, place = self.dataset, place_of(index, count=len(self), of=self.dataset)
        key = dataset.keys[place]
        times = self.window.times(int(dataset.num_frames[place]), epoch=self.epoch, key=key)
        frames = read_frames(dataset, place, shown_times(dataset, place, times))
        return {
            "frames": apply_view(frames, self._view),
            "label": int(dataset.class_indices[place]),
            "key": key,
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the clip of every sample."""
        return (self[index] for index in range(len(self)))

    def set_epoch(self, epoch: int) -> None:
        """Draw other random clips from now on: a function of seed, epoch and key, on any number of workers.

        Loaders tell their workers when an iteration begins, unless they keep them (``persistent_workers``).

        Raises:
            UsageError: it is no whole number, or below 0.
        """
        _check_whole("epoch", epoch, low=0)
        self.epoch = epoch


def stride_of(dataset: "Dataset", *, seconds_apart: float | None) -> int:
    """Return how many stored frames apart those of a clip are to lie, by the rule of training.

    Args:
        dataset: that has the frames.
        seconds_apart: the time between two frames of a clip; None takes the next stored one.

    Raises:
        UsageError: no stride comes near it, or the parts of a mixture have different rates.
    """
    if seconds_apart is None:
        return 1
    if not 0 < seconds_apart < math.inf:
        raise UsageError(f"seconds_apart is {seconds_apart}, but must be above 0.")
    strides = {_stride(part, seconds_apart=seconds_apart) for part in dataset.parts}
    if len(strides) > 1:
        raise UsageError(
            f"Frames {seconds_apart:.3g} s apart are {' or '.join(map(str, sorted(strides)))} stored frames "
            f"apart in {dataset}: extract all at the same rate to mix them."
        )
    return strides.pop()


def _stride(dataset: "Dataset", *, seconds_apart: float) -> int:
    fps = stored_fps(dataset, look_at(dataset))
    if fps is None:
        raise UsageError(
            f"{dataset} has frames at no fixed rate, of which none are known to lie {seconds_apart:.3g} s "
            "apart: leave seconds_apart out, or extract with `vfm extract --fps`."
        )
    stride = nearest_stride(seconds_apart, fps=fps)
    if not is_near(stride / fps, wanted_s=seconds_apart):
        raise UsageError(
            f"The nearest to {seconds_apart:.3g} s that stored frames of {dataset} lie apart is "
            f"{stride / fps:.3g} s: use seconds_apart={stride / fps:.3g}, or extract with "
            f"`vfm extract --fps {1 / seconds_apart:.4g}`."
        )
    return stride


def _check_whole(name: str, value: Any, *, low: int) -> None:
    if not isinstance(value, Integral) or value < low:
        raise UsageError(f"{name} is {value!r}, but must be a whole number of {low} or more.")


def _check_not_enlarged(dataset: "Dataset", *, size_px: int) -> None:
    for part in dataset.parts:
        side = short_side(look_at(part))
        if side is not None and (times := enlargement(size_px, short_px=side.short_px)) > 1:
            raise UsageError(
                f"{part} has frames of {side.short_px} px, which would be enlarged {times:.3g} times: use "
                f"size_px={side.short_px} or less, or allow_enlarging=True."
            )
