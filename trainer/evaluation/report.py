"""The files of an evaluation: numbers, what was said of each sample, and who was taken for whom."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

from vfm.shards.io.atomic import temp_path, write_bytes
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.json import write_json
from vfm.shards.io.parquet import table_bytes
from vfm.trainer.evaluation.picture import new_figure, png_bytes
from vfm.trainer.evaluation.result import EvaluateOptions, Evaluation, Predictions, Result

_NAMED = 60  # classes whose names a picture has room for
_COUNTED = 20  # classes whose counts it has room for


def report_path(path: Path, *, protocol: str, split: str, suffix: str) -> Path:
    """Return where the ``.json``, ``.parquet`` or ``.png`` of an evaluation lies.

    Args:
        path: of a run or a folder of weights, which it is inside of, or of a file, which it is beside.
        protocol: with ``-ema`` where an average was evaluated.
        split: that was.
        suffix: of the three.
    """
    name = f"evaluate-{protocol}-{split}{suffix}"
    return path.with_name(f"{path.stem}.{name}") if path.is_file() else path / name


def check_place(path: Path, how: EvaluateOptions) -> None:
    """Refuse, before anything is computed, a folder into which no report can be written.

    Raises:
        MachineError: the disk does not allow it.
    """
    report = report_path(path, protocol=_named(how), split=how.split, suffix=".parquet")
    temp = temp_path(report)
    with disk_faults(report):
        try:
            temp.touch()
        except OSError as error:
            error.filename = str(report)
            raise
        temp.unlink(missing_ok=True)


def write_report(path: Path, result: Evaluation) -> None:
    """Write an evaluation where `report_path` says.

    ``.json`` holds the numbers and the confusion matrix, rows true classes; ``.parquet`` a row for each
    sample, as `predictions_table` makes it; ``.png`` the confusion matrix as a picture. Those of an average
    of the weights do not replace those of the weights.

    Args:
        path: of what was evaluated.
        result: what was found.

    Raises:
        MachineError: the disk is full or does not allow it.
    """
    found = result.predictions
    write_files(
        path,
        result,
        numbers={**result.to_dict(), "confusion": found.confusion.tolist()},
        rows=predictions_table(found),
        picture=confusion_picture(found.confusion, found.classes),
    )


def write_files(
    path: Path, result: Result, *, numbers: Mapping[str, Any], rows: pa.Table, picture: bytes
) -> None:
    """Write the three files of a result where `report_path` says.

    Args:
        path: of what was evaluated.
        result: what was found.
        numbers: JSON values, for ``.json``.
        rows: for ``.parquet``.
        picture: a PNG, for ``.png``.

    Raises:
        MachineError: the disk is full or does not allow it.
    """
    json, parquet, png = (
        report_path(path, protocol=_named(result), split=result.split, suffix=suffix)
        for suffix in (".json", ".parquet", ".png")
    )
    with disk_faults(json):
        write_json(json, numbers)
        write_bytes(parquet, table_bytes(rows))
        write_bytes(png, picture)


def _named(what: EvaluateOptions | Result) -> str:
    return f"{what.protocol}-ema" if what.ema else what.protocol


def predictions_table(found: Predictions) -> pa.Table:
    """Return key, label, predicted, score (of the class predicted) and scores (of all classes, in order)."""
    scores = found.scores
    return pa.table(
        {
            "key": list(found.keys),
            "label": [found.classes[label] for label in found.labels.tolist()],
            "predicted": [found.classes[named] for named in found.predicted.tolist()],
            "score": pa.array(scores.max(axis=1)),
            "scores": pa.FixedSizeListArray.from_arrays(pa.array(scores.reshape(-1)), scores.shape[1]),
        }
    )


def confusion_picture(confusion: npt.NDArray[np.int64], classes: tuple[str, ...]) -> bytes:
    """Return a confusion matrix as a PNG: the darker, the larger the share of the row's class.

    Args:
        confusion: counts, rows true classes, columns those named.
        classes: their names.
    """
    num_classes = len(classes)
    side_in = min(max(4.0, 0.3 * num_classes), 12.0)
    figure = new_figure(side_in + 1.5, side_in)
    axis = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shown = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(shown, label="share of the true class", shrink=0.7)
    axis.set(xlabel="named", ylabel="true class")
    if num_classes <= _NAMED:
        axis.set_xticks(range(num_classes), classes, rotation=90)
        axis.set_yticks(range(num_classes), classes)
    for (row, column), count in np.ndenumerate(confusion if num_classes <= _COUNTED else confusion[:0]):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"  # noqa: PLR2004 (half way)
            axis.text(column, row, str(count), ha="center", va="center", color=color)
    return png_bytes(figure)
