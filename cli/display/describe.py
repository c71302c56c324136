"""Datasets and samples in words: what ``vfm inspect`` prints when nobody asked for JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from vfm.shards.format.sample import SampleMeta
from vfm.shards.reading.summary import ColumnSummary, Summary
from vfm.shards.wording import counted

_MAX_LABELS = 20
_MAX_CAPTIONS = 5  # whose words are shown


def aligned(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> Iterator[str]:
    """Yield rows of cells as lines that line up: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        first, *others = row
        cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True))]
        yield indent + "  ".join(cells).rstrip()


def size(size_bytes: float) -> str:
    """Return a number of bytes as a person says it: 1.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield a dataset's numbers: its sources, what its columns hold, labels, splits, quarantine."""
    parts = {
        "ok": summary.num_ok,
        "partial": summary.num_partial,
        "rejected": summary.num_rejected,
        "pending": summary.num_pending,
    }
    told = ", ".join(f"{count} {name}" for name, count in parts.items() if count or name == "ok")
    is_of_images = any(column.options.get("images") for column in summary.columns)
    yield f"{counted(summary.num_sources, 'image' if is_of_images else 'source')}: {told}"
    if summary.frames_per_sample is not None:
        least, median, most = summary.frames_per_sample
        yield f"{counted(summary.num_frames, 'frame')}: {least} to {most} a sample, median {median:g}"
    yield ""
    header = ("column", "shards", "samples", "bytes", "bytes/sample", "members")
    rows = [_column_row(column, num_shards=summary.num_shards) for column in summary.columns]
    yield from aligned([header, *rows])
    yield from _counts("labels", summary.labels, others=("without a label", summary.num_unlabelled))
    named = {name: count for name, count in summary.splits.items() if name}
    yield from _counts("splits", named, others=("without a split", summary.splits.get("", 0)))
    yield from _counts("quarantine by reason", summary.rejected_by_reason)


def sample_lines(
    meta: SampleMeta,
    members: Iterable[tuple[str, str, str]],
    *,
    words: Mapping[str, Sequence[Sequence[str]]],
) -> Iterator[str]:
    """Yield one sample in detail.

    Args:
        meta: of the sample.
        members: (column, field, what it holds).
        words: by text column, those that the ids of each caption stand for.
    """
    yield meta.key
    facts = {
        "source": meta.source,
        "outcome": meta.outcome,
        "labels": ", ".join(meta.labels) or None,
        "captions": "\n".join(meta.written_captions) or None,
        "split": meta.split,
        "frames": f"{meta.num_frames} of {meta.width_px}×{meta.height_px} px, {_rule(meta)}",
        "times": _times(meta.pts_s),
        "image" if meta.container == "image" else "video": _video(meta),
        "damage": " ".join(meta.damage) or None,
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        for row, line in enumerate(value.split("\n") if value is not None else ()):
            yield f"  {('' if row else name).ljust(width)}  {line}"
    yield ""
    yield from aligned([("column", "member", "holds"), *members])
    for column, captions in words.items():
        yield ""
        yield f"{column}: {counted(len(captions), 'caption')}"
        yield from (f"  {counted(len(row), 'id')}: {' '.join(row)}" for row in captions[:_MAX_CAPTIONS])
        if len(captions) > _MAX_CAPTIONS:
            yield f"  and {len(captions) - _MAX_CAPTIONS} more"


def _column_row(column: ColumnSummary, *, num_shards: int) -> tuple[str, ...]:
    each = column.size_bytes / column.num_samples if column.num_samples else 0
    shards = f"{column.num_shards_done}/{num_shards}"
    members = " ".join(column.fields)
    return column.name, shards, str(column.num_samples), size(column.size_bytes), size(each), members


def _counts(title: str, counts: dict[str, int], *, others: tuple[str, int] = ("", 0)) -> Iterator[str]:
    if not counts:
        return
    yield ""
    yield title
    rows = [(name, str(count)) for name, count in list(counts.items())[:_MAX_LABELS]]
    if len(counts) > _MAX_LABELS:
        rest = list(counts.values())[_MAX_LABELS:]
        rows.append((f"{len(rest)} others", str(sum(rest))))
    if others[1]:
        rows.append((others[0], str(others[1])))
    yield from aligned(rows)


def _rule(meta: SampleMeta) -> str:
    return meta.sampling if meta.fps is None else f"{meta.sampling} of {meta.fps:g} fps"


def _times(pts_s: Sequence[float]) -> str:
    shown = [f"{pts:.3f}" for pts in pts_s]
    return ", ".join(shown if len(shown) <= 6 else [*shown[:3], "…", *shown[-2:]]) + " s"


def _video(meta: SampleMeta) -> str:
    facts = [
        f"{meta.source_width_px}×{meta.source_height_px} px",
        f"{meta.source_fps:g} fps" if meta.source_fps else None,
        f"{meta.source_duration_s:.2f} s" if meta.source_duration_s is not None else None,
        f"{meta.codec} {meta.pix_fmt} in {meta.container}",
        f"rotated by {meta.rotation_deg}°" if meta.rotation_deg else None,
        f"pixels {meta.sample_aspect_ratio}" if meta.sample_aspect_ratio != "1:1" else None,
        ", ".join(f"{name} {value}" for name, value in meta.color.items() if value != "unknown") or None,
    ]
    return ", ".join(fact for fact in facts if fact)
