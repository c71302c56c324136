"""The files of a multiple choice: numbers, what was chosen for each video, and how sure of it a model was."""

from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

from vfm.trainer.evaluation.multiple_choice.result import Choices, MultipleChoiceResult
from vfm.trainer.evaluation.picture import new_figure, png_bytes
from vfm.trainer.evaluation.report import write_files

_BINS = 40


def write_report(path: Path, result: MultipleChoiceResult) -> None:
    """Write a multiple choice where `vfm.trainer.evaluation.report.report_path` says.

    ``.json`` holds the numbers; ``.parquet`` a row for each question, as `choices_table` makes it; ``.png``
    how far the right sentences are above the others, as `margins_picture` draws it.

    Args:
        path: of what was evaluated.
        result: what was found.

    Raises:
        MachineError: the disk is full or does not allow it.
    """
    found = result.choices
    write_files(
        path, result, numbers=result.to_dict(), rows=choices_table(found), picture=margins_picture(found)
    )


def choices_table(found: Choices) -> pa.Table:
    """Return a row for each question: key, video, choices, answer, chosen and scores (of the choices)."""
    return pa.table(
        {
            "key": list(found.keys),
            "video": [each.video for each in found.questions],
            "choices": [list(each.choices) for each in found.questions],
            "answer": [each.answer for each in found.questions],
            "chosen": found.chosen,
            "scores": [scores.tolist() for scores in found.scores],
        }
    )


def margins_picture(found: Choices) -> bytes:
    """Return, as a PNG, how many right sentences are how far above the best other one."""
    margins = found.margins
    figure = new_figure(7.0, 4.0)
    axis = figure.subplots()
    for name, some, color in (
        ("right", margins[margins > 0], "C0"),
        ("wrong", margins[margins <= 0], "C3"),
    ):
        axis.hist(some, bins=_BINS, range=(-1, 1), label=f"{name}: {len(some):,}", color=color)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(xlabel="score of the right sentence less that of the best other", ylabel="questions")
    axis.grid(alpha=0.3)
    axis.legend(loc="best")
    return png_bytes(figure)
