"""Labels and splits of folders."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.folder_labels import label_by_folders
from vfm.video2token.sources.listing import ListOptions, list_sources
from vfm.video2token.sources.report import told


def labelled(*names: str) -> tuple[list[tuple[tuple[str, ...], str | None]], str]:
    found, said = label_by_folders([Entry(path=f"/d/{name}", name=name) for name in names])
    assert [entry.name for entry in found] == list(names)
    return [(entry.labels, entry.split) for entry in found], said


TWO = ("cat/1.mp4", "cat/2.mp4", "dog/1.mp4", "dog/2.mp4")


def test_folders_of_classes() -> None:
    assert labelled(*TWO) == (
        [(("cat",), None), (("cat",), None), (("dog",), None), (("dog",), None)],
        "has the labels of its folders: 2 classes.",
    )


def test_folders_of_splits_and_classes() -> None:
    names = ("train/cat/1.mp4", "train/dog/1.mp4", "validation/cat/2.mp4", "Test/dog/2.mp4", "test/dog/3.mp4")
    assert labelled(*names) == (
        [(("cat",), "train"), (("dog",), "train"), (("cat",), "val"), (("dog",), "test"), (("dog",), "test")],
        "has the labels of its folders: 2 classes, and their splits: train 2, val 1, test 2.",
    )


def test_folders_of_splits_alone() -> None:
    assert labelled("train/1.mp4", "valid/1.mp4", "train/2.mp4") == (
        [((), "train"), ((), "val"), ((), "train")],
        "has the splits of its folders: train 2, val 1.",
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("1.mp4", "2.mp4"), ""),
        ((*TWO, "3.mp4"), "gives no labels: its videos do not lie at one depth."),
        ((*TWO, "train/dog/3.mp4"), "gives no labels: its videos do not lie at one depth."),
        ((*TWO, "cow/1.mp4"), "gives no labels: cow has one video, and a class has two or more."),
        (("cat/1.mp4", "cat/2.mp4"), "gives no labels: all videos are of one folder, cat."),
        (
            ("train/cat/1.mp4", "val/cat/2.mp4"),
            "gives no labels: all videos are of one folder, cat.",
        ),
        (
            ("a/cat/1.mp4", "a/dog/2.mp4"),
            "gives no labels: its videos lie deeper than class/x.mp4 and split/class/x.mp4.",
        ),
        (
            ("train/a/cat/1.mp4", "val/a/dog/2.mp4"),
            "gives no labels: its videos lie deeper than class/x.mp4 and split/class/x.mp4.",
        ),
        (
            ("train/cat/1.mp4", "extra/dog/2.mp4"),
            "gives no labels: its videos lie deeper than class/x.mp4 and split/class/x.mp4.",
        ),
    ],
)
def test_other_folders_give_nothing_and_say_why(names: Sequence[str], said: str) -> None:
    assert labelled(*names) == ([((), None)] * len(names), said)


def test_a_folder_is_listed_with_its_labels_unless_told_otherwise(tmp_path: Path) -> None:
    for name in ("train/cat/1.mp4", "train/dog/1.mp4", "val/cat/2.mp4", "val/dog/2.mp4", "val/.x/3.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list_sources([tmp_path], missing="error")
    assert [(source.identity, source.labels, source.split) for source in found.sources] == [
        ("train/cat/1.mp4", ("cat",), "train"),
        ("train/dog/1.mp4", ("dog",), "train"),
        ("val/cat/2.mp4", ("cat",), "val"),
        ("val/dog/2.mp4", ("dog",), "val"),
    ]
    assert (found.classes, found.num_hidden) == (("cat", "dog"), 1)
    assert told(found)[:3] == [
        f"{tmp_path} has the labels of its folders: 2 classes, and their splits: train 2, val 2.",
        "splits: train 2, val 2.",
        "classes: 2 (0 cat, 1 dog).",
    ]
    plain = list_sources([tmp_path], missing="error", options=ListOptions(has_folder_labels=False))
    assert {(source.labels, source.split) for source in plain.sources} == {((), None)}
    assert (plain.classes, list(plain.inputs[0].notes), plain.num_hidden) == ((), [], 1)
