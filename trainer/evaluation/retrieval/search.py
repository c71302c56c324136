"""Videos of a dataset that a sentence finds, by a model that has learned to retrieve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.splits import ALL, canonical_split
from vfm.shards.wording import counted, listed
from vfm.trainer import methods
from vfm.trainer.distributed import World, join
from vfm.trainer.engine.inference import Inference
from vfm.trainer.engine.opening import where
from vfm.trainer.evaluation.missing import of_split
from vfm.trainer.evaluation.retrieval.answers import Answer, Hit, SearchResult
from vfm.trainer.evaluation.retrieval.evaluate import retrieval_recipe, retriever
from vfm.trainer.evaluation.retrieval.rerank import check_finite, check_matching, matching_scores
from vfm.trainer.evaluation.retrieval.similarity import text_vectors, video_vectors
from vfm.trainer.evaluation.retrieval.vocabularies import KnownVocabulary, vocabulary_of
from vfm.trainer.evaluation.score import inference_of
from vfm.trainer.recipes.columns import resolve_columns, with_columns
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, from_path
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.threads import cpu_threads
from vfm.trainer.video_text.captions import TextColumn, cut

_NUM_TOLD = 8  # words of a sentence that are not known


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How to search.

    Attributes:
        top: how many videos are wanted, 1 or more; where there are fewer, all are told.
        num_clips: clips of each video, spread over it, whose vectors are averaged.
        num_crops: squares of each clip, averaged too.
        split: which samples to search, under any name of a split; ``all`` searches every one.
        ema: whether the average of the weights is asked, in place of the weights.
        vocabulary: a file of the vocabulary, or its folder; None looks for it.
        rerank: how many videos, the most similar to a sentence, a matching head ranks anew, 1 or more; fewer
            than ``top`` are as many as that. None is none.
    """

    top: int = 10
    num_clips: int = 5
    num_crops: int = 1
    split: str = ALL
    ema: bool = False
    vocabulary: Path | None = None
    rerank: int | None = None

    def __post_init__(self) -> None:
        """Call the split by its one name."""
        object.__setattr__(self, "split", canonical_split(self.split))


def search(
    path: Path, *, data: Path, sentences: Sequence[str], how: SearchOptions, options: RunOptions
) -> SearchResult:
    """Find videos of a dataset by sentences; captions of the dataset are not looked at.

    Vectors of videos are computed once for all sentences. A sentence is encoded by itself, so that what it
    finds does not depend on which others are asked.

    Args:
        path: of a run, or a file or folder of weights, that has learned to retrieve.
        data: the dataset's folder.
        sentences: one or more.
        how: how many are wanted, of which split, and how videos are seen.
        options: device, fallback, and who listens.

    Raises:
        UsageError: no such weights, dataset or split, no vocabulary, or a sentence without a word that it
            knows.
        DamageError: stored bytes are not what was written.
    """
    _check_sentences(sentences)
    with cpu_threads(options.num_threads), join(options.device) as world:
        start = from_path(path, options=options, averaged=how.ema)
        recipe, dataset = _open(retrieval_recipe(start, path=path), data=data, split=how.split)
        recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)
        known = vocabulary_of(start, path=path, data=data, given=how.vocabulary)
        asked = [_asked(each, known, recipe=recipe, say=options.say) for each in sentences]
        task = _task(start, recipe=recipe, dataset=dataset, known=known, world=world)
        step = "" if start.step is None else f", step {start.step},"
        options.say(
            f"Searching {counted(len(dataset), 'video')}{of_split(how.split)} of {data} with {path}{step} on "
            f"{where(world)}: {counted(how.num_clips, 'clip')} in {counted(how.num_crops, 'crop')} each."
        )
        k = _num_reranked(task, how, path=path, num_videos=len(dataset), say=options.say)
        inference = inference_of(world, options=options)
        scores = _scores(task, dataset=dataset, asked=asked, k=k, how=how, inference=inference)
    return SearchResult(
        model=str(path),
        step=start.step,
        ema=how.ema,
        data=str(data),
        split=how.split,
        num_clips=how.num_clips,
        num_crops=how.num_crops,
        num_videos=len(dataset),
        rerank=k,
        fit=fit,
        answers=tuple(
            _answer(each, dataset, scores=row, top=how.top) for each, row in zip(asked, scores, strict=True)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """A sentence, and its ids, int64 [L], as captions were read in training."""

    sentence: str
    row: Int64
    unknown_words: tuple[str, ...]
    is_cut: bool


def _is_text(sentence: str) -> bool:
    """Return whether a sentence is what UTF-8 can say; an argument that was not comes with surrogates."""
    try:
        sentence.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_sentences(sentences: Sequence[str]) -> None:
    if not sentences or not all(sentence.strip() for sentence in sentences):
        raise UsageError("A sentence to search by is empty: write what is to be seen, such as 'a dog runs'.")
    for sentence in sentences:
        if not _is_text(sentence):
            raise UsageError(f"{sentence!r} is not UTF-8: set the terminal to it, or write another sentence.")


def _open(recipe: Recipe, *, data: Path, split: str) -> tuple[Recipe, Dataset]:
    """Return the recipe with the columns that clips are read from, and the samples with these alone."""
    read = methods.load(recipe.method).clip_columns(recipe.data.columns)
    recipe = resolve_columns(with_columns(recipe, read), read_manifest(data))
    dataset = open_dataset(data, columns=recipe.data.columns, select_split=split)
    if not len(dataset):
        raise UsageError(f"{data} has no sample to find: `vfm inspect {data}` tells why.")
    return recipe, dataset


def _asked(sentence: str, known: KnownVocabulary, *, recipe: Recipe, say: Callable[[str], None]) -> _Asked:
    """Return the ids of a sentence; what of it the model does not get to see is said."""
    vocabulary, max_ids = known.vocabulary, recipe.objective.max_ids
    unknown = vocabulary.unknown_words(sentence)
    whole = vocabulary.encode([sentence])[0][0].astype(np.int64)
    row = cut(whole, max_ids=max_ids)
    told = listed([repr(word) for word in unknown], limit=_NUM_TOLD)
    if set(row.tolist()) <= {*vocabulary.special_ids, vocabulary.unknown_id}:
        raise UsageError(
            f"The vocabulary of {known.path} knows no word of {sentence!r}: use words of the captions that "
            "the model learned from."
        )
    if unknown:
        say(f"Not in the vocabulary, so that the model cannot tell what they mean: {told} of {sentence!r}.")
    if is_cut := len(whole) > max_ids:
        say(f"{sentence!r} has {len(whole)} ids and is cut to {max_ids}, which is all that the model reads.")
    return _Asked(sentence=sentence, row=row, unknown_words=tuple(unknown), is_cut=is_cut)


def _task(
    start: InitialWeights, *, recipe: Recipe, dataset: Dataset, known: KnownVocabulary, world: World
) -> Retrieve:
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


def _num_reranked(
    task: Retrieve, how: SearchOptions, *, path: Path, num_videos: int, say: Callable[[str], None]
) -> int | None:
    """Return how many videos are ranked anew; where it is another number than was asked, this is said."""
    if how.rerank is None:
        return None
    if how.rerank < 1:
        raise UsageError(f"--rerank is {how.rerank}: give how many videos to rank anew, or leave it out.")
    check_matching(task, path=path)
    k = min(max(how.rerank, how.top), num_videos)
    if k < how.rerank:
        say(f"All {counted(k, 'video')} are ranked anew, as there are not {how.rerank}.")
    if k > how.rerank:
        say(f"The first {k} are ranked anew, not {how.rerank}: scores of all that are shown are of one kind.")
    return k


def _scores(
    task: Retrieve,
    *,
    dataset: Dataset,
    asked: Sequence[_Asked],
    k: int | None,
    how: SearchOptions,
    inference: Inference,
) -> Tensor:
    """Return the score of every sentence and every video, [T, V]; -inf where k others were ranked anew."""
    views = (how.num_clips, how.num_crops)
    videos = video_vectors(task, dataset, views=views, inference=inference)
    found = []
    # Each by itself: padded for others, or multiplied along with them, it would not be the same to the bit.
    for each in asked:
        texts = (each.row,)
        (scores,) = task.backbone.similarity(text_vectors(task, texts, world=inference.world), videos)
        if k is not None:
            first, wanted = _order(scores)[:k], torch.ones(1, k, dtype=torch.bool)
            some = dataset.select(first.numpy())
            how_sure = matching_scores(
                task, dataset=some, rows=texts, wanted=wanted, views=views, inference=inference
            )
            check_finite(how_sure)
            scores = torch.full_like(scores, -torch.inf).scatter(0, first, how_sure[0])
        found.append(scores)
    return torch.stack(found)


def _order(scores: Tensor) -> Tensor:
    """Return the numbers of videos, the best first; equal ones in the order of the dataset."""
    return torch.argsort(scores, descending=True, stable=True)


def _answer(asked: _Asked, dataset: Dataset, *, scores: Tensor, top: int) -> Answer:
    order = _order(scores)[:top].tolist()
    metas = [dataset.meta(index) for index in order]
    return Answer(
        sentence=asked.sentence,
        unknown_words=asked.unknown_words,
        is_cut=asked.is_cut,
        hits=tuple(
            Hit(
                place=place,
                score=float(scores[index]),
                key=meta.key,
                source=meta.source,
                captions=meta.written_captions,
            )
            for place, (index, meta) in enumerate(zip(order, metas, strict=True), 1)
        ),
    )
