"""``vfm pretrain``: learn from a dataset's columns by a recipe."""

from pathlib import Path
from typing import Any

import click

from vfm.cli.display.next_step import say_next
from vfm.cli.display.training import finish, is_chief
from vfm.cli.options import shared, training


@click.command()
@click.argument("recipe")
@click.argument("data", type=shared.PATH)
@training.training_options
def command(recipe: str, data: Path, out: Path, **given: Any) -> int:
    """Pretrain by RECIPE on the dataset DATA.

    RECIPE is one of those that `vfm recipes` lists. A run that was stopped resumes where it stopped when the
    same command is given again, on any number of ranks (torchrun) and workers.

    \b
    Examples:
      vfm pretrain vimpac-tiny data/mine --out runs/pretrained
      vfm pretrain vimpac-small data/mine --out runs/long --epochs 100 --set optim.lr=5e-4
      torchrun --nproc-per-node 8 -m vfm pretrain vimpac-small data/mine --out runs/big
    """
    from vfm.trainer.recipes.settings import override
    from vfm.trainer.registry import load_recipe
    from vfm.trainer.runs.run import pretrain

    chosen = override(load_recipe(recipe), training.settings_of(given))
    outcome = pretrain(
        chosen, data=data, out=out, options=training.run_options(given), open_teacher=_open_teacher
    )
    status = finish(outcome, out=out, as_json=given["as_json"])
    if status == 0 and is_chief():
        say_next("finetune", "classify", data, "--init", out, "--out", "CLASSIFIER")
    return status


def _open_teacher(name: str, **asked: Any) -> Any:
    """Make a teacher for the training loop; timm is loaded for those who want one."""
    from vfm.video2token.teachers.frame_teacher import open_teacher

    return open_teacher(name, **asked)
