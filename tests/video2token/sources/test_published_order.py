"""The order of the classes of several lists."""

from pathlib import Path

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources.classes import read_classes
from vfm.video2token.sources.listing import Listing, ListOptions, list_sources
from vfm.video2token.sources.report import told

NAMES = ("ApplyEyeMakeup", "ApplyLipstick", "Archery")


def lines(*classes: tuple[str, int | None], group: int = 1) -> str:
    return "".join(
        f"{name}/v_{name}_g{group:02d}_c01.avi{'' if number is None else f' {number}'}\n"
        for name, number in classes
    )


def listing_of(folder: Path, options: ListOptions | None = None, **lists: str) -> Listing:
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text)
    paths = [folder / f"{name}.txt" for name in lists]
    return list_sources(paths, missing="quarantine", options=options or ListOptions())


def refused(folder: Path, options: ListOptions | None = None, **lists: str) -> str:
    with pytest.raises(UsageError) as caught:
        listing_of(folder, options, **lists)
    return str(caught.value).replace(f"{folder}/", "")


def test_numbers_of_one_list_are_the_order_for_all(tmp_path: Path) -> None:
    train = lines(("Archery", 1), ("ApplyLipstick", 3), ("ApplyEyeMakeup", 2))
    found = listing_of(tmp_path, testlist01=lines(("ApplyEyeMakeup", None), group=2), trainlist01=train)
    assert found.classes == ("Archery", "ApplyEyeMakeup", "ApplyLipstick")
    assert [source.split for source in found.sources] == ["test", "train", "train", "train"]


def test_names_without_numbers_sort_as_texts(tmp_path: Path) -> None:
    found = listing_of(tmp_path, testlist01=lines(("b", None), ("a", None), ("B", None)))
    assert found.classes == ("B", "a", "b")


def test_class_file_beside_the_list_gives_unused_classes_too(tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("".join(f"{n} {name}\r\n" for n, name in enumerate(NAMES, 1)))
    found = listing_of(tmp_path, testlist01=lines(("Archery", None)))
    assert found.classes == NAMES
    assert told(found) == [
        f"{tmp_path}/testlist01.txt is read as UCF101's trainlist or testlist: 1 sample.",
        "split test by the name of the list: testlist01.txt.",
        "testlist01.txt: the order of the classes is that of classInd.txt, which lies beside the list.",
        "splits: test 1.",
        "classes: 3 (0 ApplyEyeMakeup, 1 ApplyLipstick, 2 Archery).",
        "note: 2 classes without a sample: ApplyEyeMakeup, ApplyLipstick.",
        f"note: missing, and so in quarantine: 1 of 1 sample, the first {tmp_path}/Archery/"
        "v_Archery_g01_c01.avi; --missing error refuses such a list.",
    ]
    assert refused(tmp_path, trainlist01=lines(("Archery", 1))) == (
        "trainlist01.txt line 1 gives the class Archery another number than 3, which it has elsewhere: use "
        "the lists and the classInd.txt of one release."
    )


def test_given_classes_go_before_the_file_beside(tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Rowing\n")
    (tmp_path / "mine.txt").write_text("Rowing\nDiving\nArchery\n")
    options = ListOptions(classes=read_classes(tmp_path / "mine.txt"))
    found = listing_of(tmp_path, options, testlist01=lines(("Archery", None)))
    assert found.classes == ("Rowing", "Diving", "Archery")
    assert found.inputs[0].notes == []
    said = refused(tmp_path, options, trainlist01=lines(("Archery", 1)))
    assert said.startswith(
        "trainlist01.txt line 1 gives the class Archery another number than 3, which it has"
    )


def test_a_class_of_the_list_that_the_file_beside_lacks(tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Rowing\n")
    assert refused(tmp_path, testlist01=lines(("Archery", None), ("Diving", None))) == (
        "The lists give some classes a number, and none to Diving: name all classes in their order with "
        "--classes."
    )


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        (
            {"trainlist01": lines(("Archery", 1)), "trainlist02": lines(("Archery", 2), ("a", 1), group=2)},
            "trainlist02.txt line 1 gives the class Archery another number than an earlier line: use lists "
            "of one release.",
        ),
        (
            {"trainlist01": lines(("Archery", 1)), "trainlist02": lines(("Rowing", 1))},
            "The classes Archery and Rowing have one number in the lists: correct them, or name all classes "
            "in their order with --classes.",
        ),
        (
            {"trainlist01": lines(("Archery", 1), ("Rowing", 4))},
            "The lists name 2 classes with numbers up to 4, and none has the number 2: name all classes in "
            "their order with --classes, as of classInd.txt.",
        ),
    ],
)
def test_numbers_that_contradict_or_lack_one_another_are_told(
    tmp_path: Path, lists: dict[str, str], said: str
) -> None:
    assert refused(tmp_path, **lists) == said


def test_published_classes_of_one_format_are_kept(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,actions,length\na,c003 0 1,2\n")
    (tmp_path / "d.csv").write_text("id,actions,length\nb,c001 0 1,2\n")
    found = list_sources([tmp_path / "c.csv", tmp_path / "d.csv"], missing="quarantine")
    assert (len(found.classes), found.classes[3]) == (157, "c003")
    (tmp_path / "e.csv").write_text("path,label\ne.mp4,run\n")
    found = list_sources([tmp_path / "c.csv", tmp_path / "e.csv"], missing="quarantine")
    assert found.classes == ("c003", "run")
