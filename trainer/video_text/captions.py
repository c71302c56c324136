"""Captions of a sample as networks read them: ids of a vocabulary, one caption a draw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.recipes.columns import TEXT, column_of_kind
from vfm.trainer.recipes.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

IDS, NUM_IDS, CAPTION_ID = "ids", "num_ids", "caption_id"
_HIDDEN, _REPLACED = 0.8, 0.1  # shares of the words to be guessed
_HEX_DIGITS = 15  # of a hash, that fit into int64
NOT_PREDICTED = -100  # label of a word that no loss looks at

Captions = Literal["each", "joined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextColumn:
    """What a column of ids says of its vocabulary.

    Attributes:
        name: of the column.
        vocab_size: ids are below it.
        pad_id: stands behind captions that are shorter than others.
        mask_id: stands for a word that is to be guessed; None where the vocabulary has none.
        special_ids: that are no words, such as those of start and end, ascending.
    """

    name: str
    vocab_size: int
    pad_id: int
    mask_id: int | None
    special_ids: tuple[int, ...]


def text_column(recipe: Recipe, dataset: Dataset) -> TextColumn:
    """Return the column of ids that a recipe reads.

    Raises:
        UsageError: it reads none, or several, or the column was made by a version that knew no special ids.
    """
    name = column_of_kind(recipe, TEXT)
    options = dataset.manifest.columns[name].options
    if "special_ids" not in options:
        raise UsageError(
            f"Column {name} of {dataset} does not say which ids are no words: drop it with `vfm drop "
            f"{dataset} {name}` and make it again with `vfm tokenize`."
        )
    return TextColumn(
        name=name,
        vocab_size=options["vocab_size"],
        pad_id=options["pad_id"],
        mask_id=options["mask_id"],
        special_ids=tuple(options["special_ids"]),
    )


def maskable_column(recipe: Recipe, dataset: Dataset) -> TextColumn:
    """Return the column of ids that a recipe reads, of which words are to be hidden.

    Raises:
        UsageError: as of `text_column`; or its vocabulary has nothing that stands for a hidden word.
    """
    column = text_column(recipe, dataset)
    if column.mask_id is None:
        raise UsageError(
            f"The vocabulary of column {column.name} has no id for a hidden word, such as [MASK] of BERT's: "
            "make the column with another, `vfm tokenize DATA --target text:VOCABULARY`."
        )
    return column


def num_words_in(state: "Mapping[str, Tensor]", *names: str) -> int:
    """Return how many words the weights of a network know, by the first of these tables that they have.

    Raises:
        UsageError: they have none.
    """
    found = next((state[name] for name in names if name in state), None)
    if found is None:
        raise UsageError(f"The weights are of another model: {names[0]} is absent, so they know no words.")
    return len(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionReader:
    """Reads one caption of a sample, all rows equally long; small and picklable.

    Attributes:
        column: that holds the ids.
        max_ids: of a caption, start and end among them; a longer one is cut, its end mark kept.
        captions: ``each`` draws one of a sample's captions; ``joined`` puts them behind each other as one
            paragraph.
    """

    column: TextColumn
    max_ids: int
    captions: Captions = "each"

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return one caption's padded `ids`, int64 [max_ids], and `num_ids` and `caption_id`, int64 [].

        The last is the same number wherever the caption is the same.
        """
        rows = self.rows(dataset, index)
        return self.of(rows[int(rng.integers(len(rows))) if len(rows) > 1 else 0])

    def of(self, row: Int64) -> dict[str, np.ndarray]:
        """Return what a call does, of one of the `rows`."""
        ids = np.full(self.max_ids, self.column.pad_id, np.int64)
        ids[: len(row)] = row
        number = int(sha256(row.tobytes())[:_HEX_DIGITS], 16)
        return {IDS: ids, NUM_IDS: np.array(len(row)), CAPTION_ID: np.array(number)}

    def rows(self, dataset: Dataset, index: int) -> list[Int64]:
        """Return the ids of every caption of a sample, of joined ones as one, each ``max_ids`` or fewer."""
        ids = dataset.array(index, self.column.name, IDS)
        counts = dataset.array(index, self.column.name, NUM_IDS).tolist()
        rows = [row[:count].astype(np.int64) for row, count in zip(ids, counts, strict=True)]
        if self.captions == "joined":
            rows = [joined(rows, special_ids=self.column.special_ids)]
        return [cut(row, max_ids=self.max_ids) for row in rows]


def joined(rows: list[Int64], *, special_ids: tuple[int, ...]) -> Int64:
    """Return captions as one, with marks at its start and its end alone, as if they had been one text."""
    parts = []
    for number, row in enumerate(rows):
        first = 1 if number > 0 and row[0] in special_ids else 0
        last = -1 if number < len(rows) - 1 and row[-1] in special_ids else None
        parts.append(row[first:last])
    return np.concatenate(parts)


def cut(ids: Int64, *, max_ids: int) -> Int64:
    """Return at most ``max_ids`` of a caption's ids, the last one, which marks its end, among them."""
    return ids if len(ids) <= max_ids else np.append(ids[: max_ids - 1], ids[-1])


def masked_words(
    ids: Int64, *, ratio: float, special_ids: tuple[int, ...], rng: np.random.Generator
) -> Int64:
    """Return the labels of words to be guessed: the id where one is hidden, -100 elsewhere.

    Each id that is a word is hidden by itself (Devlin et al. 2019, section 3.1, task 1).

    Args:
        ids: of a caption, padded.
        ratio: probability that a word is hidden.
        special_ids: that are no words, padding among them.
        rng: source of chance.
    """
    is_hidden = (rng.random(ids.shape) < ratio) & ~np.isin(ids, special_ids)
    return np.where(is_hidden, ids, NOT_PREDICTED)


def corrupted_words(
    ids: Int64, *, num_ids: int, column: TextColumn, ratio: float, rng: np.random.Generator
) -> tuple[Int64, Int64]:
    """Return a caption of which words are to be guessed, and the labels of these as `masked_words` does.

    Of those that are chosen 80 % are hidden, 10 % become another word and 10 % stay (Devlin et al. 2019,
    section 3.1, task 1). All but the first id and padding may be, as in UMT's released code: the mark at the
    end too.

    Args:
        ids: of a caption, padded.
        num_ids: of it that are no padding.
        column: tells the words.
        ratio: probability that a word is chosen.
        rng: source of chance.
    """
    assert column.mask_id is not None, "refused in build_method"
    places = np.arange(len(ids))
    is_chosen = (rng.random(ids.shape) < ratio) & (places > 0) & (places < num_ids)
    fate, others = rng.random(ids.shape), rng.integers(column.vocab_size, size=ids.shape)
    changed = np.where(fate < _HIDDEN, column.mask_id, np.where(fate < _HIDDEN + _REPLACED, others, ids))
    return np.where(is_chosen, changed, ids), np.where(is_chosen, ids, NOT_PREDICTED)
