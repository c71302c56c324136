"""``vfm convert``: weights of another project under our names, and ours under those of another."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_use
from vfm.cli.options import shared


@click.command()
@click.argument("path", type=shared.PATH, metavar="FILE|FOLDER|RUN")
@click.argument("out", type=shared.PATH)
@click.option("--from", "source", metavar="PROJECT", help="Whose names FILE has; found out unless given.")
@click.option(
    "--to", "target", metavar="PROJECT", default="vfm", show_default=True, help="Whose names OUT gets."
)
@click.option("--recipe", metavar="NAME", help="Of whose network FILE is; found out unless given.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a number of that recipe.")
@click.option(
    "--first-classes",
    "num_classes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep the first N classes of a classifier: 400 of UMT's 710 are those of Kinetics-400.",
)
@click.option(
    "--classes",
    "names",
    type=shared.PATH,
    metavar="NAMES",
    help="Keep names of a classifier's classes in OUT: of a file such as `vfm extract --classes` "
    "takes, in the order of the head.",
)
@click.option("--ema", is_flag=True, help="Of a RUN: take the average of its weights.")
@shared.as_json()
def command(path: Path, out: Path, names: Path | None, as_json: bool, **given: Any) -> None:
    """Write the weights of FILE, or of the newest checkpoint of RUN, into the new file OUT.

    A PROJECT is slowfast (PySlowFast), mmselfsup (MMSelfSup, MMPretrain), mmaction2 (MMAction2), umt
    (unmasked_teacher), videomae (VideoMAE), huggingface (VideoMAE in transformers), vimpac (VIMPAC), simvtp
    (SimVTP) or vfm.

    Every tensor must have its place: names that are missing or left over are told, and nothing is written.
    Of a FILE that is a pickle only tensors are read; nothing in it is run.

    OUT ends with .safetensors, or with .pth, .pyth, .pt or .bin for a pickle under the key that the project's
    own checkpoints have. Of huggingface and vimpac, FILE may be and OUT is a folder, with config.json or
    args.pickle beside the weights; of these only plain values are read.

    `vfm pretrain --init`, `vfm finetune --init` and `vfm evaluate` take OUT, and FILE itself. A classifier is
    evaluated by its own head where the names of its classes are known, as they are in runs and from
    config.json, or by --classes.

    \b
    Examples:
      vfm convert k400_MVIT_S_MaskFeat_PT_epoch_00300.pyth maskfeat-s.safetensors
      vfm convert runs/pretrained for-slowfast.pyth --to slowfast
      vfm convert MCG-NJU/videomae-base videomae-base.safetensors
      vfm convert b16_ptk710_ftk710_f8_res224.pth k400.safetensors --first-classes 400
      vfm convert k400.safetensors named.safetensors --classes k400-names.txt
      vfm convert odd.pth mine.safetensors --recipe maskfeat-mvit-s --set data.clip_len=8
    """
    from vfm.shards.wording import counted
    from vfm.trainer.runs.convert import Conversion, convert
    from vfm.trainer.runs.folder import RunOptions
    from vfm.video2token.sources.classes import read_classes

    given["averaged"] = given.pop("ema")
    given["classes"] = () if names is None else read_classes(names).names
    done = convert(path, out, how=Conversion(**given), options=RunOptions(say=output.say))
    if as_json:
        output.show_json(asdict(done))
    output.say(
        f"{out}: {counted(done.num_tensors, 'tensor')}, {done.num_parameters / 1e6:.1f} M numbers, "
        f"under the names of {done.target}"
    )
    if done.target == "vfm":
        say_use(out, method=done.method, task=done.task, is_encoder=done.is_encoder)
