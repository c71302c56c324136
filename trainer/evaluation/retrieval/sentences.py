"""Sentences that are none of a dataset's captions, for a model that has learned to retrieve."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer import methods
from vfm.trainer.distributed import World
from vfm.trainer.evaluation.retrieval.evaluate import retriever
from vfm.trainer.evaluation.retrieval.vocabularies import KnownVocabulary
from vfm.trainer.recipes.columns import resolve_columns, with_columns
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.video_text.captions import TextColumn, cut


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sentence:
    """A sentence as a model reads it.

    Attributes:
        text: as it was written.
        row: its ids, int64 [L], as captions were read in training.
        num_ids: how many there were before it was cut.
        unknown_words: that the vocabulary does not have.
        has_known: whether it has a word that the vocabulary knows.
    """

    text: str
    row: Int64
    num_ids: int
    unknown_words: tuple[str, ...]
    has_known: bool

    @property
    def is_cut(self) -> bool:
        """Return whether the model does not read its end."""
        return len(self.row) < self.num_ids


def read_sentence(text: str, known: KnownVocabulary, *, max_ids: int) -> Sentence:
    """Return a sentence, cut to what the model reads."""
    vocabulary = known.vocabulary
    whole = vocabulary.encode([text])[0][0].astype(np.int64)
    row = cut(whole, max_ids=max_ids)
    return Sentence(
        text=text,
        row=row,
        num_ids=len(whole),
        unknown_words=tuple(vocabulary.unknown_words(text)),
        has_known=not set(row.tolist()) <= {*vocabulary.special_ids, vocabulary.unknown_id},
    )


def open_clips(recipe: Recipe, *, data: Path, split: str) -> tuple[Recipe, Dataset]:
    """Return the recipe with the columns that clips are read from, and the samples with these alone.

    Raises:
        UsageError: no such dataset or split, or no sample.
    """
    read = methods.load(recipe.method).clip_columns(recipe.data.columns)
    recipe = resolve_columns(with_columns(recipe, read), read_manifest(data))
    dataset = open_dataset(data, columns=recipe.data.columns, select_split=split)
    if not len(dataset):
        raise UsageError(f"{data} has no sample to find: `vfm inspect {data}` tells why.")
    return recipe, dataset


def retriever_of_sentences(
    start: InitialWeights, *, recipe: Recipe, dataset: Dataset, known: KnownVocabulary, world: World
) -> Retrieve:
    """Return the encoders of weights, ready to be asked by sentences of a vocabulary.

    Args:
        start: the weights.
        recipe: of `open_clips`.
        dataset: that has the clips.
        known: the vocabulary.
        world: where to compute.

    Raises:
        UsageError: the weights know another number of words.
    """
    vocabulary = known.vocabulary
    column = TextColumn(
        name=str(known.path),
        vocab_size=vocabulary.size,
        pad_id=vocabulary.pad_id,
        mask_id=vocabulary.mask_id,
        special_ids=tuple(vocabulary.special_ids),
    )
    try:
        return retriever(start, recipe=recipe, dataset=dataset, column=column, world=world)
    except UsageError:
        if known.is_proven:
            raise
        # The recipe is theirs, so that the number of words alone can differ.
        raise UsageError(
            f"{known.path} has {vocabulary.size} words, and {start.path} was trained with another number: "
            "name the vocabulary of its training with --vocabulary."
        ) from None
