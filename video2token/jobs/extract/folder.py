"""Makes a folder ready to hold a plan's frames, or finds that it holds them already, or something else."""

from collections.abc import Sequence
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES, MANIFEST_NAME, PLAN_NAME
from vfm.shards.format.manifest import Column, Manifest, read_manifest, write_manifest
from vfm.shards.format.plan import Plan, Source, read_plan, write_plan
from vfm.shards.format.shots import SCENES_NAME
from vfm.shards.io.atomic import clean_stale
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.lock import LOCK_NAME
from vfm.shards.reading.join import find_column
from vfm.shards.wording import counted, listed
from vfm.video2token.jobs.extract.retry import with_agreed_sizes
from vfm.video2token.rejection import Retry

_ADDED = "requested and not there"
_NUM_NAMED = 3  # how many of many differences a sentence names


def make_folder(data: Path) -> None:
    """Make the folder of a dataset.

    Raises:
        UsageError: a file is in its place, or it holds what no dataset does.
        MachineError: it cannot be made.
    """
    try:
        with disk_faults(data):
            data.mkdir(parents=True, exist_ok=True)
            names = sorted(path.name for path in data.iterdir())
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{data} is or lies in a file, not a folder: choose another output.") from None
    ours = {LOCK_NAME, PLAN_NAME, SCENES_NAME}  # all that a job killed early has left
    strange = [name for name in names if name not in ours and not name.startswith(".")]
    if strange and MANIFEST_NAME not in names:
        raise UsageError(
            f"{data} holds {strange[0]} and is not a vfm dataset: choose an output that is empty or new."
        )


def prepare(data: Path, plan: Plan, column: Column, *, made_with: dict[str, str]) -> None:
    """Write plan and manifest, or see that they are the ones asked for; the caller holds the lock.

    Raises:
        UsageError: the folder holds another plan or other options.
        MachineError: it cannot be written.
    """
    if (data / MANIFEST_NAME).exists():
        _refuse_other(data, plan=plan, column=column, manifest=read_manifest(data))
    with disk_faults(data):
        clean_stale(data / FRAMES)  # the lock cleaned `data` itself
        if not (data / MANIFEST_NAME).exists():
            write_plan(data / PLAN_NAME, plan)
            write_manifest(data, _manifest(plan, column, made_with=made_with))


def reconciled_plan(data: Path, plan: Plan, *, retry: Retry) -> Plan:
    """Return the plan to go by: ``plan``, with the sizes of the one in ``data`` where it may differ."""
    if not (data / MANIFEST_NAME).exists() or read_manifest(data).plan_sha256 == plan.sha256:
        return plan
    return with_agreed_sizes(data, plan, retry=retry)


def _manifest(plan: Plan, column: Column, *, made_with: dict[str, str]) -> Manifest:
    return Manifest(
        plan_sha256=plan.sha256,
        num_sources=len(plan.sources),
        num_shards=plan.num_shards,
        classes=plan.classes,
        columns={FRAMES: column},
        made_with=made_with,
    )


def _refuse_other(data: Path, *, plan: Plan, column: Column, manifest: Manifest) -> None:
    there = find_column(data, manifest=manifest, name=FRAMES).options
    differences = [
        f"{name} {there.get(name)} there, {asked} requested"
        for name, asked in column.options.items()
        if there.get(name) != asked and name != "plan_sha256"
    ]
    if not differences and manifest.plan_sha256 != plan.sha256:
        differences = _plan_differences(read_plan(data / PLAN_NAME), plan)
    if differences:
        named = listed(differences, limit=_NUM_NAMED, separator="; ")
        raise UsageError(
            f"{data} was begun with other options or sources ({named}): repeat those, or choose another "
            f"output{_other_way(differences)}."
        )


def _other_way(differences: Sequence[str]) -> str:
    """Return what else can be done about differences of one kind."""
    if all(difference.startswith("size_bytes of ") for difference in differences):
        return ", or take what was rejected as it is now, with --retry-failed"
    if len(differences) == 1 and f" {_ADDED}" in differences[0]:
        return " for the new ones alone, as several datasets can be trained on together"
    return ""


def _plan_differences(there: Plan, asked: Plan) -> list[str]:
    old = {_segment_name(source): source for source in there.sources}
    new = {_segment_name(source): source for source in asked.sources}
    changed = [
        change for name in sorted(old.keys() & new.keys()) for change in _changes(old[name], new[name])
    ]
    gone, added = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
    if gone:
        changed.append(f"{counted(len(gone), 'source')} there and not requested, the first {gone[0]}")
    if added:
        changed.append(f"{counted(len(added), 'source')} {_ADDED}, the first {added[0]}")
    changed += _class_differences(there.classes, asked.classes)
    return changed


def _class_differences(there: tuple[str, ...], asked: tuple[str, ...]) -> list[str]:
    """Return in a clause the first class that is another, or that one has more of them."""
    for index, (old, new) in enumerate(zip(there, asked, strict=False)):
        if old != new:
            return [f"class {index} {old!r} there, {new!r} requested"]
    if len(there) == len(asked):
        return []
    return [f"{len(there)} classes there, {len(asked)} requested"]


def _segment_name(source: Source) -> str:
    """Return the identity, and which segment where it is one: several segments share an identity."""
    if source.start_s is None and source.end_s is None:
        return source.identity
    end = "its end" if source.end_s is None else f"{source.end_s!r} s"
    return f"{source.identity} from {source.start_s or 0.0!r} to {end}"


def _changes(old: Source, new: Source) -> list[str]:
    names = ("size_bytes", "labels", "split", "captions", "key")
    return [
        f"{name} of {_segment_name(new)} {_told(getattr(old, name))} there, "
        f"{_told(getattr(new, name))} requested"
        for name in names
        if getattr(old, name) != getattr(new, name)
    ]


def _told(value: object) -> str:
    return ", ".join(map(repr, value)) or "none" if isinstance(value, tuple) else repr(value)
