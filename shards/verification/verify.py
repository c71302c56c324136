"""Proves that a dataset is what was written: every hash, every offset, every pairing, every image."""

from collections.abc import Generator, Iterator
from pathlib import Path

from vfm.shards.columns.commands import verb_of
from vfm.shards.errors import DamageError
from vfm.shards.format.index import Index, read_index
from vfm.shards.format.interop import is_finished
from vfm.shards.format.layout import FRAMES, MANIFEST_NAME, PLAN_NAME, QUARANTINE_NAME, index_path, shard_name
from vfm.shards.format.manifest import Column, Manifest, read_manifest
from vfm.shards.format.plan import Plan, read_plan
from vfm.shards.format.quarantine import quarantine_lines
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.format.shots import CUT_OPTION, SCENES_NAME, read_shots
from vfm.shards.io.lock import is_held
from vfm.shards.reading.join import misfit
from vfm.shards.verification.beside import check_beside
from vfm.shards.verification.finding import Finding
from vfm.shards.verification.interop import check_column_files, check_shard_files
from vfm.shards.verification.members import check_members
from vfm.shards.verification.tar import check_tar


def verify(data: Path, *, decode: bool = True) -> Iterator[Finding]:
    """Yield everything about the dataset that is not as it was written; nothing when all is well.

    Shards that are not done are one ``unfinished`` finding per column; while a job is writing, only what it
    has committed is looked at.

    Args:
        data: the dataset's folder.
        decode: also decode every JPEG and read every array, which takes most of the time.

    Raises:
        UsageError: ``data`` is not a dataset.
    """
    try:
        manifest = read_manifest(data)
    except DamageError as error:
        yield Finding(file=MANIFEST_NAME, message=str(error))
        return
    plan = yield from _check_plan(data, manifest=manifest)
    for name in sorted(manifest.columns, key=lambda name: (name != FRAMES, name)):
        yield from _check_column(data, manifest=manifest, plan=plan, name=name, decode=decode)
    yield from _check_shots(data, manifest=manifest)
    yield from _check_quarantine(data)


def _check_plan(data: Path, *, manifest: Manifest) -> Generator[Finding, None, Plan | None]:
    """Yield what is wrong with the plan; return it when the shards may be compared with it."""
    try:
        plan = read_plan(data / PLAN_NAME)
    except DamageError as error:
        yield Finding(file=PLAN_NAME, message=str(error))
        return None
    if plan.sha256 != manifest.plan_sha256:
        yield Finding(file=PLAN_NAME, message="It is not the plan that the manifest was made for.")
        return None
    told = (manifest.num_sources, manifest.num_shards, manifest.classes)
    if told != (len(plan.sources), plan.num_shards, plan.classes):
        yield Finding(file=MANIFEST_NAME, message="Its sources, shards or classes are not the plan's.")
        return None
    return plan


def _check_column(
    data: Path, *, manifest: Manifest, plan: Plan | None, name: str, decode: bool
) -> Iterator[Finding]:
    column = manifest.columns[name]
    num_done = 0
    reports: list[ShardReport] = []
    for number in range(manifest.num_shards):
        shard = shard_name(number)
        try:
            report = read_report(data / name, shard)
        except DamageError as error:
            num_done += 1
            yield Finding(file=f"{name}/{shard}.json", message=str(error))
            continue
        if report is None:
            yield from _check_absence(data / name, shard=shard)
            continue
        num_done += 1
        reports.append(report)
        yield from _check_shard(data, column=column, report=report, manifest=manifest, decode=decode)
        if name == FRAMES and plan is not None:
            yield from _check_against_plan(data, report=report, plan=plan, number=number)
    if num_done < manifest.num_shards:
        message = f"{num_done} of {manifest.num_shards} shards are done: run the same command again."
        yield Finding(file=name, message=message, kind="unfinished")
    # A job writes these after its last shard; until it ends they may not be there.
    if plan is not None and len(reports) == manifest.num_shards and not is_held(data):
        yield from check_column_files(data / name, reports=reports, has_splits=plan.has_splits)
    yield from check_beside(data / name, kind=column.kind, options=column.options)
    known = {shard_name(number) for number in range(manifest.num_shards)}
    for path in sorted((data / name).glob("*.tar")):
        if path.stem not in known:
            yield Finding(file=f"{name}/{path.name}", message="The plan has no shard of this name.")


def _check_absence(folder: Path, *, shard: str) -> Iterator[Finding]:
    """Look for a shard that was done once; without its report, nobody finds it."""
    if is_finished(folder) and not is_held(folder.parent):
        told = f"run the same `vfm {verb_of(folder.name)}` command again"
        message = f"It is missing although its column was complete: {told}."
        yield Finding(file=f"{folder.name}/{shard}.json", message=message)


def _check_shots(data: Path, *, manifest: Manifest) -> Iterator[Finding]:
    """Look at the cuts that the plan was made by, where it was."""
    try:
        read_shots(data)
    except DamageError as error:
        yield Finding(file=SCENES_NAME, message=str(error))
    frames = manifest.columns.get(FRAMES)
    if frames is not None and CUT_OPTION in frames.options and not (data / SCENES_NAME).exists():
        message = "It is missing: run the same `vfm extract` command again, which finds the cuts again."
        yield Finding(file=SCENES_NAME, message=message)


def _check_shard(
    data: Path, *, column: Column, report: ShardReport, manifest: Manifest, decode: bool
) -> Iterator[Finding]:
    folder = data / column.name
    where = f"{column.name}/{report.shard}"
    if report.fingerprint != column.fingerprint:
        yield Finding(
            file=f"{where}.json", message="The shard was made with other options than its column's."
        )
    index: Index | None = None
    if report.index_sha256 is not None:
        try:
            index = read_index(index_path(folder, report.shard), sha256=report.index_sha256)
            misfits = misfit(index, size_bytes=report.size_bytes, num_classes=len(manifest.classes))
        except DamageError as error:
            yield Finding(file=f"{where}.index.parquet", message=str(error))
        else:
            if misfits is not None:
                yield Finding(file=f"{where}.index.parquet", message=f"It {misfits}.")
                index = None
    yield from check_shard_files(folder, report=report, index=index)
    tar_findings = list(check_tar(folder, report=report, index=index))
    yield from tar_findings
    if index is not None:
        yield from _check_counts(where, column=column, report=report, index=index)
        if not tar_findings:
            yield from check_members(
                folder,
                report=report,
                index=index,
                classes=manifest.classes,
                options=column.options,
                decode=decode,
            )
    if column.name != FRAMES:
        yield from _check_pair(data, column=column, report=report, index=index)


def _check_counts(where: str, *, column: Column, report: ShardReport, index: Index) -> Iterator[Finding]:
    told = (report.num_samples, report.num_frames, column.fields)
    found = (len(index), int(index.num_frames.sum()), index.fields)
    if told != found:
        message = f"Samples, frames and fields are {told} in report and manifest, and {found} in the index."
        yield Finding(file=f"{where}.json", message=message)


def _check_pair(data: Path, *, column: Column, report: ShardReport, index: Index | None) -> Iterator[Finding]:
    """Look for a target shard that does not belong to the frames shard of its name."""
    where = f"{column.name}/{report.shard}"
    try:
        frames = read_report(data / FRAMES, report.shard)
        if frames is None or frames.sha256 != report.frames_sha256 or frames.fingerprint != column.source:
            yield Finding(file=f"{where}.json", message="It was computed from other frames than these.")
        elif index is not None and _keys(data / FRAMES, frames) != [str(key, "ascii") for key in index.keys]:
            yield Finding(file=f"{where}.tar", message="The shard holds other samples than its frames shard.")
    except DamageError:
        return  # told where the frames themselves are checked


def _check_against_plan(data: Path, *, report: ShardReport, plan: Plan, number: int) -> Iterator[Finding]:
    """Look for sources that are in neither tar nor quarantine, and for samples that no source explains."""
    try:
        keys = _keys(data / FRAMES, report)
    except DamageError:
        return  # told where the index itself is checked
    rejected = {rejection.key for rejection in report.rejected}
    planned = [source.key for source in plan.shard(number)]
    if keys != [key for key in planned if key not in rejected] or not rejected <= set(planned):
        counts = f"{len(keys)} samples and {len(rejected)} rejected sources"
        message = f"{counts} are not the {len(planned)} sources of the plan."
        yield Finding(file=f"{FRAMES}/{report.shard}.json", message=message)


def _keys(folder: Path, report: ShardReport) -> list[str]:
    """Return the keys in a shard's index, in order."""
    if report.index_sha256 is None:
        return []
    path = index_path(folder, report.shard)
    index = read_index(path, sha256=report.index_sha256, with_frames=False)
    return [str(key, "ascii") for key in index.keys]


def _check_quarantine(data: Path) -> Iterator[Finding]:
    if is_held(data):
        return  # a job rewrites it between two shards
    path = data / QUARANTINE_NAME
    try:
        expected = b"".join(quarantine_lines(data))
    except DamageError:
        return  # told where the report itself is checked
    if (path.read_bytes() if path.exists() else b"") != expected:
        message = "It is not what the shard reports say: run the same `vfm extract` command again."
        yield Finding(file=QUARANTINE_NAME, message=message)
