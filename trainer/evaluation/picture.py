"""Pictures of results, drawn without a display."""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty figure of a size in inches, without choosing a backend for the process."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (imported in half a second)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: "Figure") -> bytes:
    """Return a figure as a PNG."""
    png = BytesIO()
    figure.savefig(png, dpi=120, bbox_inches="tight")
    return png.getvalue()
