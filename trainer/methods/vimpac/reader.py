"""From a sample's codes to what the model reads: clips, padded at the end, masked for pretraining."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfm.shards.clips import PAD, clip_times, random_start
from vfm.shards.columns.arrays import check_codes
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.methods.vimpac.mask import mask_clip
from vfm.trainer.methods.vimpac.recipe import Objective
from vfm.trainer.recipes.classify import Augmentation
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe

KIND, FIELD = "vq", "codes"


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
    codes = CodeReader(column=column, vocab_size=vocab_size_of(column, dataset)).stored(dataset, 0)
    return codes.shape[1], codes.shape[2]


def read_codes(recipe: Recipe, dataset: Dataset) -> "CodeReader":
    """Return the reader of the recipe's column."""
    column = column_of_kind(recipe, KIND)
    vocab_size, grid = vocab_size_of(column, dataset), grid_in(column, dataset)
    return CodeReader(column=column, vocab_size=vocab_size, grid=grid)


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
        view: which stored view to read.
        grid: rows and columns of the codes of a frame, the same for every sample; None for any.
    """

    column: str
    vocab_size: int
    view: int = 0
    grid: tuple[int, int] | None = None

    def __call__(self, dataset: Dataset, index: int, times: np.ndarray) -> dict[str, np.ndarray]:
        """Return `codes`, int64 [L, H, W]."""
        codes = take_frames(self.stored(dataset, index), times, vocab_size=self.vocab_size)
        return {"codes": codes}

    def draw(
        self, dataset: Dataset, index: int, times: np.ndarray, *, how: Augmentation, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Refuse: codes belong to the pixels they were computed from."""
        raise UsageError(
            f"{self.column} holds codes, which cannot be cropped or mirrored: leave out objective.augment."
        )

    def spread(
        self, dataset: Dataset, index: int, clips: Sequence[np.ndarray], *, num_crops: int
    ) -> dict[str, np.ndarray]:
        """Return `codes`, int64 [K, L, H, W].

        Raises:
            UsageError: more crops than one, for the codes are those of the stored view.
        """
        if num_crops != 1:
            raise UsageError(
                f"{num_crops} crops of {self.column} do not exist, which holds codes of one view: "
                "use --crops 1."
            )
        stored = self.stored(dataset, index)
        codes = [take_frames(stored, times, vocab_size=self.vocab_size) for times in clips]
        return {"codes": np.stack(codes)}

    def stored(self, dataset: Dataset, index: int) -> np.ndarray:
        """Return a sample's codes [T, H, W], unsigned.

        Raises:
            DamageError: they are not codes of the codebook, of this grid: as an id of MASK or PAD one would
                be learned in silence.
        """
        codes = dataset.array(index, self.column, FIELD)
        check_codes(
            codes,
            name=f"Sample {dataset.keys[index]} of {self.column}",
            num_frames=int(dataset.num_frames[index]),
            vocab_size=self.vocab_size,
            grid=self.grid,
        )
        found: np.ndarray = codes[self.view]
        return found


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
        stored = self.reader.stored(dataset, index)
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
