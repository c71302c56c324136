import json

import pytest
from PIL import Image

from vfm.shards.errors import UsageError
from vfm.trainer.runs.curves import draw_curves


def write_run(folder, parts):
    folder.mkdir()
    records = [{"step": step, "lr": 0.1, **dict.fromkeys(parts, 1.0 / step)} for step in (1, 2, 3)]
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def test_one_panel_per_part(tmp_path):
    runs = {
        "pretrained": write_run(tmp_path / "a", ["loss", "accuracy"]),
        "scratch": write_run(tmp_path / "b", ["loss"]),
    }
    one = draw_curves({"b": runs["scratch"]}, tmp_path / "one.png", say=print)
    two = draw_curves(runs, tmp_path / "two.png", say=print)
    with Image.open(one) as small, Image.open(two) as large:
        assert large.width == 2 * small.width
        assert large.convert("L").getextrema() == (0, 255)


def test_run_without_records(tmp_path):
    with pytest.raises(UsageError, match="has logged nothing that could be drawn"):
        draw_curves({"x": tmp_path}, tmp_path / "x.png", say=print)


def test_what_cannot_be_read_is_told(tmp_path):
    run, said = write_run(tmp_path / "a", ["loss"]), []
    (run / "log.jsonl").write_bytes((run / "log.jsonl").read_bytes().replace(b'{"step": 2', b'{"stdp": 2'))
    draw_curves({"a": run}, tmp_path / "a.png", say=said.append)
    assert said == [
        f"1 of 3 lines of {run / 'log.jsonl'} cannot be read and are left out; the first is line 2."
    ]
