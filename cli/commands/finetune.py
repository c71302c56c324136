"""``vfm finetune``: teach a pretrained encoder a task, or the same encoder from scratch."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display.next_step import say_next, split_words
from vfm.cli.display.training import finish, is_chief
from vfm.cli.options import shared, training
from vfm.shards.splits import TRAIN, VAL

if TYPE_CHECKING:
    from vfm.trainer.runs.folder import RunOptions
    from vfm.trainer.runs.initial_weights import InitialWeights


@click.command()
@click.argument("task")
@training.data_argument
@click.option("--init", type=shared.PATH, metavar="RUN", help="Start from the encoder of this run or file.")
@click.option("--ema", is_flag=True, help="With --init: take the average of its weights.")
@click.option(
    "--keep-head",
    is_flag=True,
    help="With --init of a classifier: start from its linear layer too. Its classes must be those of DATA.",
)
@click.option(
    "--recipe",
    metavar="RECIPE",
    help="Without --init: start from scratch, with the encoder of this recipe or file of YAML, and with its "
    "numbers if it is one of finetuning. With --init: take the numbers of this finetuning recipe or file.",
)
@training.training_options
def command(task: str, data: tuple[str, ...], out: Path, **given: Any) -> int:
    """Learn TASK (classify; linear or attentive: a probe) on the labelled samples of the dataset DATA.

    Or learn to retrieve, videos by their captions, on the samples that have some.

    Several datasets are mixed as `vfm pretrain --help` says; classes of the same name are one, in the
    order that all share, else sorted. The numbers come from the recipe ENCODER-TASK, such as
    vimpac-tiny-classify, or from --recipe; clip length, size of frames, stride and column are those of the
    encoder, unless that recipe is made for others or --set gives them. Split train is learned from unless
    --split names another; --split all takes every sample, where a dataset has no splits, and then none is
    held out. The same command resumes a run that was stopped.

    \b
    Examples:
      vfm finetune classify data/mine --init runs/pretrained --out runs/classifier
      vfm finetune classify data/mine --recipe vimpac-tiny --out runs/scratch --epochs 50
      vfm finetune classify data/mine --init runs/pretrained --out runs/c --set optim.lr=5e-5
      vfm finetune classify data/mine --init runs/umt --recipe mine.yaml --out runs/d
      vfm finetune classify data/mine --init runs/umt --out runs/long --set data.clip_len=16
      vfm finetune retrieve data/captioned --init runs/simvtp --out runs/retriever
      vfm finetune classify data/k400 --init k400-of-k710.safetensors --keep-head --out runs/k400
    """
    from vfm.trainer.recipes.columns import learns_classes
    from vfm.trainer.runs.finetune import finetune, finetune_recipe, told_of_encoder

    given["split"] = TRAIN if given["split"] is None else given["split"]
    how = training.run_options(given)
    start = _start(given, how)
    has_numbers = given["init"] is not None or start.recipe.task == task
    numbers, settings = given["recipe"] if has_numbers else None, training.settings_of(given)
    recipe = finetune_recipe(task, start=start.recipe, settings=settings, numbers=numbers)
    if numbers is not None and (told := told_of_encoder(recipe, numbers=numbers, settings=settings)):
        how.say(told)
    sources = training.sources_of(data)
    outcome = finetune(recipe, start=start, data=sources, out=out, options=how)
    status = finish(outcome, out=out, as_json=given["as_json"])
    if status == 0 and is_chief():
        protocol = () if learns_classes(recipe) else ("--protocol", "retrieval")
        say_next("evaluate", out, sources[0].data, *protocol, *split_words(sources[0].data, wanted=VAL))
    return status


def _start(given: dict[str, Any], how: "RunOptions") -> "InitialWeights":
    from vfm.trainer.registry import open_recipe
    from vfm.trainer.runs.initial_weights import InitialWeights, from_path

    if given["init"] is None and given["recipe"] is None:
        raise click.UsageError("Give --init RUN, to start from its weights, or --recipe RECIPE.")
    if given["init"] is not None:
        start = from_path(given["init"], options=how, averaged=given["ema"])
        return replace(start, keeps_head=given["keep_head"])
    if given["ema"]:
        raise click.UsageError("--ema takes the average of a run's weights: give --init RUN.")
    if given["keep_head"]:
        raise click.UsageError("--keep-head takes the linear layer of a classifier: give --init.")
    return InitialWeights(recipe=open_recipe(given["recipe"]))
