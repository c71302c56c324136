"""``vfm pretrain``: learn from a dataset's columns by a recipe."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display.next_step import say_next, split_words
from vfm.cli.display.training import finish, is_chief
from vfm.cli.options import shared, training
from vfm.shards.splits import TRAIN

if TYPE_CHECKING:
    from vfm.trainer.recipes.recipe import Recipe
    from vfm.trainer.runs.folder import RunOptions
    from vfm.trainer.runs.initial_weights import InitialWeights


@click.command()
@click.argument("recipe")
@training.data_argument
@click.option(
    "--init", type=shared.PATH, metavar="RUN", help="Start from all weights of this pretrained run."
)
@click.option(
    "--init-text",
    type=shared.PATH,
    metavar="BERT",
    help="Begin with what RECIPE has of this BERT, its words or all: a folder or file of Hugging Face.",
)
@training.training_options
def command(recipe: str, data: tuple[str, ...], out: Path, **given: Any) -> int:
    """Pretrain by RECIPE on the dataset DATA, or on several, each with its WEIGHT.

    RECIPE is one of those that `vfm recipes` lists, or a file that ends with .yaml, which
    `vfm recipes show NAME --yaml` prints. A run that was stopped resumes where it stopped when the same
    command is given again, on any number of ranks (--nproc, torchrun) and workers. --init starts a new run,
    with a schedule of its own, from the weights of another; --extend trains the run in --out for longer.

    Of several datasets all samples are drawn once in an epoch; PATH=WEIGHT draws each sample of one dataset
    WEIGHT times, in the mean.

    \b
    Examples:
      vfm pretrain vimpac-tiny data/mine --out runs/pretrained
      vfm pretrain vimpac-small data/mine --out runs/long --epochs 100 --set optim.lr=5e-4
      vfm pretrain vimpac-tiny data/other --init runs/pretrained --out runs/second
      vfm pretrain simvtp-base data/captioned --init videomae.pth --init-text bert-base-uncased --out runs/vt
      vfm pretrain umt-vl-base data/captioned --init runs/umt --init-text bert-base-uncased --out runs/vl
      vfm pretrain vimpac-tiny data/mine --out runs/pretrained --epochs 80 --extend
      vfm pretrain mine.yaml data/mine --out runs/mine
      vfm pretrain videomae-base data/large data/small=3 --out runs/mixed
      vfm pretrain vimpac-small data/mine --out runs/big --nproc 8
      torchrun --nnodes 4 --nproc-per-node 8 ... -m vfm pretrain vimpac-small data/mine --out runs/big
    """
    from vfm.trainer.recipes.columns import reads_captions
    from vfm.trainer.recipes.settings import override
    from vfm.trainer.registry import open_recipe, recipe_names
    from vfm.trainer.runs.run import pretrain

    chosen = override(open_recipe(recipe), training.settings_of(given))
    how = training.run_options(given)
    start = _start(given, chosen, how)
    sources = training.sources_of(data)
    outcome = pretrain(chosen, start=start, data=sources, out=out, options=how, open_teacher=_open_teacher)
    status = finish(outcome, out=out, as_json=given["as_json"])
    if status == 0 and is_chief():
        task, kind = ("retrieve", "RETRIEVER") if reads_captions(chosen) else ("classify", "CLASSIFIER")
        # A recipe of another name has no finetuning of its own: one has to be chosen.
        numbers = () if f"{chosen.name}-{task}" in recipe_names() else ("--recipe", "RECIPE")
        chosen_split = split_words(sources[0].data, wanted=TRAIN)
        say_next("finetune", task, sources[0].data, "--init", out, *numbers, *chosen_split, "--out", kind)
    return status


def _start(given: dict[str, Any], recipe: "Recipe", how: "RunOptions") -> "InitialWeights":
    from vfm.trainer.runs.initial_weights import InitialWeights, from_path
    from vfm.trainer.weights.bert import read_bert

    start = InitialWeights(recipe=recipe) if given["init"] is None else from_path(given["init"], options=how)
    return start if given["init_text"] is None else replace(start, bert=read_bert(given["init_text"]))


def _open_teacher(name: str, **asked: Any) -> Any:
    """Make a teacher for the training loop; timm is loaded for those who want one."""
    from vfm.video2token.teachers.frame_teacher import open_teacher

    return open_teacher(name, **asked)
