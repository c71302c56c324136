"""Videos of a dataset that a sentence finds, by a model that has learned to retrieve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.shards.splits import ALL, canonical_split
from vfm.shards.wording import counted, listed
from vfm.trainer.distributed import join
from vfm.trainer.engine.inference import Inference
from vfm.trainer.engine.opening import where
from vfm.trainer.evaluation.missing import of_split
from vfm.trainer.evaluation.retrieval.evaluate import retrieval_recipe
from vfm.trainer.evaluation.retrieval.matching import Matcher, check_finite, check_matching
from vfm.trainer.evaluation.retrieval.sentences import (
    Sentence,
    open_clips,
    read_sentence,
    retriever_of_sentences,
)
from vfm.trainer.evaluation.retrieval.similarity import text_vectors, video_vectors
from vfm.trainer.evaluation.retrieval.vocabularies import KnownVocabulary, vocabulary_of
from vfm.trainer.evaluation.score import inference_of
from vfm.trainer.evaluation.search.answers import Answer, Hit, SearchResult
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import from_path
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.threads import cpu_threads

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
        recipe, dataset = open_clips(retrieval_recipe(start, path=path), data=data, split=how.split)
        recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)
        known = vocabulary_of(start, path=path, data=data, given=how.vocabulary)
        asked = [_asked(each, known, recipe=recipe, say=options.say) for each in sentences]
        task = retriever_of_sentences(start, recipe=recipe, dataset=dataset, known=known, world=world)
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


def _asked(text: str, known: KnownVocabulary, *, recipe: Recipe, say: Callable[[str], None]) -> Sentence:
    """Return a sentence; what of it the model does not get to see is said."""
    max_ids = recipe.objective.max_ids
    found = read_sentence(text, known, max_ids=max_ids)
    if not found.has_known:
        raise UsageError(
            f"The vocabulary of {known.path} knows no word of {text!r}: use words of the captions that "
            "the model learned from."
        )
    if found.unknown_words:
        told = listed([repr(word) for word in found.unknown_words], limit=_NUM_TOLD)
        say(f"Not in the vocabulary, so that the model cannot tell what they mean: {told} of {text!r}.")
    if found.is_cut:
        say(f"{text!r} has {found.num_ids} ids and is cut to {max_ids}, which is all that the model reads.")
    return found


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
    asked: Sequence[Sentence],
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
            matcher = Matcher(task=task, views=views, inference=inference)
            how_sure = matcher.scores(some, rows=texts, wanted=wanted)
            check_finite(how_sure)
            scores = torch.full_like(scores, -torch.inf).scatter(0, first, how_sure[0])
        found.append(scores)
    return torch.stack(found)


def _order(scores: Tensor) -> Tensor:
    """Return the numbers of videos, the best first; equal ones in the order of the dataset."""
    return torch.argsort(scores, descending=True, stable=True)


def _answer(asked: Sentence, dataset: Dataset, *, scores: Tensor, top: int) -> Answer:
    order = _order(scores)[:top].tolist()
    metas = [dataset.meta(index) for index in order]
    return Answer(
        sentence=asked.text,
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
