"""What a job would do, as --dry-run shows it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vfm.cli.display import output
from vfm.shards.wording import listed

if TYPE_CHECKING:
    from vfm.video2token.sources.listing import Listing


_NUM_NAMED = 6  # how many labels or splits are shown


def show_dry_run(listing: "Listing", given: dict[str, Any]) -> None:
    """Print what a job would do with its sources."""
    from vfm.video2token.jobs.plan.dry_run import count

    found = asdict(
        count(listing.sources, samples_per_shard=given["samples_per_shard"], classes=listing.classes)
    )
    found["num_hidden"] = listing.num_hidden
    if given["as_json"]:
        output.show_json(found)
    else:
        output.show(_table(found))
    output.say("nothing was written (--dry-run)")


def _table(found: dict[str, Any]) -> str:
    rows = [(name.removeprefix("num_"), found[name]) for name in found if name.startswith("num_")]
    rows.append(("bytes", found["size_bytes"]))
    lines = [f"{name:<10}{value}" for name, value in rows]
    lines += [f"{name:<10}{_named(found[name])}" for name in ("labels", "splits") if found[name]]
    return "\n".join(lines + [f"first     {key}  {identity}" for key, identity in found["first"].items()])


def _named(counts: dict[str, int]) -> str:
    return listed([f"{name or '(none)'} {count}" for name, count in counts.items()], limit=_NUM_NAMED)
