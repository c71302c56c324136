"""``quarantine.jsonl``: every rejected source, one line each."""

from pathlib import Path

from vfm.shards.format.layout import FRAMES, QUARANTINE_NAME, shard_name
from vfm.shards.format.manifest import read_manifest
from vfm.shards.format.report import read_report
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.json import canonical_json


def write_quarantine(data: Path) -> int:
    """Rewrite ``quarantine.jsonl`` from the frames' reports and return how many lines it has."""
    lines = quarantine_lines(data)
    write_bytes(data / QUARANTINE_NAME, b"".join(lines))
    return len(lines)


def quarantine_lines(data: Path) -> list[bytes]:
    """Return one line of canonical JSON for each source rejected so far, in the plan's order."""
    num_shards = read_manifest(data).num_shards
    reports = (read_report(data / FRAMES, shard_name(i)) for i in range(num_shards))
    rejected = [rejection for report in reports if report is not None for rejection in report.rejected]
    return [canonical_json(rejection.to_dict()) for rejection in rejected]
