"""``vfm search`` shows what sentences find, and draws it."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from support.stills import write_stills
from vfm.cli.main import group
from vfm.shards.errors import UsageError
from vfm.video2token.preview.images import is_ours, text_picture

TINY = (
    *("--recipe", "simvtp-tiny-retrieve", "--steps", 1, "--batch-size", 2, "--accept-data"),
    *("--set", "model.image_px=32", "--set", "objective.max_ids=8"),
)
CAPTIONS = (("A dog runs!", "a dog"), ("slowly " * 20,), ("dogs run.",))


def vfm(*words):
    return CliRunner().invoke(group, list(map(str, words)), catch_exceptions=False, standalone_mode=False)


def search(*words):
    return vfm("search", *words, "--accept-data", "--device", "cpu", "--threads", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory, tiny_vocabulary):
    """Six videos with captions, two of them for validation; do not write to it."""
    found = write_stills(tmp_path_factory.mktemp("captioned") / "data", captions=CAPTIONS)
    vfm("tokenize", found, "--target", f"text:{tiny_vocabulary}", "--workers", 1)
    return found


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run that has learned a little; do not write to it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    vfm("finetune", "retrieve", data, "--out", out, *TINY, "--threads", 1)
    return out


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Commands run in a folder of this test."""
    monkeypatch.chdir(tmp_path)


def test_a_table_and_a_sheet_in_the_same_order(run, data):
    shown = search(run, data, "a dog", "--top", 3)
    found = json.loads(search(run, data, "a dog", "--json", "--top", 3, "--no-sheet").stdout)
    hits = found["answers"][0]["hits"]
    rows = [line.split(maxsplit=4) for line in shown.stdout.splitlines()]
    assert rows[0] == ["place", "score", "key", "source", "caption"]
    shortened = f"{'slowly ' * 8}s..."
    captions = dict(zip(range(3), ("A dog runs! (+1)", shortened, "dogs run."), strict=True))
    assert rows[1:] == [
        [str(i), f"{hit['score']:.4f}", hit["key"], hit["source"], captions[int(hit["key"][-3:]) % 3]]
        for i, hit in enumerate(hits, 1)
    ]
    assert [hit["place"] for hit in hits] == [1, 2, 3]
    assert shown.stderr.splitlines()[-2:] == [
        "contact sheet: search.png",
        f"next: vfm inspect {data} {hits[0]['key']}",
    ]
    with Image.open("search.png") as image:
        picture = np.asarray(image)
    line, top = len(text_picture("a")), 0
    titles = ["a dog: the first 3 of 6 videos"]
    titles += [f"{i}.  {score}  {key}  {caption}" for i, score, key, _, caption in rows[1:]]
    height = (len(picture) - 4 * line) // 3
    for title in titles:
        told = text_picture(title)
        np.testing.assert_array_equal(picture[top : top + line, : told.shape[1]], told)
        top += line + (height if top else 0)
    assert height == 128 + 8


def test_several_sentences_each_have_their_own(run, data):
    shown = search(run, data, "a dog", "dogs  run", "--no-sheet").stdout
    first, second = (part.splitlines() for part in shown.split("\n\n"))
    assert (first[0], second[0]) == ("a dog", "dogs run")
    assert (len(first), len(second)) == (8, 8)
    assert first[2:] != second[2:]
    assert not Path("search.png").exists()


def test_one_json_object_tells_all(run, data):
    shown = search(run, data, "a Zebra", "--json", "--split", "val", "--top", 50, "--sheet", "x.png")
    found = json.loads(shown.stdout)
    (answer,) = found.pop("answers")
    fit = found.pop("fit")
    assert fit["stride"] == 1
    assert found == {
        "model": str(run),
        "step": 1,
        "ema": False,
        "data": str(data),
        "split": "val",
        "num_clips": 5,
        "num_crops": 1,
        "num_videos": 2,
        "rerank": None,
        "sheet": "x.png",
    }
    assert (answer["sentence"], answer["unknown_words"], answer["is_cut"]) == ("a Zebra", ["Zebra"], False)
    assert {hit["key"] for hit in answer["hits"]} == {"still-000", "still-003"}
    assert answer["hits"][0]["captions"] == ["A dog runs!", "a dog"]
    assert is_ours(Path("x.png"))


def test_without_captions_no_column_of_them_is_shown(run, stills):
    shown = search(run, stills("bare"), "a dog", "--top", 1, "--no-sheet").stdout.splitlines()
    assert shown[0].split() == ["place", "score", "key", "source"]
    assert len(shown) == 2


def test_a_picture_of_somebody_else_is_not_written_over(run, data):
    Image.new("RGB", (2, 2)).save("search.png")
    before = Path("search.png").read_bytes()
    with pytest.raises(
        click.UsageError, match=r"search\.png is there and was not drawn by vfm: choose another"
    ):
        search(run, data, "a dog")
    assert Path("search.png").read_bytes() == before
    search(run, data, "a dog", "--no-sheet")
    assert Path("search.png").read_bytes() == before
    search(run, data, "a dog", "--top", 1, "--sheet", "search.png")  # who names it means it
    assert is_ours(Path("search.png"))
    one = Path("search.png").read_bytes()
    search(run, data, "a dog")
    assert Path("search.png").read_bytes() != one


def test_what_contradicts_itself_is_told_before_anything_is_computed(run, data, tmp_path):
    for words, told in [
        ((run, data, "a dog", "--sheet", "x.png", "--no-sheet"), "contradict each other"),
        ((run, data, "a dog", "--sheet", "x.jpg"), r"name a \.png file"),
        ((run, data, " "), "is empty"),
        ((run, data, "a dog", "--ema"), "keeps no average"),
        ((run, data, "a dog", "--split", "test"), "of split 'test'"),
        ((run, data, "a dog", "--vocabulary", "absent"), "absent is not a vocabulary"),
        ((tmp_path / "absent", data, "a dog"), "holds no checkpoint"),
        ((run, tmp_path, "a dog"), "is not a vfm dataset"),
    ]:
        with pytest.raises((UsageError, click.UsageError), match=told):
            search(*words)
    assert list(tmp_path.iterdir()) == []
