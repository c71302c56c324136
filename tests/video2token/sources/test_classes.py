"""What the numbers of lists mean: the names of a file of classes, their order, and no number one off."""

import os
from pathlib import Path

import pytest

from vfm.shards.errors import MachineError, UsageError
from vfm.video2token.sources.classes import ClassList, class_order, name_labels, read_classes
from vfm.video2token.sources.entry import Entry

UCF101 = "1 Archery\n2 Baby Crawling\n3 3D printing\n"


def read(tmp_path: Path, text: str, name: str = "names.txt") -> ClassList:
    (tmp_path / name).write_text(text)
    return read_classes(tmp_path / name)


def refused(tmp_path: Path, data: bytes, name: str = "names.txt") -> str:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_classes(tmp_path / name)
    told = str(caught.value)
    assert told.startswith(str(tmp_path / name))
    return told


def named(classes: ClassList | None, *labels: str) -> tuple[str, ...]:
    (entry,) = name_labels([Entry(path="/a", name="a", where="l.txt line 1", labels=labels)], classes=classes)
    return entry.labels


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "classInd.txt",
            UCF101,
            ClassList(
                names=("Archery", "Baby Crawling", "3D printing"),
                by_number={"1": "Archery", "2": "Baby Crawling", "3": "3D printing"},
                told="3 classes of classInd.txt, numbered from 1",
            ),
        ),
        (
            "labels.json",
            '{"b": "1", "a": "0"}',
            ClassList(
                names=("a", "b"),
                by_number={"0": "a", "1": "b"},
                told="2 classes of labels.json, numbered from 0",
            ),
        ),
        (
            "Charades.txt",
            "c001 Closing a box\nc000 Holding some clothes\n",
            ClassList(
                names=("Holding some clothes", "Closing a box"),
                by_number={
                    "0": "Holding some clothes", "1": "Closing a box",
                    "c000": "Holding some clothes", "c001": "Closing a box",
                },
                told="2 classes of Charades.txt, c000 to c001",
            ),
        ),
        (
            "padded.txt",
            "01 a\n",
            ClassList(
                names=("a",), by_number={"1": "a", "01": "a"}, told="1 class of padded.txt, numbered from 1"
            ),
        ),
        (
            "names",
            "\ufeffb\na\n",
            ClassList(
                names=("b", "a"),
                by_number={"0": "b", "1": "a"},
                told="2 classes of names, one a line, the first is 0",
            ),
        ),
        (
            "vocab.json",
            '[["Back", "Free"]]',
            ClassList(
                names=("Back Free",),
                by_number={"0": "Back Free"},
                told="1 class of vocab.json, one a class, the first is 0",
            ),
        ),
    ],
)  # fmt: skip
def test_published_files(tmp_path: Path, name: str, text: str, expected: ClassList) -> None:
    found = read(tmp_path, text, name)
    assert found == expected
    assert found.names == expected.names


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("n", b"a\nb\na\n", "line 3 has the class 'a' of line 1 again: keep one"),
        ("n", b"1 a\n2 a\n", "line 2 has the class 'a' of line 1 again (1 and 2): keep one"),
        (
            "n.json",
            b'{"a": 0, "b": 1, "a": 2}',
            "class 3 has the class 'a' of class 1 again (0 and 2): keep one",
        ),
        ("n.json", b'{"0": "a", "0": "b"}', "0 is the number of 'a' and of 'b'"),
        ("n.csv", b"id,name\n0,a\n00,b\n", "00 is the number of 'a' and of 'b'"),
        (
            "n.csv",
            b"id,name\n0,a\n3,b\n",
            "numbers its classes, and 1 is missing, as they are 0 to 3: number them from 0 or from 1 without "
            "gaps.",
        ),
        ("n.json", b'{"a": 2, "b": 3}', "0 is missing, as they are 2 to 3"),
        ("n.json", b'["a", " "]', "class 2 has no name"),
        ("n.csv", b"id,name\n0,\n", "line 2 has no name"),
        (
            "n",
            "a\nü\n".encode("utf-16"),
            "is not UTF-8 text (line 1, byte 0xff): re-save it as UTF-8, as with iconv -f UTF-16",
        ),
        ("n", "a\nb\n".encode("utf-16-le"), "is not UTF-8 text (line 1, byte 0x00): re-save it as UTF-8"),
        (
            "n",
            "zu Fuß\n".encode("latin-1"),
            "is not UTF-8 text (line 1, byte 0xdf): re-save it as UTF-8, as with iconv -f LATIN1",
        ),
        ("n", b"", "is empty: write one class per line."),
    ],
)
def test_bad_files_in_one_sentence(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    assert told in refused(tmp_path, data, name)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist: name a file with one class per line"):
        read_classes(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is a folder: name a file with one class per line"):
        read_classes(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(MachineError, match=r"loop cannot be read \(Too many levels of symbolic links\)"):
        read_classes(tmp_path / "loop")
    (tmp_path / "film.mp4").touch()
    os.truncate(tmp_path / "film.mp4", (1 << 26) + 1)
    with pytest.raises(UsageError, match="is larger than 64 MiB: name a file with one class per line"):
        read_classes(tmp_path / "film.mp4")


def test_labels_become_names(tmp_path: Path) -> None:
    ucf101 = read(tmp_path, UCF101)
    assert named(ucf101, "1", "3", "Archery") == ("Archery", "3D printing", "Archery")
    assert named(read(tmp_path, "a\nb\n"), "1", "a") == ("b", "a")
    charades = read(tmp_path, "c000 Holding some clothes\nc001 Closing a box\n")
    assert named(charades, "c001", "1", "0") == ("Closing a box", "Closing a box", "Holding some clothes")
    assert named(None, "7", "x") == ("7", "x")


@pytest.mark.parametrize(
    ("text", "label", "told"),
    [
        (
            UCF101,
            "0",
            "l.txt line 1: the label 0 counts classes from 0, and the --classes file from 1 (3 classes of "
            "names.txt, numbered from 1): if its first class is 0 in the list, write the names alone, one on "
            "each line.",
        ),
        (
            UCF101,
            "4",
            "l.txt line 1: the label '4' is not one of the 3 classes (1 to 3): fix the list or the --classes "
            "file.",
        ),
        ("a\nb\n", "2", "not one of the 2 classes (0 to 1), which a list that counts from 1 would have: fix"),
        ("a\nb\n", "3", "not one of the 2 classes (0 to 1): fix"),
        ("a\nb\n", "-1", "the label '-1' is not one of the 2 classes"),
        ("0\n2\n1\n", "1", "the label '1' is the number of the class '2' and the name of another"),
    ],
)
def test_labels_that_mean_nothing_or_two_things(tmp_path: Path, text: str, label: str, told: str) -> None:
    classes = read(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        named(classes, label)
    assert told in str(caught.value)


def test_a_number_that_is_its_own_name_is_taken(tmp_path: Path) -> None:
    assert named(read(tmp_path, "0\n2\n1\n"), "0") == ("0",)


@pytest.mark.parametrize(
    ("labels", "num_classes", "expected"),
    [
        ([], None, ()),
        (["0"], None, ("0",)),
        ([str(i) for i in range(12)], None, tuple(str(i) for i in range(12))),
        (["3", "1"], 5, ("0", "1", "2", "3", "4")),
        (["0", "1"], 2, ("0", "1")),
        (["run", "2", "10"], None, ("10", "2", "run")),
        (["02", "01"], None, ("01", "02")),
    ],
)
def test_order(labels: list[str], num_classes: int | None, expected: tuple[str, ...]) -> None:
    assert class_order(labels, classes=None, num_classes=num_classes) == expected


def test_order_of_a_file_is_kept_unused_classes_too(tmp_path: Path) -> None:
    classes = read(tmp_path, UCF101)
    assert class_order(["Baby Crawling"], classes=classes, num_classes=None) == classes.names
    told = "--num-classes 3 is given beside 3 classes of names.txt, numbered from 1: leave it out"
    with pytest.raises(UsageError, match=told):
        class_order(["Archery"], classes=classes, num_classes=3)


@pytest.mark.parametrize(
    ("labels", "num_classes", "told"),
    [
        (
            ["0", "5", "2"],
            None,
            "The labels are the integers 0 to 5, and no video has 1, 3, 4: name the classes with --classes "
            "FILE or say how many there are, such as --num-classes 6.",
        ),
        (["0", "999999999"], None, "and no video has 1, 2, 3 and 999999995 more: name"),
        (["5"], None, "The labels are the integers 5 to 5, and no video has 0, 1, 2 and 2 more: name"),
        (
            ["1", "2", "3"],
            None,
            "The labels are the integers 1 to 3, and no video has 0, as in a list that counts from 1: "
            "name the classes with --classes FILE, which may count from 1 (`1 Archery`), or say how many "
            "there are, such as --num-classes 4.",
        ),
        (["1", "4"], None, "no video has 0, 2, 3, as in a list that counts from 1: name"),
        (
            ["0", "7" * 5000],
            None,
            f"The label {'7' * 20} has 5000 digits, too many for the number of a class",
        ),
        (["0", "7" * 5000], 3, "has 5000 digits"),
        (
            ["-1", "0", "1"],
            None,
            "The label -1 is below 0, and classes count from 0: leave out labels that are",
        ),
        (
            ["0", "3"],
            3,
            "The label 3 is none of the 3 classes 0 to 2: correct the list, or use --num-classes 4.",
        ),
        (
            ["0", "run"],
            3,
            "--num-classes 3 is for labels that are the numbers 0 to 2, and the label 'run' is none: leave "
            "it out, or name the classes with --classes.",
        ),
        ([], 3, "and no video has a label: leave it out"),
    ],
)
def test_orders_that_are_not_known(labels: list[str], num_classes: int | None, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        class_order(labels, classes=None, num_classes=num_classes)
    assert told in str(caught.value)
