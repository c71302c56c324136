"""What is said of sources before they are decoded: each sentence as it reads."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from vfm.video2token.sources import annotations
from vfm.video2token.sources.listing import ListOptions, list_sources
from vfm.video2token.sources.report import formats_told, told

COLUMNS = "a table with the columns path and any of label, caption, start, end, split, key"


def said_of(folder: Path, lists: dict[str, str], *, videos: Sequence[str] = (), **options: int) -> list[str]:
    for name in videos:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    for name, text in lists.items():
        (folder / name).write_text(text)
    found = list_sources(
        [folder / name for name in lists],
        missing="quarantine",
        options=ListOptions(**options),  # type: ignore[arg-type]
    )
    return [sentence.replace(f"{folder}/", "") for sentence in told(found)]


def rows(*labels: str, header: str = "path,label") -> str:
    return "\n".join([header, *(f"{number}.mp4,{label}" for number, label in enumerate(labels))])


NO_TWICE = "note: no label stands twice in 4 samples: are these labels, or"
VIDEOS = [f"{number}.mp4" for number in range(9)]


def test_a_plain_list_says_how_it_was_read_and_its_classes(tmp_path: Path) -> None:
    assert said_of(tmp_path, {"l.csv": rows("run", "sit", "run", "sit")}, videos=VIDEOS) == [
        f"l.csv is read as {COLUMNS}: 4 samples.",
        "classes: 2 (0 run, 1 sit).",
    ]


def test_a_list_without_labels_says_no_more(tmp_path: Path) -> None:
    assert said_of(tmp_path, {"l.csv": "path\n0.mp4\n"}, videos=VIDEOS) == [
        f"l.csv is read as {COLUMNS}: 1 sample."
    ]


def test_lists_of_one_format_are_told_together_with_their_splits(tmp_path: Path) -> None:
    lists = {
        "k_train.csv": "path,label\n0.mp4,a\n1.mp4,b\n2.mp4,b\n",
        "k_val.csv": "path,label\n3.mp4,a\n4.mp4,b\n",
        "k2_train.csv": "path,label\n5.mp4,a\n",
        "more.txt": "6.mp4\n",
    }
    assert said_of(tmp_path, lists, videos=VIDEOS) == [
        f"3 lists are read as {COLUMNS}, the first k_train.csv: 6 samples.",
        "more.txt is read as MMAction2's list of videos and labels: 1 sample.",
        "split train by the name of the list: k_train.csv, k2_train.csv.",
        "split val by the name of the list: k_val.csv.",
        "splits: train 4, val 2, no split 1.",
        "classes: 2 (0 a, 1 b).",
        "note: without a label: 1 of 7 samples.",
    ]


def test_splits_of_other_names_are_told(tmp_path: Path) -> None:
    text = "path,split\n0.mp4,Validation\n1.mp4,training\n2.mp4,test\n3.mp4,dev\n4.mp4,valid\n"
    assert said_of(tmp_path, {"l.csv": text}, videos=VIDEOS)[1:] == [
        "split Validation is called val here.",
        "split training is called train here.",
        "split valid is called val here.",
        "splits: dev 1, test 1, train 1, val 2.",
    ]


def test_whole_videos_are_told_with_how_many_segments_they_are_made_of(tmp_path: Path) -> None:
    lists = {
        "s.csv": "path,caption,start,end\n0.mp4,a,0,2\n1.mp4,b,0,2\n0.mp4,c,1,3\n2.mp4,d,,\n",
        "w.csv": "path,caption\n3.mp4,a\n",
    }
    assert said_of(tmp_path, lists, videos=VIDEOS, whole_videos=True) == [
        f"2 lists are read as {COLUMNS}, the first s.csv: 4 samples.",
        "s.csv: its segments are joined to whole videos: 3 to 2.",
        "w.csv: it names no segments, so --whole-videos changes nothing of it.",
        "captions: 5 for 4 samples.",
    ]


def test_integers_are_told_as_such(tmp_path: Path) -> None:
    said = said_of(tmp_path, {"l.csv": rows("1", "0", "1", "10")}, videos=VIDEOS, num_classes=12)
    assert said[1:] == [
        "classes: 12 (the integers from 0 to 11).",
        "note: 9 classes without a sample: 2, 3, 4 and 6 more.",
        "note: 2 classes with a single sample: 0, 10.",
    ]


def test_many_classes_are_told_by_the_first_three(tmp_path: Path) -> None:
    said = said_of(tmp_path, {"l.csv": rows("e", "d", "c", "b", "a", "a")}, videos=VIDEOS)
    assert said[1:] == [
        "classes: 5 (0 a, 1 b, 2 c and 2 more).",
        "note: 4 classes with a single sample: e, d, c and 1 more.",
    ]


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (("a", "b", "c", "d"), [f"{NO_TWICE} names of the videos?"]),
        (("0", "1", "2", "3"), [f"{NO_TWICE} numbers of frames?"]),
        (("a", "b", "c"), []),
        (("a", "a", "a", "b"), ["note: 1 class with a single sample: b."]),
        (("a", "a", "b", "b"), []),
    ],
)
def test_odd_labels_are_told(tmp_path: Path, labels: tuple[str, ...], note: list[str]) -> None:
    assert said_of(tmp_path, {"l.csv": rows(*labels)}, videos=VIDEOS)[2:] == note


def test_what_is_missing_empty_or_left_out_is_counted(tmp_path: Path) -> None:
    text = "path,start,end\n0.mp4,0,2\n0.mp4,3,3\n0.mp4,7.5,4.25\ngone.mp4,,\n"
    assert said_of(tmp_path, {"l.csv": text}, videos=VIDEOS)[1:] == [
        "segments: 3 of 1 video.",
        "note: missing, and so in quarantine: 1 of 4 samples, the first gone.mp4; --missing error refuses "
        "such a list.",
        "note: without length, and so in quarantine: 2 segments, the first from 3 to 3 s of 0.mp4.",
    ]
    lists = {"run_test_split1.txt": "0.avi 0\n1.avi 1\n", "sit_test_split1.txt": "2.avi 0\n3.avi 2\n"}
    said = said_of(tmp_path, lists, videos=["run/1.avi", "sit/3.avi"])
    assert said == [
        "2 lists are read as HMDB51's split, the first run_test_split1.txt: 2 samples.",
        "splits: test 1, train 1.",
        "classes: 2 (0 run, 1 sit).",
        "note: rows (0 in HMDB51's split, neither train nor test) are left out: 2, the first "
        "run_test_split1.txt line 1.",
    ]


def test_a_folder_says_why_it_gives_no_labels(tmp_path: Path) -> None:
    for name in ("a/1.mp4", "a/2.mp4", "b/1.mp4", ".c/1.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert told(list_sources([tmp_path], missing="error")) == [
        f"{tmp_path} gives no labels: b has one video, and a class has two or more.",
        "note: hidden files and folders, whose names begin with a dot, are left out: 1, the first "
        f"{tmp_path}/.c.",
    ]


def test_all_formats_are_told_with_two_lines_of_each() -> None:
    blocks = formats_told().split("\n\n")
    assert [block.partition(":")[0] for block in blocks] == annotations.names()
    assert all(block.count("\n") == 2 for block in blocks)
    assert (
        "ucf101: UCF101's trainlist or testlist\n"
        "    ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\n"
        "    ApplyLipstick/v_ApplyLipstick_g08_c01.avi 2"
    ) in blocks
