"""Pictures of how runs went, drawn from their logs."""

from collections.abc import Callable, Mapping
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.io.run_log import LOG_NAME, read_records
from vfm.trainer.engine.log import TIMING

MAX_COLUMNS = 3


def draw_curves(runs: Mapping[str, Path], picture: Path, *, say: Callable[[str], None]) -> Path:
    """Draw every loss and accuracy of some runs against the step, one panel each, and return the picture.

    Args:
        runs: the folders of the runs under the names they have in the legend.
        picture: the PNG to write.
        say: takes one sentence about each log that cannot be read in full.

    Raises:
        UsageError: a run has logged nothing yet.
    """
    # Agg draws without a display; the figure is made directly, so no backend is chosen for the process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    logs = {name: _records(run, say=say) for name, run in runs.items()}
    parts = sorted(
        {part for records in logs.values() for record in records for part in record if part not in TIMING},
        key=lambda part: (part != "loss", part),
    )
    num_columns = min(len(parts), MAX_COLUMNS)
    num_rows = -(-len(parts) // num_columns)
    figure = Figure(figsize=(4.5 * num_columns, 3.5 * num_rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(num_rows, num_columns, squeeze=False).flat
    for axis, part in zip(panels, parts, strict=False):
        for number, (name, records) in enumerate(logs.items()):
            points = [(record["step"], record[part]) for record in records if part in record]
            if points:
                # One colour per run in all panels, also where some runs have nothing to show.
                axis.plot(*zip(*points, strict=True), label=name, color=f"C{number}")
        axis.set(title=part, xlabel="step")
        axis.grid(alpha=0.3)
        axis.legend()
    for axis in panels:
        axis.set_axis_off()  # what is left of the last row
    figure.savefig(picture, dpi=120)
    return picture


def _records(run: Path, *, say: Callable[[str], None]) -> list[dict[str, float]]:
    path = run / LOG_NAME
    found = read_records(path) if path.exists() else None
    if found is None or not found.records:
        raise UsageError(f"{run} has logged nothing that could be drawn: train in it first.")
    if found.lost:
        say(found.lost)
    return found.records
