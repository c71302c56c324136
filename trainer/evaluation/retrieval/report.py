"""The files of a retrieval: numbers, what each query found, and how many found theirs among the first k."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

from vfm.shards.array_types import Float64, Int64
from vfm.trainer.evaluation.picture import new_figure, png_bytes
from vfm.trainer.evaluation.report import write_files
from vfm.trainer.evaluation.retrieval.figures import RECALL_AT, chance_within, found_within
from vfm.trainer.evaluation.retrieval.ranks import Similarity
from vfm.trainer.evaluation.retrieval.result import Rankings, RetrievalResult

TEXT_TO_VIDEO, VIDEO_TO_TEXT = "text_to_video", "video_to_text"
_DRAWN = 400  # points of a curve, fewer where they fall together


def write_report(path: Path, result: RetrievalResult) -> None:
    """Write a retrieval where `vfm.trainer.evaluation.report.report_path` says.

    ``.json`` holds the numbers; ``.parquet`` a row for each query, as `rankings_table` makes it; ``.png`` the
    share of queries that find theirs within the first k, as `recall_picture` draws it.

    Args:
        path: of what was evaluated.
        result: what was found.

    Raises:
        MachineError: the disk is full or does not allow it.
    """
    found = result.rankings
    write_files(
        path, result, numbers=result.to_dict(), rows=rankings_table(found), picture=recall_picture(found)
    )


def rankings_table(found: Rankings) -> pa.Table:
    """Return a row for each query, first those of texts, then those of videos.

    Columns:
        direction: ``text_to_video`` or ``video_to_text``.
        key, text: the video and the text that belong together; the query is the text or the video of them.
            Of a video with several texts, the text is the one found first.
        rank: float64, the place at which the query found the other, from 1.
        similarity: float64, of these two. Where a matching head ranked anew, what it says of them; of a pair
            that it did not see, a number below all that it says.
        best_key, best_text: what came first: a video, with no text, or a text and the video it belongs to.
        best_similarity: float64, of the query and that; the same.
    """
    texts, videos = found.text_to_video, found.video_to_text
    keys, words = np.array(found.keys, object), np.array(found.texts, object)
    columns = {
        "direction": [TEXT_TO_VIDEO] * len(words) + [VIDEO_TO_TEXT] * len(keys),
        "key": [*keys[texts.own], *keys],
        "text": [*words, *words[videos.own]],
        **_numbers("rank", texts.ranks, videos.ranks),
        **_numbers("similarity", texts.own_similarity, videos.own_similarity),
        "best_key": [*keys[texts.best], *keys[found.video_of_text[videos.best]]],
        "best_text": [*[None] * len(words), *words[videos.best]],
        **_numbers("best_similarity", texts.best_similarity, videos.best_similarity),
    }
    return pa.table(columns)


def recall_picture(found: Rankings) -> bytes:
    """Return, as a PNG, the share of queries that find theirs within the first k, against k.

    Both directions stand beside what candidates in random order would reach, with points at k = 1, 5, 10 and
    50, which the numbers tell of.
    """
    figure = new_figure(7.0, 4.5)
    axis = figure.subplots()
    num_texts, num_videos = len(found.texts), len(found.keys)
    # The first is wider, so that both are seen where they are equal.
    for name, places, color, width in (
        (f"texts among {num_videos:,} videos", found.text_to_video, "C0", 3.0),
        (f"videos among {num_texts:,} texts", found.video_to_text, "C1", 1.5),
    ):
        style: dict[str, Any] = {"color": color, "linewidth": width}
        within = found_within(places.ranks, num_candidates=places.num_candidates)
        chance = chance_within(places.num_right, num_candidates=places.num_candidates)
        axis.plot(*_curve(within), label=name, marker="o", markevery=_told_at(within), **style)
        axis.plot(*_curve(chance), label="the same in random order", linestyle=":", **style)
    most = max(num_texts, num_videos)
    ticks = [*_within(most), *(10**power for power in range(2, len(str(most))))]
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{k:,}" for k in ticks])
    axis.set_xticks([], minor=True)
    axis.set(xlabel="first k candidates", ylabel="queries that find theirs among them, %", ylim=(0, 102))
    axis.grid(alpha=0.3)
    axis.legend(loc="best")
    return png_bytes(figure)


def _numbers(name: str, *parts: Similarity) -> dict[str, Float64]:
    return {name: np.concatenate(parts).astype(np.float64)}


def _curve(within: Float64) -> tuple[Int64, Float64]:
    """Return k and percent, for so many k that a picture shows no difference."""
    most = len(within)
    k = np.unique([*np.geomspace(1, most, num=_DRAWN).round().astype(np.int64), *_within(most)])
    return k, 100 * within[k - 1]


def _told_at(within: Float64) -> list[int]:
    """Return where the curve has the points that the numbers tell of."""
    k, _ = _curve(within)
    return [int(place) for place in np.searchsorted(k, _within(len(within)))]


def _within(most: int) -> list[int]:
    return [k for k in RECALL_AT if k <= most]
