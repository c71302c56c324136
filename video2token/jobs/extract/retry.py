"""Which rejections are tried again, and what is kept of a shard that is rewritten for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vfm.shards.format.index import FRAME_FIELD, Index, IndexRow, read_index
from vfm.shards.format.layout import FRAMES, PLAN_NAME, index_path, shard_name
from vfm.shards.format.manifest import read_manifest
from vfm.shards.format.plan import Plan, Source, read_plan
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.format.sample import SampleMeta
from vfm.shards.reading.column import ColumnReader
from vfm.shards.reading.join import find_column
from vfm.video2token.rejection import Retry, is_retried


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSample:
    """A sample as it is in its shard: what ``ShardWriter.add`` takes, and its facts."""

    members: dict[str, bytes]
    row: IndexRow
    meta: SampleMeta


class PreviousShard:
    """A done shard, of which all is kept but some rejections.

    Attributes:
        report: of the shard as it is.
        rejected: the rejections that stay, by key.
    """

    def __init__(self, folder: Path, *, report: ShardReport, retry: Retry) -> None:
        """Read the shard's index; ``folder`` is its column's."""
        self.report = report
        self.rejected = {each.key: each for each in report.rejected if not is_retried(each, retry=retry)}
        self._retried = {each.key for each in report.rejected} - self.rejected.keys()
        indexes: list[Index] = []
        if report.index_sha256 is not None:
            indexes.append(read_index(index_path(folder, report.shard), sha256=report.index_sha256))
        self._reader = ColumnReader(folder, reports=[report], indexes=indexes)
        self._rows = {key.decode(): row for row, key in enumerate(self._reader.index.keys)}

    def is_retried(self, key: str) -> bool:
        """Return whether a source is tried again."""
        return key in self._retried

    def tools(self, now: dict[str, str]) -> dict[str, str]:
        """Return the tools of the rewritten shard: where they differ, those of what is kept, then ``now``."""
        before = self.report.tools
        return {
            name: version
            if version in before.get(name, version).split("; ")
            else f"{before[name]}; {version}"
            for name, version in now.items()
        }

    def sample(self, key: str) -> KeptSample:
        """Return a sample with the same bytes as it has.

        Raises:
            DamageError: they do not match their checksum.
        """
        row, index = self._rows[key], self._reader.index
        members = {field: bytes(self._reader.member(row, field)) for field in index.fields}
        begin = index.member(row, FRAME_FIELD).offset
        frames = [index.frame(row, time) for time in range(int(index.num_frames[row]))]
        return KeptSample(
            members=members,
            row=IndexRow(
                num_frames=len(frames),
                class_index=int(index.class_index[row]),
                split=str(index.split[row]),
                frame_offsets=[frame.offset - begin for frame in frames],
                frame_sizes=[frame.size_bytes for frame in frames],
            ),
            meta=SampleMeta.from_json(members["json"]),
        )


def with_agreed_sizes(data: Path, plan: Plan, *, retry: Retry) -> Plan:
    """Return ``plan`` with the sizes of the plan in ``data`` where a difference is agreed to.

    A plan keeps the sizes it was made with. Another size is agreed to when the report of the source's shard
    says that the shard was made with it; and with ``retry`` also when the source is tried again, or its
    shard is not done. So a source that was missing can appear and be tried again, and nothing that became a
    sample can change unnoticed.

    Args:
        data: a dataset.
        plan: of the sources as they are now.
        retry: which rejected sources are tried again.
    """
    there = {source.key: source for source in read_plan(data / PLAN_NAME).sources}
    agreed = _agreed(data, plan, retry=retry)

    def settled(source: Source) -> Source:
        old = there.get(source.key, source)
        is_agreed = old.size_bytes != source.size_bytes and source.key in agreed
        if not is_agreed or agreed[source.key] not in {None, source.size_bytes}:
            return source
        return replace(source, size_bytes=old.size_bytes)

    return replace(plan, sources=tuple(map(settled, plan.sources)))


def _agreed(data: Path, plan: Plan, *, retry: Retry) -> Mapping[str, int | None]:
    """Return the sizes agreed to by key, None for any size."""
    fingerprint = find_column(data, manifest=read_manifest(data), name=FRAMES).fingerprint
    agreed: dict[str, int | None] = {}
    for index in range(plan.num_shards):
        report = read_report(data / FRAMES, shard_name(index))
        if report is not None and report.fingerprint == fingerprint:
            agreed |= report.new_sizes_bytes
            agreed |= {each.key: None for each in report.rejected if is_retried(each, retry=retry)}
        elif retry != "none":
            agreed |= {source.key: None for source in plan.shard(index)}
    return agreed
