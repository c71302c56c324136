"""Whose a list is: the one format that fits, the two that both do, and the one that is chosen."""

import json
from pathlib import Path
from typing import Any

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources import annotations
from vfm.video2token.sources.listing import ListOptions, list_sources
from vfm.video2token.sources.lists.reading import Reading
from vfm.video2token.sources.lists.recognition import entries_of, open_list, recognized
from vfm.video2token.sources.lists.video_finder import VideoFinder

FRAMES = "a list of path, number of frames and label (--format mmaction2-frames)"
MMACTION2 = "MMAction2's list of videos and labels (--format mmaction2)"
TIMES = "a list of path, begin and end in seconds, and label (--format path-start-end)"
CAPTION = "an object of captions by path (--format path-to-caption)"
LABEL = "an object of labels by path (--format path-to-label)"
Meant = tuple[tuple[str, ...], tuple[str, ...], float | None, float | None]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refused(path: Path, name: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        recognized(open_list(path), name=name)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("file", "content", "shown", "readings", "meanings"),
    [
        (
            "l.txt", "a.mp4 10 0\nb.mp4 12 1\n", "l.txt ('a.mp4 10 0')", f"{MMACTION2} or as {FRAMES}",
            {"mmaction2": [(("10", "0"), (), None, None), (("12", "1"), (), None, None)],
             "mmaction2-frames": [(("0",), (), None, None), (("1",), (), None, None)]},
        ),
        (
            "l.txt", "a.mp4 0 4 1\nb.mp4 2 6 0\n", "l.txt ('a.mp4 0 4 1')", f"{MMACTION2} or as {TIMES}",
            {"mmaction2": [(("0", "4", "1"), (), None, None), (("2", "6", "0"), (), None, None)],
             "path-start-end": [(("1",), (), 0.0, 4.0), (("0",), (), 2.0, 6.0)]},
        ),
        (
            "l.txt", "a.mp4 1 4 1\nb.mp4 2 6 0\n", "l.txt ('a.mp4 1 4 1')",
            f"{MMACTION2} or as {FRAMES} or as {TIMES}",
            {"mmaction2": [(("1", "4", "1"), (), None, None), (("2", "6", "0"), (), None, None)],
             "mmaction2-frames": [(("4", "1"), (), None, None), (("6", "0"), (), None, None)],
             "path-start-end": [(("1",), (), 1.0, 4.0), (("0",), (), 2.0, 6.0)]},
        ),
        (
            "l.csv", "a.mp4,10,20\nb.mp4,12,15\n", "l.csv ('a.mp4,10,20')", f"{FRAMES} or as {TIMES}",
            {"mmaction2-frames": [(("20",), (), None, None), (("15",), (), None, None)],
             "path-start-end": [((), (), 10.0, 20.0), ((), (), 12.0, 15.0)]},
        ),
        (
            "l.json", {"a.mp4": "cat", "b.mp4": "dog"}, "l.json", f"{CAPTION} or as {LABEL}",
            {"path-to-caption": [((), ("cat",), None, None), ((), ("dog",), None, None)],
             "path-to-label": [(("cat",), (), None, None), (("dog",), (), None, None)]},
        ),
    ],
)  # fmt: skip
def test_two_formats_that_fit_are_told_and_each_can_be_chosen(
    tmp_path: Path, file: str, content: Any, shown: str, readings: str, meanings: dict[str, list[Meant]]
) -> None:
    path = write(tmp_path / file, content)
    assert refused(path) == f"{shown} can be read as {readings}: choose one with --format."
    for name, meant in meanings.items():
        options = ListOptions(format_name=name)
        reading = Reading(options=options, videos=VideoFinder(tmp_path), say=lambda _told: None)
        found = open_list(path)
        assert recognized(found, name=name) == name
        entries = list(entries_of(found, name=name, reading=reading))
        assert [(each.labels, each.captions, each.start_s, each.end_s) for each in entries] == meant
        assert [each.name for each in entries] == ["a.mp4", "b.mp4"]


def test_labels_of_two_readings_with_gaps_need_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "l.txt", "a.mp4 10 0\nb.mp4 12 1\n")
    with pytest.raises(UsageError, match="The labels are the integers 0 to 12, and no video has 2, 3, 4 and"):
        list_sources([path], missing="quarantine", options=ListOptions(format_name="mmaction2"))
    found = list_sources([path], missing="quarantine", options=ListOptions(format_name="mmaction2-frames"))
    assert found.classes == ("0", "1")


@pytest.mark.parametrize(
    ("file", "content", "shown"),
    [
        ("l.csv", "name,kind\nx,y\n", "l.csv ('name,kind')"),
        ("l.txt", "x" * 70, f"l.txt ({'x' * 60 + '…'!r})"),
        ("l.jsonl", '{"name": 1, "kind": 2}', "l.jsonl (with name, kind)"),
        ("l.json", [dict.fromkeys("abcdefgh", 1)], "l.json (with a, b, c, d, e, f and 2 more)"),
        ("l.json", {"a": 1}, "l.json"),
    ],
)
def test_an_unknown_list_is_shown(tmp_path: Path, file: str, content: Any, shown: str) -> None:
    place = " in the first line" if file in ("l.csv", "l.txt") else ""
    assert refused(write(tmp_path / file, content)) == (
        f"{shown} is no list that vfm knows: name its columns path and any of label, caption, start, end, "
        f"split, key{place}, or choose one of `vfm extract --formats` with --format."
    )


def test_a_list_of_addresses_is_told(tmp_path: Path) -> None:
    told = refused(write(tmp_path / "l.csv", "URL,name\nhttps://x.org/a.mp4,x\n"))
    assert told == (
        "l.csv: what the column 'URL' holds is an address, and vfm downloads nothing: fetch it with another "
        "tool and name the file."
    )


def test_a_name_that_is_no_format(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "path\na.mp4\n")
    names = ", ".join(annotations.names())
    assert refused(path, "ucf-101") == f"There is no format 'ucf-101': choose one of {names}."


def test_label_is_for_formats_with_several(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "path\na.mp4\n")
    with pytest.raises(UsageError, match=r"^--label verb: .* which has one kind of label: leave it out\.$"):
        list_sources([path], missing="quarantine", options=ListOptions(label="verb"))
    epic = write(tmp_path / "e.csv", "narration_id,video_id,start_timestamp,stop_timestamp\nn,P01_01,0,1\n")
    with pytest.raises(UsageError) as caught:
        list_sources([epic], missing="quarantine", options=ListOptions(label="colour"))
    assert str(caught.value) == (
        f"--label colour: {epic} is read as EPIC-KITCHENS' segments, which has no such label: choose verb, "
        "noun, action."
    )


@pytest.mark.parametrize("file", ["l.csv", "l.txt", "l.json", "l.jsonl"])
def test_an_empty_list_holds_no_video(tmp_path: Path, file: str) -> None:
    text = "[]" if file == "l.json" else " \n"
    assert refused(write(tmp_path / file, text)) == (
        f"{file} holds no video: name a folder with some, or a list of them."
    )
