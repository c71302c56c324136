"""``vfm export``: the encoder of a run, or its classifier, as a folder that others load."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_use
from vfm.cli.options import shared


@click.command()
@click.argument("path", type=shared.PATH, metavar="RUN|FILE")
@click.argument("out", type=shared.PATH)
@click.option("--ema", is_flag=True, help="Of a RUN: take the average of its weights.")
@click.option(
    "--program", is_flag=True, help="Write model.pt2 too, which torch.export.load opens without vfm."
)
@click.option("--onnx", is_flag=True, help="Write model.onnx too; needs onnxscript and onnxruntime.")
@shared.as_json()
def command(path: Path, out: Path, as_json: bool, **given: Any) -> None:
    """Write the encoder of RUN, its classifier where it learned classes, into the new folder OUT.

    OUT has model.safetensors, config.json and a model card, README.md, as the Hugging Face hub expects them;
    vfm.from_pretrained(OUT) opens it in Python, and --init and `vfm evaluate` take it. Of a run that learned
    to retrieve the encoder of clips leaves, not that of captions. What a program says is compared with what
    the model says before it is written.

    \b
    Examples:
      vfm export runs/pretrained encoder
      vfm export runs/classifier classifier --ema --program
      vfm export b16_ptk710_ftk710_ftk400_f8_res224.pth umt-k400 --onnx
    """
    from vfm.trainer.export.folder import Export, export
    from vfm.trainer.runs.folder import RunOptions

    how = Export(averaged=given["ema"], program=given["program"], onnx=given["onnx"])
    done = export(path, out, how=how, options=RunOptions(say=output.say))
    if as_json:
        output.show_json(asdict(done))
    what = f"a classifier of {done.num_classes} classes" if done.num_classes else "an encoder"
    output.say(
        f"{out}: {what} with {done.num_parameters / 1e6:.1f} M numbers, {done.num_features} for each clip"
    )
    if done.difference is not None:
        output.say(
            f"What the program says differs by {done.difference:.2g} at most from what the model says."
        )
    say_use(out, method=done.method, task=done.task, is_encoder=done.num_classes == 0)
