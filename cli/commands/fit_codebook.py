"""``vfm fit-codebook``: frames of a dataset to a codebook of their own."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next
from vfm.cli.display.progress import make_progress
from vfm.cli.options import shared
from vfm.shards.splits import TRAIN

if TYPE_CHECKING:
    from vfm.shards.reading.dataset import Dataset
    from vfm.video2token.jobs.fit_codebook.options import FitReport


@click.command()
@click.argument("data", type=shared.PATH)
@click.argument("out", type=shared.PATH)
@click.option(
    "--crop",
    "crop_px",
    type=click.IntRange(min=8),
    default=128,
    show_default=True,
    help="Side of the frames it is for, in pixels, a multiple of 8: one code for 8x8 of them.",
)
@click.option(
    "--vocab-size",
    type=click.IntRange(2, 65536),
    default=1024,
    show_default=True,
    help="How many codes there are.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Steps of fitting; time is proportional to them.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the weights and of the frames drawn.",
)
@click.option(
    "--split",
    metavar="NAME",
    help="Fit to this split only; all takes every sample.  [default: train if there is one, else all]",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="Where to compute, such as cuda; on a CPU the same command gives the same bytes.",
)
@click.option(
    "--name", help="What its column will be called, vq.NAME.  [default: the last part of OUT]", metavar="NAME"
)
@shared.accept_data()
@shared.as_json()
def command(data: Path, out: Path, name: str | None, split: str | None, as_json: bool, **given: Any) -> None:
    """Fit a codebook, pixels to codes and back, to the frames of dataset DATA.

    OUT gets the weights, config.json, a picture of frames that were held out, above what their codes are
    rebuilt to, log.jsonl and a picture of its curve. Takes minutes on a CPU. The same command again goes on
    where it stood, and finds the finished codebook.

    \b
    Examples:
      vfm fit-codebook data/mine codebooks/mine
      vfm fit-codebook data/mine codebooks/small --crop 64 --vocab-size 256 --json
    """
    from vfm.shards.io.run_log import LOG_NAME
    from vfm.trainer.runs.curves import draw_curves
    from vfm.video2token.jobs.fit_codebook.fit_codebook import CURVE_NAME, fit_codebook
    from vfm.video2token.jobs.fit_codebook.options import FitOptions

    name = name or re.sub(r"[^A-Za-z0-9_-]+", "-", out.resolve().name).strip("-")
    how = {option: given.pop(option) for option in ("device", "accept_data")}
    dataset = _open(data, split=split)
    report = fit_codebook(dataset, out, FitOptions(name=name, **given), progress=make_progress(), **how)
    if (out / LOG_NAME).exists() and (report.is_new or not (out / CURVE_NAME).exists()):
        draw_curves({name: out}, out / CURVE_NAME, say=output.say)
    if as_json:
        output.show_json({**asdict(report), "codebook": str(out), "picture": str(report.picture)})
    output.say(_summary(report))
    say_next("tokenize", data, "--target", f"vq:{report.codebook}")


def _open(data: Path, *, split: str | None) -> "Dataset":
    from vfm.shards.reading.dataset import open_dataset

    if split is None and TRAIN in open_dataset(data).splits:
        split = TRAIN
        output.say("Fitting to split train alone: --split names another, --split all takes every sample.")
    return open_dataset(data, select_split=split)


def _summary(report: "FitReport") -> str:
    quality = report.quality
    verb = f"fitted in {report.elapsed_s:.1f} s" if report.is_new else "was fitted before, nothing to do"
    return (
        f"codebook {report.name} {verb}: {quality.psnr_db:.2f} dB on {report.num_held_out_frames} frames "
        f"held out, {quality.codes_used} of {report.vocab_size} codes used, "
        f"perplexity {quality.perplexity:.0f}\n"
        f"see {report.picture}"
    )
