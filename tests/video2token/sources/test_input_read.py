"""The split of an input's videos: their own, the list's name's, or what the user says."""

from pathlib import Path

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources.listing import Listing, list_sources


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def splits_of(found: Listing) -> list[str | None]:
    return [source.split for source in found.sources]


def test_own_splits_go_before_the_name_of_the_list(tmp_path: Path) -> None:
    path = write(tmp_path / "test.csv", "path,split\na.mp4,Training\nb.mp4,\n")
    found = list_sources([path], missing="quarantine")
    assert splits_of(found) == ["train", None]
    assert found.inputs[0].split_by_name is None
    assert found.inputs[0].renamed_splits == {"Training": "train"}
    found = list_sources([write(tmp_path / "l_test.csv", "path\na.mp4\n")], missing="quarantine")
    assert (splits_of(found), found.inputs[0].split_by_name) == (["test"], "test")


def test_a_given_split_is_that_of_all_and_says_what_it_overrules(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", "path,split\na.mp4,validation\nb.mp4,\nc.mp4,testing\nd.mp4,val\n")
    found = list_sources([], missing="quarantine", lists=[("valid", path)])
    assert splits_of(found) == ["val"] * 4
    (read,) = found.inputs
    assert (read.split_by_name, read.renamed_splits) == (None, {})
    assert list(read.notes) == [
        f"{path}: 1 of its samples are of another split there, the first of testing, and of val here, as "
        "--list says."
    ]


def test_each_list_has_the_split_that_is_given_with_it(tmp_path: Path) -> None:
    one, two = (write(tmp_path / name, f"path\n{name}.mp4\n") for name in ("one.csv", "two.csv"))
    three = write(tmp_path / "three.csv", "path\n3.mp4\n")
    found = list_sources([three], missing="quarantine", lists=[("training", two), ("mine", one)])
    assert [(source.identity, source.split) for source in found.sources] == [
        ("three.csv/3.mp4", None),
        ("two.csv/two.csv.mp4", "train"),
        ("one.csv/one.csv.mp4", "mine"),
    ]


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ("all", "No split can be called 'all', which stands for every sample: give these samples another "
                "split, or none."),
        ("a/b", "No split can be called 'a/b': give these samples a name without / in it."),
    ],
)  # fmt: skip
def test_a_split_that_cannot_be_is_told_with_its_row(tmp_path: Path, split: str, told: str) -> None:
    path = write(tmp_path / "l.csv", f"path,split\na.mp4,train\nb.mp4,{split}\n")
    with pytest.raises(UsageError) as caught:
        list_sources([path], missing="quarantine")
    assert str(caught.value) == f"{path} line 3: {told}"
    with pytest.raises(UsageError) as caught:
        list_sources([], missing="quarantine", lists=[(split, path)])
    assert str(caught.value) == told
