"""``vfm extract``: videos to aligned shards of frames."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli import options, output

if TYPE_CHECKING:
    from vfm.video2token.decoders._base import ExtractOptions
    from vfm.video2token.extract import ExtractResult
    from vfm.video2token.measure import SignalOptions

_AT_LEAST_1 = click.IntRange(min=1)


@click.command()
@click.argument("sources", nargs=-1, required=True, type=options.PATH)
@click.argument("data", type=options.PATH)
@click.option(
    "--fps",
    type=click.FloatRange(0.001, 1000),
    required=True,
    help="Frames per second of video, at regular ticks.",
)
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(16, 4096),
    default=128,
    show_default=True,
    help="Length of the frames' short side in pixels.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=90,
    show_default=True,
    help="Quality of the stored JPEGs.",
)
@click.option(
    "--max-frames",
    type=_AT_LEAST_1,
    default=36_000,
    show_default=True,
    help="Reject a video that gives more frames.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Reject a video that takes more seconds to decode.",
)
@click.option(
    "--memory",
    "memory_mib",
    type=click.IntRange(min=512),
    default=4096,
    show_default=True,
    help="Reject a video that takes more MiB of address space.",
)
@click.option(
    "--samples-per-shard",
    type=_AT_LEAST_1,
    default=256,
    show_default=True,
    help="Videos to a shard; a killed job loses the shard in hand.",
)
@click.option(
    "--signals",
    metavar="NAMES",
    help="Measure these of every video, with commas between: hash, motion, shots.",
)
@click.option(
    "--drop-static",
    type=click.FloatRange(0, min_open=True),
    is_flag=False,
    flag_value=0.001,
    metavar="[SCORE]",
    help="Leave out videos that move less: shares of the diagonal per second, 0.001 unless given.",
)
@click.option(
    "--drop-duplicates",
    type=click.IntRange(0, 31),
    is_flag=False,
    flag_value=6,
    metavar="[BITS]",
    help="Leave out videos that look like an earlier one: bits of 64 that differ, 6 unless given.",
)
@click.option("--split-scenes", is_flag=True, help="Make a sample of each shot of 1 s or more.")
@click.option(
    "--missing",
    type=click.Choice(["error", "quarantine"]),
    default="error",
    show_default=True,
    help="What to do about a list that names missing files.",
)
@click.option(
    "--allow-rejects",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Exit with 1 when more videos than this were rejected, those left out on request not counted.",
)
@options.workers("decode videos")
@options.as_json()
def command(sources: tuple[Path, ...], data: Path, **given: Any) -> int:
    """Decode videos once, into frames at regular ticks.

    SOURCES are folders (searched through), videos, and CSV lists with the columns path and any of label,
    split, caption, key. DATA is the dataset's folder. Run the same command again to go on after an
    interruption: finished shards are kept.

    \b
    Examples:
      vfm extract videos/ data/mine --fps 2
      vfm extract labels.csv data/mine --fps 2 --size 256 --workers 8
      vfm extract cam1/ cam2/ extra.mp4 data/mine --fps 0.5 --allow-rejects 10 --json
    """
    from vfm.video2token.extract import extract_sources
    from vfm.video2token.measure import DROPPED
    from vfm.video2token.sources import list_sources

    result = extract_sources(
        list_sources(sources, missing=given["missing"]),
        data,
        _extract_options(given),
        samples_per_shard=given["samples_per_shard"],
        num_workers=given["num_workers"],
        signals=_signal_options(given),
        is_split_at_cuts=given["split_scenes"],
        progress=output.make_progress(),
    )
    if given["as_json"]:
        output.show_json({"data": str(data), **asdict(result)})
    output.say(_summary(result, data=data))
    num_dropped = sum(result.rejected_by_reason.get(reason, 0) for reason in DROPPED)
    return 1 if result.num_rejected - num_dropped > given["allow_rejects"] else 0


def _extract_options(given: dict[str, Any]) -> "ExtractOptions":
    from vfm.video2token.decoders._base import ExtractOptions

    names = ("fps", "size_px", "quality", "max_frames", "timeout_s")
    return ExtractOptions(**{name: given[name] for name in names}, memory_bytes=given["memory_mib"] << 20)


def _signal_options(given: dict[str, Any]) -> "SignalOptions":
    from vfm.video2token.measure import SignalOptions

    names = tuple(name.strip() for name in (given["signals"] or "").split(",") if name.strip())
    return SignalOptions(
        names=names, drop_static=given["drop_static"], drop_duplicates=given["drop_duplicates"]
    )


def _summary(result: "ExtractResult", *, data: Path) -> str:
    """Return the last line: how many sources came to which end, and where to look."""
    text = f"{result.num_sources} sources: {result.num_ok} ok, {result.num_partial} partial, "
    text += f"{result.num_rejected} rejected"
    if result.num_rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in result.rejected_by_reason.items())
        text += f" ({reasons}); see {data / 'quarantine.jsonl'}"
    text += f"; {result.num_frames} frames in {result.elapsed_s:.1f} s"
    if result.num_shards_before:
        text += f", {result.num_shards_before} of {result.num_shards} shards were done before"
    return text
