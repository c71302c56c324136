"""``vfm plan``: what extraction and targets would give and take, before anything is written."""

import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.progress import make_progress
from vfm.cli.options import decoding, shared, targets
from vfm.cli.options import sources as listing
from vfm.shards.wording import counted

if TYPE_CHECKING:
    from vfm.video2token.jobs.plan.estimate import PlanEstimate
    from vfm.video2token.jobs.plan.statistics import Estimate

_AT_LEAST_1 = click.IntRange(min=1)


@click.command()
@click.argument("sources", nargs=-1, type=shared.PATH)
@decoding.options()
@click.option(
    "--samples-per-shard", type=_AT_LEAST_1, default=256, show_default=True, help="Videos per shard."
)
@listing.list_options()
@click.option(
    "--target",
    "specs",
    multiple=True,
    metavar="KIND:ARGUMENT",
    help="A target to compute of the sample, as in `vfm tokenize`; may be given several times.",
)
@targets.options()
@click.option(
    "--sample",
    "num_sampled",
    type=_AT_LEAST_1,
    default=32,
    show_default=True,
    help="Sources to extract for the measurement.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed for choosing the sample.",
)
@click.option(
    "--out",
    type=shared.PATH,
    metavar="DATA",
    help="Where the dataset would go: shows how much space is free.",
)
@shared.workers("decode videos")
@shared.as_json()
def command(sources: tuple[Path, ...], **given: Any) -> int:
    """Tell hours, frames, bytes and time of a job from a sample of its videos, before anything is written.

    SOURCES are as in `vfm extract`. A sample of them, the largest for a quarter and the rest at random, is
    really extracted in a temporary folder that is removed, and the figures for all follow from it with
    intervals of 95 %. The exit code is 1 when no video of the sample could be decoded.

    \b
    Examples:
      vfm plan videos/ --fps 2
      vfm plan labels.csv --fps 2 --size 256 --target vq:codebooks/mine --out data/mine
      vfm plan videos/ --fps 2 --sample 200 --json | jq .columns
    """
    from vfm.video2token.jobs.plan.estimate import EstimateOptions, estimate

    if not (sources or given["lists"]):
        raise click.UsageError("Missing argument 'SOURCES...': name videos, or lists of them with --list.")
    found = listing.find_sources(list(sources), given)
    result = estimate(
        found.sources,
        decoding.extract_options(given),
        EstimateOptions(
            output=given["out"],
            classes=found.classes,
            **{name: given[name] for name in ("num_sampled", "seed", "samples_per_shard", "num_workers")},
        ),
        specs=given["specs"],
        target_options=targets.target_options(given),
        progress=make_progress(),
    )
    if given["as_json"]:
        output.show_json({**asdict(result), "num_hidden": found.num_hidden})
    else:
        output.show("\n".join(_lines(result)))
    if result.num_rejected == result.num_sampled:
        return 1
    words = shlex.join(["vfm", "extract", *map(str, sources), str(given["out"] or "DATA")])
    output.say(f"next: {words} with the same options")
    return 0


def _lines(result: "PlanEstimate") -> list[str]:
    """Return the estimate as text: what was measured, the figures, what is free."""
    seen = f"{result.num_sampled} of {counted(result.num_sources, 'source')} sampled"
    seen += f" in {result.measured_s:.1f} s"
    if result.num_largest and result.num_sampled < result.num_sources:
        seen += f" (the {result.num_largest} largest, the others at random)"
    if result.num_rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in result.rejected_by_reason.items())
        seen += f", {result.num_rejected} rejected ({reasons})"
    from vfm.cli.display.describe import size

    rows = [
        _row("video", result.video_s, _duration),
        _row("frames", result.num_frames, lambda count: f"{count:.0f}"),
        _row("rejected", result.rejected_share, lambda part: f"{part:.1%}"),
    ]
    for column in result.columns:
        rows.append(_row(f"{column.name} size", column.size_bytes, size))
        rows.append(_row(f"{column.name} time", column.elapsed_s, _duration, known="measured"))
    lines = [
        seen,
        "",
        output.table(("for all sources", "estimate", "95 % interval"), rows),
        "",
        f"{counted(result.num_shards, 'shard')} to a column; times are with --workers {result.num_workers}",
    ]
    if result.free_bytes is not None:
        needed = sum(column.size_bytes.high for column in result.columns)
        told = "enough" if needed <= result.free_bytes else f"not enough for {size(needed)}"
        lines.append(f"{size(result.free_bytes)} are free at the output: {told}")
    return lines


def _row(
    name: str, estimate: "Estimate", told: Callable[[float], str], *, known: str = "exact"
) -> tuple[str, str, str]:
    interval = f"{told(estimate.low)} to {told(estimate.high)}"
    return name, told(estimate.value), known if estimate.low == estimate.high else interval


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
