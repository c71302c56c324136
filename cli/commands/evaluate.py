"""``vfm evaluate``: how many samples of a held-out split a run or a file of weights gets right."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next
from vfm.cli.display.retrieval import choice_table, retrieval_table
from vfm.cli.display.training import finish, is_chief
from vfm.cli.options import shared, training

if TYPE_CHECKING:
    from vfm.trainer.evaluation.result import EvaluateOptions, Evaluation
    from vfm.trainer.runs.folder import RunOptions


@click.command()
@click.argument("paths", nargs=-1, required=True, type=shared.PATH, metavar="RUN|FILE|FOLDER...")
@click.argument("data", type=shared.PATH)
@click.option(
    "--protocol",
    type=click.Choice(["multiview", "knn", "linear", "attentive", "retrieval", "multiple-choice"]),
    default="multiview",
    show_default=True,
    help="multiview: a classifier's own head. knn: nearest neighbours in split train; any encoder. linear, "
    "attentive: a probe that learns from split train, on any encoder, frozen. retrieval: videos by their "
    "captions, and captions by their videos. multiple-choice: the right one of a few sentences.",
)
@shared.views(
    clips="the scores of all views are averaged.",
    crops="of codes 1, or 3 where they were made with --views vimpac12.",
)
@click.option("--ema", is_flag=True, help="Count the average of the weights, of runs with optim.ema_decay.")
@click.option(
    "--views",
    type=click.Choice(["umt", "slowfast", "mmaction2"]),
    help="How encoders of UMT (umt) and MaskFeat (slowfast) see a video: as published, or both as MMAction2 "
    "does (--crops 1 or 3). Unless given, as in the recipe.",
)
@click.option(
    "--split",
    default="val",
    show_default=True,
    metavar="NAME",
    help="Which samples to count: val (also called valid, validate, validation), test, which is another, or "
    "all, for a dataset without splits.",
)
@click.option(
    "--dual-softmax",
    is_flag=True,
    help="With --protocol retrieval: weigh similarities by all queries at once, which is no search of one.",
)
@click.option(
    "--rerank",
    type=click.IntRange(min=0),
    metavar="K",
    help="With --protocol retrieval: the first K of each query by vectors are ranked anew by the matching "
    "head, which looks at a video and a caption together; 0 ranks by vectors alone.  [default: 128 where a "
    "model has such a head, as UMT's]",
)
@click.option(
    "--choices",
    type=shared.PATH,
    metavar="FILE",
    help="With --protocol multiple-choice: the questions, as JSON Lines or a JSON list of `video`, a name, "
    "`caption`, the sentences, and `answer`, the place of the right one, from 0.",
)
@click.option(
    "--vocabulary",
    type=shared.PATH,
    metavar="PATH",
    help="With --protocol multiple-choice: a tokenizer.json or vocab.txt, or its folder; unless given, that "
    "of the captions' column in DATA, or in the dataset that was learned from.",
)
@shared.device()
@shared.loader_workers()
@shared.nproc()
@click.option(
    "--no-fallback", is_flag=True, help="Stop at a damaged checkpoint instead of taking the one before."
)
@shared.accept_data()
@shared.threads()
@shared.as_json()
def command(paths: tuple[Path, ...], data: Path, **given: Any) -> int:
    """Evaluate runs, and files or folders of weights, on labelled samples of the dataset DATA.

    Of a RUN the newest checkpoint counts. A FILE is one that `vfm convert` wrote or takes, a FOLDER one of
    `vfm export` or of Hugging Face.

    Retrieval counts how many captions find their video among the first 1, 5, 10 and 50, and how many videos
    one of their captions; the run's recipe says whether captions of a video are joined. A pretraining of
    umt_vl retrieves without being finetuned. A multiple choice counts how often the right sentence is taken
    for a video, by vectors and, where there is one, by the matching head.

    Accuracies stand beside what naming the most frequent class and what guessing would reach. Each folder
    gets evaluate-PROTOCOL-SPLIT.json with all numbers, .parquet with the scores of every sample, and .png
    with who was taken for whom, or how many were found; NAME.pth gets them beside it, as
    NAME.evaluate-PROTOCOL-SPLIT.json. A probe is trained first, in RUN/linear or RUN/attentive, or in
    NAME.linear beside a file, and used again where nothing has changed; the same command goes on with one
    that was stopped.

    \b
    Examples:
      vfm evaluate runs/classifier data/mine
      vfm evaluate runs/classifier runs/scratch data/mine --clips 4 --crops 3
      vfm evaluate runs/pretrained data/mine --protocol knn --json | jq .
      vfm evaluate runs/pretrained data/mine --protocol attentive
      vfm evaluate k400.safetensors data/k400 --clips 4 --crops 3
      vfm evaluate runs/retriever data/captioned --protocol retrieval --split test --clips 15 --crops 3
      vfm evaluate runs/umt-vl data/captioned --protocol retrieval --rerank 16
      vfm evaluate runs/retriever data/msrvtt --protocol multiple-choice --choices mc.json --split test
      vfm evaluate runs/big data/mine --nproc 8
    """
    from vfm.trainer.evaluation.evaluate import evaluate_all
    from vfm.trainer.evaluation.probe import ProbeStoppedError
    from vfm.trainer.evaluation.result import EvaluateOptions

    names = ("protocol", "num_clips", "num_crops", "split", "views", "ema")
    how = {name: given[name] for name in names}
    options = training.run_options(given)
    _check_fit(given)
    if given["protocol"] == "retrieval":
        return _retrieve(paths, data, EvaluateOptions(**how), options, given)
    if given["protocol"] == "multiple-choice":
        return _choose(paths, data, EvaluateOptions(**how), options, given)
    try:
        results = evaluate_all(paths, data=data, how=EvaluateOptions(**how), options=options)
    except ProbeStoppedError as stopped:
        return finish(stopped.outcome, out=stopped.folder, as_json=False)
    if not is_chief():
        return 0
    if given["as_json"]:
        output.show_json([result.to_dict() for result in results])
    else:
        output.show(_table(results))
    worst = results[0].predictions.worst
    say_next("inspect", data, *([worst] if worst else []))
    return 0


def _check_fit(given: dict[str, Any]) -> None:
    """Refuse options of another protocol than the one that is asked for."""
    protocol = given["protocol"]
    if protocol != "retrieval" and given["dual_softmax"]:
        raise click.UsageError("--dual-softmax weighs similarities: give --protocol retrieval.")
    if protocol != "retrieval" and given["rerank"] is not None:
        raise click.UsageError("--rerank is of what queries find: give --protocol retrieval.")
    for name in ("choices", "vocabulary"):
        if protocol != "multiple-choice" and given[name] is not None:
            raise click.UsageError(f"--{name} is of questions: give --protocol multiple-choice.")
    if protocol == "multiple-choice" and given["choices"] is None:
        raise click.UsageError("There are no questions to ask: name their file with --choices.")
    if protocol in ("retrieval", "multiple-choice") and given["views"] is not None:
        raise click.UsageError("--views is of encoders that name classes: leave it out.")


def _choose(
    paths: tuple[Path, ...], data: Path, how: "EvaluateOptions", options: "RunOptions", given: dict[str, Any]
) -> int:
    """Evaluate, and show, how often the right sentence is chosen."""
    from vfm.trainer.evaluation.multiple_choice.evaluate import ChoiceOptions, evaluate_all

    choice = ChoiceOptions(questions=given["choices"], vocabulary=given["vocabulary"])
    results = evaluate_all(paths, data=data, how=how, choice=choice, options=options)
    if not is_chief():
        return 0
    if given["as_json"]:
        output.show_json([result.to_dict() for result in results])
    else:
        output.show(choice_table(results))
    worst = results[0].choices.worst
    say_next("inspect", data, *([worst] if worst else []))
    return 0


def _retrieve(
    paths: tuple[Path, ...], data: Path, how: "EvaluateOptions", options: "RunOptions", given: dict[str, Any]
) -> int:
    """Evaluate, and show, how videos and captions find each other."""
    from vfm.trainer.evaluation.retrieval.evaluate import evaluate_all
    from vfm.trainer.evaluation.retrieval.rerank import RankOptions

    rank = RankOptions(dual_softmax=given["dual_softmax"], rerank=given["rerank"])
    results = evaluate_all(paths, data=data, how=how, options=options, rank=rank)
    if not is_chief():
        return 0
    if given["as_json"]:
        output.show_json([result.to_dict() for result in results])
    else:
        output.show(retrieval_table(results))
    worst = results[0].rankings.worst
    say_next("inspect", data, *([worst] if worst else []))
    return 0


def _table(results: "list[Evaluation]") -> str:
    first = results[0]
    guesses = (("most frequent class", first.majority_rate), ("chance", first.chance_rate))
    rows = [_row(result) for result in results]
    rows += [(name, f"{100 * rate:.1f}", "", "", *_counted(first)) for name, rate in guesses]
    return output.table(
        ("run", "top-1 %", "95 % interval", "top-5 %", "samples", "missing", "sample list"), rows
    )


def _row(result: "Evaluation") -> tuple[object, ...]:
    low, high = result.accuracy_interval
    top5 = "" if result.top5_accuracy is None else f"{100 * result.top5_accuracy:.1f}"
    interval = f"{100 * low:.1f} to {100 * high:.1f}"
    return result.run, f"{100 * result.accuracy:.1f}", interval, top5, *_counted(result)


def _counted(result: "Evaluation") -> tuple[object, ...]:
    return result.num_samples, result.num_missing, result.sample_list_sha256[:12]
