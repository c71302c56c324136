"""How often a model chooses, of a few sentences, the one that tells what a video shows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vfm.shards.array_types import Float64, Int64
from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256
from vfm.shards.reading.dataset import Dataset
from vfm.shards.reading.lookup import Lookup
from vfm.shards.wording import counted
from vfm.trainer.distributed import join
from vfm.trainer.engine.inference import Inference
from vfm.trainer.engine.opening import where
from vfm.trainer.evaluation.missing import of_split
from vfm.trainer.evaluation.multiple_choice.questions import Question, read_questions
from vfm.trainer.evaluation.multiple_choice.report import write_report
from vfm.trainer.evaluation.multiple_choice.result import Choices, MultipleChoiceResult, chosen, num_repeated
from vfm.trainer.evaluation.report import check_place
from vfm.trainer.evaluation.result import EvaluateOptions, fields_of
from vfm.trainer.evaluation.retrieval.evaluate import retrieval_recipe
from vfm.trainer.evaluation.retrieval.matching import Matcher, check_finite
from vfm.trainer.evaluation.retrieval.sentences import (
    Sentence,
    open_clips,
    read_sentence,
    retriever_of_sentences,
)
from vfm.trainer.evaluation.retrieval.similarity import text_vectors, video_vectors
from vfm.trainer.evaluation.retrieval.vocabularies import vocabulary_of
from vfm.trainer.evaluation.score import inference_of
from vfm.trainer.evaluation.trained_on import count_trained_on
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import from_path
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.threads import cpu_threads
from vfm.trainer.video_text.model import MatchingModel

# Of the matching head and of the vectors, in UMT's script for MSR-VTT's multiple choice.
_MATCH, _VECTORS = 0.7, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceOptions:
    """What is asked.

    Attributes:
        questions: a file of `read_questions`.
        vocabulary: a file of the vocabulary, or its folder; None looks for it.
    """

    questions: Path
    vocabulary: Path | None = None


def evaluate_all(
    paths: Sequence[Path],
    *,
    data: Path,
    how: EvaluateOptions,
    choice: ChoiceOptions,
    options: RunOptions,
) -> list[MultipleChoiceResult]:
    """Ask the newest checkpoint of each run, and each file or folder of weights, the same questions.

    Under torchrun the ranks share the samples and rank 0 writes the reports, see `write_report`; every rank
    returns all results.

    Args:
        paths: runs, files and folders.
        data: the dataset's folder, whose captions are not looked at.
        how: which split, how many views, and whether of the average of the weights.
        choice: what is asked.
        options: device, fallback, and who listens.

    Raises:
        UsageError: no weights, none that can retrieve, no such split, no vocabulary, no such questions, or
            none about a video that is there.
        MachineError: a report cannot be written.
        DamageError: stored bytes are not what was written.
    """
    questions = read_questions(choice.questions)
    with cpu_threads(options.num_threads), join(options.device) as world:
        asked = _Asked(data=data, how=how, choice=choice, questions=questions, options=options)
        return [_evaluate(path, asked, inference=inference_of(world, options=options)) for path in paths]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What `evaluate_all` is asked."""

    data: Path
    how: EvaluateOptions
    choice: ChoiceOptions
    questions: tuple[Question, ...]
    options: RunOptions


def _evaluate(path: Path, asked: _Asked, *, inference: Inference) -> MultipleChoiceResult:
    data, how, options, world = asked.data, asked.how, asked.options, inference.world
    start = from_path(path, options=options, averaged=how.ema)
    recipe = retrieval_recipe(start, path=path)
    check_place(path, how)
    recipe, every = open_clips(recipe, data=data, split=how.split)
    dataset, posed = _posed(asked.questions, every, split=how.split, say=options.say)
    recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)
    known = vocabulary_of(start, path=path, data=data, given=asked.choice.vocabulary)
    task = retriever_of_sentences(start, recipe=recipe, dataset=dataset, known=known, world=world)
    sentences = [read_sentence(text, known, max_ids=recipe.objective.max_ids) for text in posed.texts]
    step = "" if start.step is None else f", step {start.step},"
    options.say(
        f"Asking {path}{step} on {where(world)}: {counted(len(posed.questions), 'question')} about "
        f"{counted(len(dataset), 'video')} of {data}, {counted(how.num_clips, 'clip')} in "
        f"{counted(how.num_crops, 'crop')} each."
    )
    for told in _told_of(task, sentences, posed.questions):
        options.say(told)
    rows, views = [each.row for each in sentences], (how.num_clips, how.num_crops)
    scores = _scores(task, posed=posed, dataset=dataset, rows=rows, views=views, inference=inference)
    keys = tuple(dataset.keys[number] for number in posed.videos.tolist())
    result = MultipleChoiceResult(
        **fields_of(how, path=path, step=start.step, data=data),
        num_missing=len(asked.questions) - len(posed.questions),
        num_trained_on=count_trained_on(start, dataset, path=path, split=how.split, say=options.say),
        fit=fit,
        questions_sha256=sha256(asked.choice.questions.read_bytes()),
        is_matched=isinstance(task.backbone, MatchingModel),
        is_zero_shot=start.recipe.task is None,
        num_cut=sum(each.is_cut for each in sentences),
        num_unknown=sum(bool(each.unknown_words) for each in sentences),
        **chosen(Choices(keys=keys, questions=posed.questions, scores=scores)),
    )
    if world.is_chief:
        write_report(path, result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Posed:
    """Questions about samples of a dataset, their sentences counted through.

    Attributes:
        questions: Q of them.
        videos: int64 [Q], the number of the sample that each is about.
    """

    questions: tuple[Question, ...]
    videos: Int64

    @property
    def texts(self) -> list[str]:
        """Return the sentences of all questions."""
        return [text for each in self.questions for text in each.choices]

    @property
    def spans(self) -> list[slice]:
        """Return which sentences are those of each question."""
        ends = np.cumsum([len(each.choices) for each in self.questions]).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def pairs(self) -> Tensor:
        """Return which of T sentences are asked of which of V samples, bool [T, V]."""
        wanted = torch.zeros(len(self.texts), int(self.videos.max()) + 1, dtype=torch.bool)
        for span, video in zip(self.spans, self.videos.tolist(), strict=True):
            wanted[span, video] = True
        return wanted


def _posed(
    questions: Sequence[Question], every: Dataset, *, split: str, say: Callable[[str], None]
) -> tuple[Dataset, _Posed]:
    """Return the samples that questions are about, and these; those about others are counted aloud."""
    rows = Lookup(every.data, keys=every.keys.to_bytes()).named([each.video for each in questions])
    found, reasons = [], []
    for each in questions:
        row = rows[each.video]
        if isinstance(row, UsageError):
            reasons.append(str(row))
        else:
            found.append((each, row))
    if not found:
        raise UsageError(f"No question is about a sample{of_split(split)} of {every.data}: {reasons[0]}")
    if reasons:
        say(
            f"{len(reasons)} of {counted(len(questions), 'question')} are left out, as they are about no "
            f"sample{of_split(split)} of {every.data}; the first of them: {reasons[0]}"
        )
    numbers, videos = np.unique([row for _, row in found], return_inverse=True)
    return every.select(numbers), _Posed(questions=tuple(each for each, _ in found), videos=videos)


def _told_of(task: Retrieve, sentences: Sequence[Sentence], questions: Sequence[Question]) -> Iterator[str]:
    """Yield what to say of what is asked."""
    total = counted(len(sentences), "sentence")
    if not isinstance(task.backbone, MatchingModel):
        yield "Chosen by vectors alone: there is no matching head."
    if num_cut := sum(each.is_cut for each in sentences):
        yield f"{num_cut} of {total} are cut to {task.config.max_ids} ids, which is all that the model reads."
    if num_unknown := sum(bool(each.unknown_words) for each in sentences):
        yield f"{num_unknown} of {total} have words that the vocabulary does not."
    if num := num_repeated(questions):
        yield f"In {num} of {counted(len(questions), 'question')} the right sentence stands more than once."


def _scores(
    task: Retrieve,
    *,
    posed: _Posed,
    dataset: Dataset,
    rows: Sequence[Int64],
    views: tuple[int, int],
    inference: Inference,
) -> tuple[Float64, ...]:
    """Return the scores of the sentences of each question, float64 [num_choices] in 0..1."""
    texts = text_vectors(task, rows, world=inference.world)
    videos = video_vectors(task, dataset, views=views, inference=inference)
    temperature, model, scores = task.backbone.temperature(task.config), task.backbone, []
    for span, video in zip(posed.spans, posed.videos.tolist(), strict=True):
        similarity = model.similarity(texts[span], videos[video : video + 1])[:, 0].double()
        scores.append((similarity / temperature).softmax(0))
    if isinstance(model, MatchingModel):
        matcher = Matcher(task=task, views=views, inference=inference, as_probability=True)
        matched = matcher.scores(dataset, rows=rows, wanted=posed.pairs()).double()
        for number, (span, video) in enumerate(zip(posed.spans, posed.videos.tolist(), strict=True)):
            scores[number] = _MATCH * matched[span, video] + _VECTORS * scores[number]
    check_finite(torch.cat(scores))
    return tuple(each.numpy() for each in scores)
