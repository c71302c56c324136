import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.retrieval import small_rankings, small_result
from vfm.shards.io.parquet import read_table
from vfm.trainer.evaluation.retrieval.places import places_of_texts, places_of_videos
from vfm.trainer.evaluation.retrieval.report import rankings_table, recall_picture, write_report
from vfm.trainer.evaluation.retrieval.result import Rankings

COLUMNS = ["direction", "key", "text", "rank", "similarity", "best_key", "best_text", "best_similarity"]
ROWS = [
    ("text_to_video", "a", "a dog", 1.0, 0.5, "a", None, 0.5),
    ("text_to_video", "a", "a cat", 2.0, 0.25, "b", None, 0.75),
    ("text_to_video", "b", "a cat", 2.0, 0.5, "a", None, 1.0),
    ("video_to_text", "a", "a dog", 2.0, 0.5, "b", "a cat", 1.0),
    ("video_to_text", "b", "a cat", 2.0, 0.5, "a", "a cat", 0.75),
]


def test_a_row_for_each_text_and_each_video() -> None:
    table = rankings_table(small_rankings())
    assert table.column_names == COLUMNS
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS


@pytest.mark.parametrize(("ema", "name"), [(False, "retrieval"), (True, "retrieval-ema")])
def test_files_lie_in_the_folder_of_the_run(tmp_path: Path, ema: bool, name: str) -> None:
    result = small_result(ema=ema)
    write_report(tmp_path, result)
    files = {path.suffix: path for path in tmp_path.iterdir()}
    assert {path.stem for path in files.values()} == {f"evaluate-{name}-val"}
    assert json.loads(files[".json"].read_text()) == result.to_dict()
    assert read_table(files[".parquet"]).to_pylist() == [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    with Image.open(files[".png"]) as picture:
        assert picture.format == "PNG"


def width_near_top(picture: bytes, color: tuple[int, int, int]) -> float:
    """Return the share of a picture's columns that have a colour within the upper eighth, where 100 % is."""
    with Image.open(BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    is_near = np.abs(pixels[: len(pixels) // 8] - color).max(axis=2) < 40
    return float(is_near.any(axis=0).mean())


def rankings_of(similarity: np.ndarray, own: np.ndarray) -> Rankings:
    return Rankings(
        keys=tuple(f"k{video}" for video in range(similarity.shape[1])),
        texts=tuple(f"text {text}" for text in range(len(similarity))),
        video_of_text=own,
        text_to_video=places_of_texts(similarity, video_of_text=own),
        video_to_text=places_of_videos(similarity, video_of_text=own),
    )


@pytest.mark.parametrize(("num_texts", "num_videos"), [(20, 20), (40, 20), (3000, 150)])
@pytest.mark.parametrize("color", [(31, 119, 180), (255, 127, 14)], ids=["texts", "videos"])
def test_curves_are_as_high_as_the_share_found(num_texts: int, num_videos: int, color) -> None:
    own = np.arange(num_texts) % num_videos
    fits = (own[:, None] == np.arange(num_videos)).astype(np.float32)
    first, last = (recall_picture(rankings_of(similarity, own)) for similarity in (fits, -fits))
    assert width_near_top(first, color) > 0.4  # from k = 1 on all are found
    assert 0 < width_near_top(last, color) < 0.2  # at the last k alone, beside a line in the legend
