"""``vfm extract``: videos to aligned shards of frames."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli import options, output

if TYPE_CHECKING:
    from vfm.video2token.decoders._base import ExtractOptions
    from vfm.video2token.extract import ExtractResult

_AT_LEAST_1 = click.IntRange(min=1)


def _rate(value: str) -> float:
    """Return a rate in frames per second, 0.0 for ``native``."""
    if value == "native":
        return 0.0
    try:
        rate = float(value)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 1000:
        raise click.BadParameter(f"{value!r} is neither a number from 0.001 to 1000 nor 'native'.")
    return rate


@click.command()
@click.argument("sources", nargs=-1, required=True, type=options.PATH)
@click.argument("data", type=options.PATH)
@click.option(
    "--fps",
    type=_rate,
    metavar="FPS|native",
    help="Frames per second of video, at regular ticks; `native` keeps every frame.",
)
@click.option(
    "--num-frames",
    type=_AT_LEAST_1,
    help="Instead of --fps: as many frames of every video, spread evenly over it.",
)
@click.option(
    "--sampling",
    type=click.Choice(["grid", "ffmpeg-fps-filter"]),
    default="grid",
    show_default=True,
    help="The frame shown at each tick, or what FFmpeg's filter `fps` gives.",
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
@options.decoder()
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
    "--decode-all",
    is_flag=True,
    help="Decode every packet; the frames are the same, and it takes longer.",
)
@click.option(
    "--samples-per-shard",
    type=_AT_LEAST_1,
    default=256,
    show_default=True,
    help="Videos to a shard; a killed job loses the shard in hand.",
)
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
    help="Exit with 1 when more videos than this were rejected.",
)
@options.workers("decode videos")
@options.as_json()
def command(sources: tuple[Path, ...], data: Path, **given: Any) -> int:
    """Decode videos once, into the frames that are wanted.

    SOURCES are folders (searched through), videos, and CSV lists with the columns path and any of label,
    split, caption, key. DATA is the dataset's folder. Run the same command again to go on after an
    interruption: finished shards are kept.

    \b
    Examples:
      vfm extract videos/ data/mine --fps 2
      vfm extract labels.csv data/mine --fps 2 --size 256 --workers 8
      vfm extract videos/ data/mine --num-frames 16
      vfm extract cam1/ cam2/ extra.mp4 data/mine --fps 0.5 --allow-rejects 10 --json
      vfm extract videos/ data/mine --fps 2 --decoder ffmpeg
    """
    from vfm.video2token.extract import extract_sources
    from vfm.video2token.sources import list_sources

    wanted = _extract_options(given)
    result = extract_sources(
        list_sources(sources, missing=given["missing"]),
        data,
        wanted,
        samples_per_shard=given["samples_per_shard"],
        num_workers=given["num_workers"],
        progress=output.make_progress(),
    )
    if given["as_json"]:
        output.show_json({"data": str(data), **asdict(result)})
    output.say(_summary(result, data=data))
    return 1 if result.num_rejected > given["allow_rejects"] else 0


def _extract_options(given: dict[str, Any]) -> "ExtractOptions":
    from vfm.video2token.decoders._base import ExtractOptions

    names = ("num_frames", "size_px", "quality", "max_frames", "timeout_s", "decoder")
    return ExtractOptions(
        fps=given["fps"] or None,
        sampling=_sampling(given),
        selective=not given["decode_all"],
        memory_bytes=given["memory_mib"] << 20,
        **{name: given[name] for name in names},
    )


def _sampling(given: dict[str, Any]) -> str:
    """Return the rule that the options ask for."""
    if (given["fps"] is None) == (given["num_frames"] is None):
        raise click.UsageError("Give either --fps or --num-frames.")
    if not given["fps"] and given["sampling"] != "grid":
        raise click.UsageError(f"--sampling {given['sampling']} needs --fps with a number.")
    if given["num_frames"] is not None:
        return "uniform"
    return given["sampling"] if given["fps"] else "native"


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
