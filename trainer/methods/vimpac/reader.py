"""From a sample's codes to what the model reads: clips, padded at the end, masked for pretraining."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vfm.shards.clips import PAD, clip_times, random_start
from vfm.shards.columns.arrays import check_codes
from vfm.shards.columns.options import views_in
from vfm.shards.columns.views import VIMPAC_PLACES
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.pixels.views import View
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import counted
from vfm.trainer.methods.vimpac.mask import mask_clip
from vfm.trainer.methods.vimpac.recipe import Objective
from vfm.trainer.recipes.classify import Augmentation, StoredViews
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe

KIND, FIELD = "vq", "codes"
FIRST = 0  # the view that pretraining reads, as the reference does: the middle square
_NUM_SQUARES = len(VIMPAC_PLACES)  # of a clip in a test
_VIEWS_COMMAND = "`vfm tokenize DATA --target vq:CODEBOOK --views vimpac12 --name NEW`"


def vocab_size_of(column: str, dataset: Dataset) -> int:
    """Return how many codes the codebook of a column has.

    Raises:
        UsageError: the column holds no codes.
    """
    found = dataset.manifest.columns[column].options.get("vocab_size")
    if not isinstance(found, int):
        raise UsageError(
            f"Column {column} holds no codes of a codebook: "
            "make some with `vfm tokenize DATA --target vq:CODEBOOK`."
        )
    return found


def grid_in(column: str, dataset: Dataset) -> tuple[int, int]:
    """Return rows and columns of a frame's code grid, the same for every sample of a column."""
    if len(dataset) == 0:
        raise UsageError(f"No sample of {column} is left to learn from: choose another split.")
    codes = _reader(column, dataset).stored(dataset, 0)
    return codes.shape[2], codes.shape[3]


def read_codes(recipe: Recipe, dataset: Dataset) -> "CodeReader":
    """Return the reader of the recipe's column."""
    column = column_of_kind(recipe, KIND)
    return replace(_reader(column, dataset), grid=grid_in(column, dataset))


def _reader(column: str, dataset: Dataset) -> "CodeReader":
    vocab_size = vocab_size_of(column, dataset)
    views = views_in(dataset.manifest.columns[column].options, name=column)
    return CodeReader(column=column, vocab_size=vocab_size, views=views)


def read_clips(recipe: Recipe, dataset: Dataset) -> "CodeReader":
    """Return the reader of the recipe's column, of which the middle square can be read.

    Raises:
        UsageError: it cannot, which no run shall find out only when it is validated.
    """
    reader = read_codes(recipe, dataset)
    reader.squares(num_crops=1)
    return reader


def take_frames(codes_THW: np.ndarray, times: np.ndarray | Sequence[int], *, vocab_size: int) -> np.ndarray:
    """Return the codes at these times as int64 [L, H, W]; a time of -1 is a frame of PAD (id V + 1)."""
    times = np.asarray(times)
    clip: np.ndarray = codes_THW[np.maximum(times, 0)].astype(np.int64)
    clip[times == PAD] = vocab_size + 1
    return clip


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReader:
    """Reads one clip of a sample, as finetuning and evaluation want it.

    Attributes:
        column: a column of codes, such as "vq.demo".
        vocab_size: codes of its codebook.
        grid: rows and columns of the codes of a frame, the same for every sample; None for any.
        views: the views that are stored; empty where the column does not tell, which has one: the middle.
    """

    column: str
    vocab_size: int
    grid: tuple[int, int] | None = None
    views: tuple[View, ...] = ()

    def __call__(self, dataset: Dataset, index: int, times: np.ndarray) -> dict[str, np.ndarray]:
        """Return `codes`, int64 [L, H, W], of the first view."""
        codes = take_frames(self.stored(dataset, index)[FIRST], times, vocab_size=self.vocab_size)
        return {"codes": codes}

    def draw(
        self, dataset: Dataset, index: int, times: np.ndarray, *, how: Augmentation, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return `codes`, int64 [1, L, H, W], of one stored view; nothing is drawn where there is but one.

        Raises:
            UsageError: pixels are to be changed, and codes belong to those they were computed from; or all
                views are mirrored.
        """
        if how.crop_area is not None:
            raise UsageError(
                f"{self.column} holds codes, which cannot be cropped or mirrored: leave out "
                "objective.augment.crop_area."
            )
        allowed = self.drawable(how.stored_views)
        view = allowed[int(rng.integers(len(allowed)))] if len(allowed) > 1 else allowed[0]
        codes = take_frames(self.stored(dataset, index)[view], times, vocab_size=self.vocab_size)
        return {"codes": codes[None]}

    def drawable(self, which: StoredViews) -> list[int]:
        """Return which views training draws from.

        Raises:
            UsageError: there are none.
        """
        if which == "first" or not self.views:
            return [FIRST]
        allowed = [i for i, view in enumerate(self.views) if which == "any" or not view.flip]
        if not allowed:
            raise UsageError(
                f"{self.column} holds mirrored views alone: set objective.augment.stored_views=any, or make "
                f"others with {_VIEWS_COMMAND}."
            )
        return allowed

    def spread(
        self, dataset: Dataset, index: int, clips: Sequence[np.ndarray], *, num_crops: int
    ) -> dict[str, np.ndarray]:
        """Return `codes`, int64 [K, L, H, W], the crops of the first clip first; see `squares`."""
        stored = self.stored(dataset, index)[self.squares(num_crops=num_crops)]
        codes = [take_frames(view, times, vocab_size=self.vocab_size) for times in clips for view in stored]
        return {"codes": np.stack(codes)}

    def squares(self, *, num_crops: int) -> list[int]:
        """Return which views a test reads: plain ones whose short side is the whole of the frame's.

        Args:
            num_crops: 1, the middle, or 3: the middle, then both ends of the long side.

        Raises:
            UsageError: another number, or a view that is not stored.
        """
        if num_crops not in (1, _NUM_SQUARES):
            raise UsageError(f"{num_crops} crops of codes do not exist: use --crops 1 or {_NUM_SQUARES}.")
        if num_crops == 1 and not self.views:
            return [FIRST]
        sides_px = {view.crop_px for view in self.views}
        wanted = [
            View(resize_px=side_px, crop_px=side_px, top=place, left=place)
            for side_px in sides_px
            for place in VIMPAC_PLACES[:num_crops]
        ]
        if not wanted or not set(wanted) <= set(self.views):
            what = "the middle square" if num_crops == 1 else f"{num_crops} crops"
            way = "" if num_crops == 1 else ", or use --crops 1"
            raise UsageError(
                f"{self.column} does not hold codes of {what}, which are read in a test: make some with "
                f"{_VIEWS_COMMAND}{way}."
            )
        return [self.views.index(view) for view in wanted]

    def stored(self, dataset: Dataset, index: int) -> np.ndarray:
        """Return a sample's codes [V, T, H, W], unsigned.

        Raises:
            DamageError: they are not codes of the codebook, of this grid and these views: as an id of MASK or
                PAD one would be learned in silence.
        """
        codes = dataset.array(index, self.column, FIELD)
        name = f"Sample {dataset.keys[index]} of {self.column}"
        check_codes(
            codes,
            name=name,
            num_frames=int(dataset.num_frames[index]),
            vocab_size=self.vocab_size,
            grid=self.grid,
        )
        if len(codes) != max(len(self.views), 1):
            raise DamageError(
                f"{name} holds {counted(len(codes), 'view')} where the column has {max(len(self.views), 1)}: "
                "recompute the column with `vfm tokenize`."
            )
        return codes


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainReader:
    """Draws two clips of a video, independently, and masks each by itself.

    Attributes:
        reader: reads the codes.
        clip_len: frames of a clip.
        stride: stored frames from one frame of a clip to the next.
        objective: what to mask.
    """

    reader: CodeReader
    clip_len: int
    stride: int
    objective: Objective

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return `codes` and `labels`, int64 [2, L, H, W]: ids with MASK in place, and what is behind it."""
        stored = self.reader.stored(dataset, index)[FIRST]
        clips = [self._draw(stored, rng) for _ in range(2)]
        return {
            "codes": np.stack([codes for codes, _ in clips]),
            "labels": np.stack([labels for _, labels in clips]),
        }

    def _draw(self, stored_THW: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        span = {"clip_len": self.clip_len, "stride": self.stride}
        start = random_start(len(stored_THW), **span, rng=rng)
        times = clip_times(start, num_frames=len(stored_THW), **span)
        vocab_size = self.reader.vocab_size
        codes = take_frames(stored_THW, times, vocab_size=vocab_size)
        return mask_clip(codes, objective=self.objective, vocab_size=vocab_size, rng=rng)
