"""Names of the files and folders of a dataset."""

from pathlib import Path

PLAN_NAME = "plan.parquet"
MANIFEST_NAME = "dataset.json"
QUARANTINE_NAME = "quarantine.jsonl"
FRAMES = "frames"


def tar_path(folder: Path, shard: str) -> Path:
    """Return where the samples of a shard are."""
    return folder / f"{shard}.tar"


def index_path(folder: Path, shard: str) -> Path:
    """Return where the index of a shard is."""
    return folder / f"{shard}.index.parquet"


def report_path(folder: Path, shard: str) -> Path:
    """Return where the report of a shard is."""
    return folder / f"{shard}.json"


def shard_name(index: int) -> str:
    """Return the name of a shard without extension: six digits or more."""
    return f"{index:06d}"
