"""The vocabulary of weights is found where it is kept, and no other is taken for it."""

import json
import shutil
from pathlib import Path

import pytest

from support.stills import WORDS
from vfm.shards.columns.vocabulary_file import read_vocabulary_file
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.trainer.evaluation.retrieval.vocabularies import vocabulary_of
from vfm.trainer.methods.simvtp.finetune import tiny_retrieve
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.weights.imported import ImportedWeights
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions


@pytest.fixture
def other_words(tmp_path):
    """A folder with a vocabulary of as many words, one of them another."""
    folder = tmp_path / "others"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS).replace("dog", "cat") + "\n")
    return folder


@pytest.fixture
def captioned(stills, tiny_vocabulary):
    """A dataset with a column of text."""
    data = stills("captioned", captions=(("a dog",),))
    tokenize(data, [f"text:{tiny_vocabulary}"], TargetOptions())
    return data


def weights(data=None, **changes):
    """Weights that learned from the column of a dataset, or do not tell."""
    columns = {}
    if data is not None:
        options = read_manifest(data).columns["text.words"].options
        columns = {"frames": {"options": {}}, "text.words": {"options": {**options, **changes}}}
    recipe = tiny_retrieve()
    file = ImportedWeights(
        path=Path("x.safetensors"), project="vfm", recipe=recipe, state={}, columns=columns
    )
    return InitialWeights(recipe=recipe, file=file)


def run_of(folder, told):
    """The folder of a run that names its datasets."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"data": told}))
    return folder


def test_it_is_that_of_the_column_whose_captions_were_learned(captioned, other_words, tmp_path):
    tokenize(captioned, [f"text:{other_words}"], TargetOptions(name="first"))
    found = vocabulary_of(weights(captioned), path=tmp_path / "x.safetensors", data=captioned)
    assert found.path == captioned / "text.words"
    assert found.is_proven
    assert found.vocabulary.encode(["a dog"])[0].tolist() == [[2, 5, 6, 3]]


@pytest.mark.parametrize("lost", ["tokenizer_sha256", "vocabulary_sha256"])
def test_one_of_its_two_hashes_is_enough(captioned, tiny_vocabulary, tmp_path, lost):
    start = weights(captioned, **{lost: "0" * 64})
    asked = {"path": tmp_path / "x.safetensors", "data": captioned}
    assert vocabulary_of(start, **asked).path == captioned / "text.words"
    assert vocabulary_of(start, **asked, given=tiny_vocabulary).path == tiny_vocabulary / "vocab.txt"


def test_it_is_looked_for_where_the_run_learned(captioned, stills, tmp_path):
    bare, gone = stills("bare"), tmp_path / "gone"
    for number, told in enumerate((str(captioned), {str(gone): 5, str(bare): 2, str(captioned): 3})):
        run = run_of(tmp_path / f"run{number}", told)
        assert vocabulary_of(weights(captioned), path=run, data=bare).path == captioned / "text.words"


def test_what_is_nowhere_is_told_with_what_it_is(captioned, stills, tiny_vocabulary, tmp_path):
    bare, digest = stills("bare"), read_vocabulary_file(tiny_vocabulary).sha256
    run, start = run_of(tmp_path / "run", str(tmp_path / "gone")), weights(captioned)
    for path, seen in ((run, f" or of {tmp_path / 'gone'}, where it learned,"), (tmp_path / "x.pth", "")):
        with pytest.raises(UsageError) as caught:
            vocabulary_of(start, path=path, data=bare)
        assert str(caught.value) == (
            f"{path} reads sentences by the vocabulary of its training (words, 13 words, SHA-256 "
            f"{digest[:12]}), which no column of {bare}{seen} keeps: name its tokenizer.json or vocab.txt "
            "with --vocabulary."
        )
    with pytest.raises(UsageError, match=r"of its training, which no column of .* keeps: name its tokenizer"):
        vocabulary_of(weights(), path=run, data=bare)


def test_another_vocabulary_is_refused(captioned, other_words, tmp_path):
    start, path = weights(captioned), tmp_path / "x.safetensors"
    told = r"vocab\.txt has 13 words and SHA-256 \w{12}, and .* was trained with words, 13 words, SHA"
    with pytest.raises(UsageError, match=told):
        vocabulary_of(start, path=path, data=captioned, given=other_words)
    with pytest.raises(UsageError, match="is not a vocabulary: name a"):
        vocabulary_of(start, path=path, data=captioned, given=tmp_path / "absent")


def test_weights_that_do_not_tell_take_the_only_one_there_is(captioned, other_words, tmp_path):
    asked = {"path": tmp_path / "x.safetensors", "data": captioned}
    found = vocabulary_of(weights(), **asked)
    assert (found.path, found.is_proven) == (captioned / "text.words", False)
    assert not vocabulary_of(weights(), **asked, given=other_words).is_proven
    tokenize(captioned, [f"text:{other_words}"], TargetOptions())
    with pytest.raises(
        UsageError, match=r"there are .*text\.others, .*text\.words: name its tokenizer\.json"
    ):
        vocabulary_of(weights(), **asked)


def test_a_column_that_keeps_none_is_passed_over_and_a_damaged_one_is_told(captioned, toy_dataset, tmp_path):
    toy = toy_dataset("toy", columns=("text.toy",))
    with pytest.raises(UsageError, match=r"which no column of .*toy keeps"):
        vocabulary_of(weights(), path=tmp_path, data=toy)
    kept = captioned / "text.words" / "vocabulary" / "tokenizer.json"
    shutil.copy(kept, tmp_path / "kept.json")
    kept.write_bytes(kept.read_bytes() + b" ")
    with pytest.raises(DamageError, match="is not the vocabulary that vfm wrote"):
        vocabulary_of(weights(captioned), path=tmp_path, data=captioned)
    found = vocabulary_of(weights(captioned), path=tmp_path, data=captioned, given=tmp_path / "kept.json")
    assert found.is_proven
