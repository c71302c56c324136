"""``vfm extract``: videos or images to aligned shards of frames."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.dry_run import show_dry_run
from vfm.cli.display.next_step import say_next
from vfm.cli.display.progress import make_progress
from vfm.cli.options import decoding, shared
from vfm.cli.options import sources as listing
from vfm.shards.errors import UsageError
from vfm.shards.wording import counted

if TYPE_CHECKING:
    from vfm.video2token.analysis.options import SignalOptions
    from vfm.video2token.jobs.extract.extract import ExtractResult

_AT_LEAST_1 = click.IntRange(min=1)


@click.command(context_settings={"token_normalize_func": listing.own_name})
@click.argument("sources", nargs=-1, type=shared.PATH, metavar="SOURCES...")
@click.argument("data", required=False, type=shared.PATH, metavar="DATA")
@decoding.options()
@click.option(
    "--samples-per-shard",
    type=_AT_LEAST_1,
    default=256,
    show_default=True,
    help="Videos per shard; a killed job loses the shard it was writing.",
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
    "--allow-rejects",
    type=listing.allowance,
    default="0",
    show_default=True,
    metavar="N|N%",
    help="Exit with 1 when more videos than this were rejected, a number or a share; not counting those "
    "left out on request.",
)
@listing.source_options()
@shared.workers("decode videos")
@shared.as_json()
def command(sources: tuple[Path, ...], data: Path | None, **given: Any) -> int:
    """Decode videos once, into the frames that are wanted.

    SOURCES are folders (searched through), videos, quoted patterns, tars of videos, and lists: CSV, TSV,
    JSONL, JSON and Parquet with the columns path and any of label, caption, start, end, split, key; text
    lists of lines "path label"; and lists as data sets publish them (--formats shows them). Folders
    class/x.mp4 and split/class/x.mp4 are labels. With --images all of them are images. DATA is the dataset's
    folder. Run the same command again to go on after an interruption: finished shards are kept.

    \b
    Examples:
      vfm extract videos/ data/mine --fps 2
      vfm extract labels.csv data/mine --fps 2 --size 256 --workers 8
      vfm extract videos/ data/mine --num-frames 16
      vfm extract cam1/ cam2/ extra.mp4 data/mine --fps 0.5 --allow-rejects 1% --json
      vfm extract 'shards/*.tar' data/mine --fps 2 --dry-run
      vfm extract k400_train.csv data/k400 --root kinetics/ --fps 2
      vfm extract --list train=trainlist01.txt --list val=testlist01.txt data/ucf --root UCF-101 --fps 2
      vfm extract videos/ data/mine --fps 2 --retry-failed
      vfm extract videos/ data/mine --fps 2 --decoder ffmpeg
      vfm extract 'cc3m/*.tar' data/cc3m --images --size 224
    """
    from vfm.video2token.jobs.extract.extract import extract_sources
    from vfm.video2token.rejection import REQUESTED

    if given["whole_videos"] and given["split_scenes"]:
        raise UsageError("--whole-videos makes a sample of a video, --split-scenes of each shot: use one.")
    inputs, folder = listing.places(sources, data, given)
    wanted = decoding.extract_options(given)
    found = listing.find_sources(inputs, given)
    if given["dry_run"]:
        show_dry_run(found, given)
        output.say("next: the same command without --dry-run")
        return 0
    result = extract_sources(
        found.sources,
        folder,
        wanted,
        classes=found.classes,
        samples_per_shard=given["samples_per_shard"],
        num_workers=given["num_workers"],
        retry=listing.retry_of(given),
        signals=_signal_options(given),
        is_split_at_cuts=given["split_scenes"],
        progress=make_progress(),
    )
    if given["as_json"]:
        output.show_json({"data": str(folder), **asdict(result), "num_hidden": found.num_hidden})
    output.say(_summary(result, data=folder))
    if result.num_ok + result.num_partial:
        say_next("inspect", folder, "--sheet", f"{folder.name}.png")
    else:
        say_next("doctor")
    num_rejected = sum(
        count for reason, count in result.rejected_by_reason.items() if reason not in REQUESTED
    )
    is_fine = listing.is_within(num_rejected, given["allow_rejects"], num_sources=result.num_sources)
    return 0 if is_fine else 1


def _signal_options(given: dict[str, Any]) -> "SignalOptions":
    from vfm.video2token.analysis.options import SignalOptions

    names = tuple(name.strip() for name in (given["signals"] or "").split(",") if name.strip())
    return SignalOptions(
        names=names, drop_static=given["drop_static"], drop_duplicates=given["drop_duplicates"]
    )


def _summary(result: "ExtractResult", *, data: Path) -> str:
    """Return how many sources came to which end, and where to look."""
    text = f"{counted(result.num_sources, 'source')}: {result.num_ok} ok, {result.num_partial} partial, "
    text += f"{result.num_rejected} rejected"
    if result.num_rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in result.rejected_by_reason.items())
        text += f" ({reasons}); see {data / 'quarantine.jsonl'}"
    text += f"; {counted(result.num_frames, 'frame')} in {result.elapsed_s:.1f} s"
    if result.num_shards_before:
        text += f", {result.num_shards_before} of {counted(result.num_shards, 'shard')} done before"
    return text
