"""How well a model finds videos by captions, and captions by videos, among those of a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.wording import counted
from vfm.trainer.distributed import World, join
from vfm.trainer.engine.inference import Inference
from vfm.trainer.engine.opening import where
from vfm.trainer.evaluation.missing import num_missing
from vfm.trainer.evaluation.report import check_place
from vfm.trainer.evaluation.result import EvaluateOptions, fields_of
from vfm.trainer.evaluation.retrieval.matching import Matcher
from vfm.trainer.evaluation.retrieval.places import places_of_texts, places_of_videos
from vfm.trainer.evaluation.retrieval.ranks import own_similarity
from vfm.trainer.evaluation.retrieval.report import write_report
from vfm.trainer.evaluation.retrieval.rerank import RankOptions, rerank, told_of_rank
from vfm.trainer.evaluation.retrieval.result import Rankings, RetrievalResult, ranked
from vfm.trainer.evaluation.retrieval.similarity import dual_softmax, text_vectors, video_vectors
from vfm.trainer.evaluation.score import inference_of
from vfm.trainer.evaluation.trained_on import count_trained_on
from vfm.trainer.method import load_exactly
from vfm.trainer.recipes.columns import reads_captions, resolve_columns
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.runs.finetune import zero_shot_recipe
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, from_path
from vfm.trainer.tasks.retrieve import build
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.threads import cpu_threads
from vfm.trainer.video_text.captioned import with_captions
from vfm.trainer.video_text.captions import CaptionReader, TextColumn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texts:
    """The captions of a dataset.

    Attributes:
        sentences: T texts.
        rows: the ids of each, int64 [L].
        video_of_text: int64 [T], the sample that each belongs to.
    """

    sentences: tuple[str, ...]
    rows: tuple[Int64, ...]
    video_of_text: Int64


def evaluate_all(
    paths: Sequence[Path],
    *,
    data: Path,
    how: EvaluateOptions,
    options: RunOptions,
    rank: RankOptions | None = None,
) -> list[RetrievalResult]:
    """Evaluate the newest checkpoint of each run, and each file or folder of weights, on the same samples.

    Under torchrun the ranks share the samples and rank 0 writes the reports, see `write_report`; every rank
    returns all results.

    Args:
        paths: runs, files and folders.
        data: the dataset's folder.
        how: which split, how many views, and whether of the average of the weights.
        options: device, fallback, and who listens.
        rank: what candidates are ranked by; None is the default.

    Raises:
        UsageError: no weights, none that can retrieve, no such split, no captions, or those of another
            vocabulary; or they cannot be ranked so.
        MachineError: a report cannot be written.
        DamageError: stored bytes are not what was written.
    """
    with cpu_threads(options.num_threads), join(options.device) as world:
        asked = _Asked(data=data, how=how, options=options, rank=rank or RankOptions())
        return [_evaluate(path, asked, inference=inference_of(world, options=options)) for path in paths]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What `evaluate_all` is asked."""

    data: Path
    how: EvaluateOptions
    options: RunOptions
    rank: RankOptions


def _evaluate(path: Path, asked: _Asked, *, inference: Inference) -> RetrievalResult:
    data, how, options, world = asked.data, asked.how, asked.options, inference.world
    start = from_path(path, options=options, averaged=how.ema)
    recipe = retrieval_recipe(start, path=path)
    check_place(path, how)
    recipe = resolve_columns(recipe, read_manifest(data))
    every = open_dataset(data, columns=recipe.data.columns, select_split=how.split)
    start.check_columns(recipe, every, say=options.say)
    dataset = with_captions(every, recipe, say=options.say)
    recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)
    task = retriever(start, recipe=recipe, dataset=dataset, world=world)
    texts = texts_of(dataset, task.prepare.captions)
    k = asked.rank.num_reranked(task, path=path)
    step = "" if start.step is None else f", step {start.step},"
    options.say(
        f"Evaluating {path}{step} on {where(world)}: {counted(len(texts.rows), 'caption')} of "
        f"{counted(len(dataset), 'video')} of {data}, {counted(how.num_clips, 'clip')} in "
        f"{counted(how.num_crops, 'crop')} each."
    )
    for told in told_of_rank(task, k=k, num_texts=len(texts.rows), num_videos=len(dataset)):
        options.say(told)
    rankings = _rankings(task, dataset=dataset, texts=texts, k=k, asked=asked, inference=inference)
    result = RetrievalResult(
        **fields_of(how, path=path, step=start.step, data=data),
        num_missing=num_missing(every, split=how.split, say=options.say),
        num_trained_on=count_trained_on(start, dataset, path=path, split=how.split, say=options.say),
        fit=fit,
        dual_softmax=task.backbone.temperature(task.config) if asked.rank.dual_softmax else None,
        rerank=k,
        is_zero_shot=start.recipe.task is None,
        captions=recipe.objective.captions,
        num_without_caption=len(every) - len(dataset),
        **ranked(rankings),
    )
    if world.is_chief:
        write_report(path, result)
    return result


def retrieval_recipe(start: InitialWeights, *, path: Path) -> Recipe:
    """Return the recipe by which weights retrieve: their own, or one that follows from their pretraining.

    Raises:
        UsageError: they have not learned to, or are of the encoder of clips alone.
    """
    if start.is_encoder:
        raise UsageError(
            f"{path} is an encoder of clips alone, which knows no words: name the run or the file that it "
            "was exported from."
        )
    if isinstance(start.recipe.objective, RetrieveConfig):
        return start.recipe
    if (recipe := zero_shot_recipe(start.recipe)) is not None:
        return recipe
    first = "" if reads_captions(start.recipe) else ", after pretraining with captions"
    raise UsageError(
        f"{path} has not learned to find videos by captions: finetune it with "
        f"`vfm finetune retrieve DATA --init {path}`{first}."
    )


def retriever(
    start: InitialWeights, *, recipe: Recipe, dataset: Dataset, world: World, column: TextColumn | None = None
) -> Retrieve:
    """Return the encoders of weights, ready to be asked.

    Args:
        start: the weights.
        recipe: of `retrieval_recipe`, with the columns of the dataset.
        dataset: that has the clips.
        world: where to compute.
        column: what is known of the ids; None asks the dataset.
    """
    task = build(recipe, dataset, column=column)
    if start.recipe.task is None:
        task.backbone.load_pretrained(start.weights(), start=start.recipe)
    else:
        load_exactly(task, start.weights())
    task.to(world.device).eval()
    return task


def texts_of(dataset: Dataset, reader: CaptionReader) -> Texts:
    """Return the captions of samples that have some, joined where the reader joins them."""
    sentences: list[str] = []
    rows: list[Int64] = []
    places: list[int] = []
    for index in range(len(dataset)):
        found, written = reader.rows(dataset, index), dataset.meta(index).written_captions
        sentences += [" ".join(written)] if reader.captions == "joined" else written
        rows += found
        places += [index] * len(found)
    return Texts(sentences=tuple(sentences), rows=tuple(rows), video_of_text=np.array(places, np.int64))


def _rankings(
    task: Retrieve, *, dataset: Dataset, texts: Texts, k: int | None, asked: _Asked, inference: Inference
) -> Rankings:
    """Return what captions found among videos, and videos among captions."""
    views, world = (asked.how.num_clips, asked.how.num_crops), inference.world
    videos = video_vectors(task, dataset, views=views, inference=inference)
    similarity = task.backbone.similarity(text_vectors(task, texts.rows, world=world), videos)
    by_text, by_video, own = similarity, similarity, texts.video_of_text
    if k is not None:
        # What is no number is refused before the long part.
        own_similarity(similarity.numpy(), video_of_text=own)
        matcher = Matcher(task=task, views=views, inference=inference)

        def score(wanted: Tensor) -> Tensor:
            return matcher.scores(dataset, rows=texts.rows, wanted=wanted)

        by_text, by_video = rerank(similarity, k=k, score=score)
    elif asked.rank.dual_softmax:
        temperature = task.backbone.temperature(task.config)
        by_text, by_video = (
            dual_softmax(similarity, temperature=temperature, over=over) for over in ("texts", "videos")
        )
    return Rankings(
        keys=tuple(dataset.keys),
        texts=texts.sentences,
        video_of_text=own,
        text_to_video=places_of_texts(by_text.numpy(), video_of_text=own),
        video_to_text=places_of_videos(by_video.numpy(), video_of_text=own),
    )
