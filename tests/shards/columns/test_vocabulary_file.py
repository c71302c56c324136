"""A vocabulary comes in a file or in its folder; what is refused is in the tests of the text target."""

from pathlib import Path

import pytest

from vfm.shards.columns.vocabulary_file import read_vocabulary_file
from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256


def test_a_folder_stands_for_the_file_in_it(tiny_vocabulary: Path) -> None:
    found = [read_vocabulary_file(path) for path in (tiny_vocabulary, tiny_vocabulary / "vocab.txt")]
    for each in found:
        assert each.path == tiny_vocabulary / "vocab.txt"
        assert each.name == "words"
        assert each.sha256 == sha256((tiny_vocabulary / "vocab.txt").read_bytes())
        assert each.vocabulary.encode(["a dog"], max_ids=9)[0].tolist() == [[2, 5, 6, 3]]


def test_what_a_vocabulary_wrote_is_the_same_vocabulary(tiny_vocabulary: Path, tmp_path: Path) -> None:
    vocabulary = read_vocabulary_file(tiny_vocabulary).vocabulary
    (tmp_path / "kept.v1.json").write_bytes(vocabulary.data)
    again = read_vocabulary_file(tmp_path / "kept.v1.json")
    assert again.vocabulary.data == vocabulary.data
    assert again.name == "kept-v1"


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a vocabulary: name a tokenizer\.json or vocab\.txt"):
        read_vocabulary_file(tmp_path)
