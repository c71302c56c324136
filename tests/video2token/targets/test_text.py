from pathlib import Path

import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions
from vfm.video2token.targets import build_target

PAD, UNK, CLS, SEP = 0, 1, 2, 3
A, DOG, RUN, S, MARK = 5, 6, 7, 8, 9
CAPTIONS = (("A dog runs!",), ("a dog", "dogs run, run!", "zebra"))


def test_ids_are_those_of_word_pieces(stills, tiny_vocabulary):
    data = stills(captions=CAPTIONS)
    (result,) = tokenize(data, [f"text:{tiny_vocabulary}"], TargetOptions())
    assert (result.column, result.num_samples) == ("text.words", 6)
    dataset = open_dataset(data, columns=("text.words",))
    assert dataset.array(0, "text.words", "ids").tolist() == [[CLS, A, DOG, RUN, S, MARK, SEP]]
    assert dataset.array(0, "text.words", "num_ids").tolist() == [7]
    ids, num_ids = (dataset.array(1, "text.words", field) for field in ("ids", "num_ids"))
    assert ids.tolist() == [
        [CLS, A, DOG, SEP, PAD, PAD, PAD, PAD],
        [CLS, DOG, S, RUN, UNK, RUN, MARK, SEP],
        [CLS, UNK, SEP, PAD, PAD, PAD, PAD, PAD],
    ]
    assert num_ids.tolist() == [4, 8, 3]
    assert (ids.dtype, num_ids.dtype) == (np.uint8, np.uint16)
    options = dataset.manifest.columns["text.words"].options
    assert (options["vocab_size"], options["pad_id"], options["max_ids"]) == (13, PAD, 512)


def test_a_tokenizer_json_gives_the_same_ids(stills, tiny_vocabulary, tmp_path):
    words = (tiny_vocabulary / "vocab.txt").read_text().splitlines()
    tokenizer = BertWordPieceTokenizer({word: i for i, word in enumerate(words)})
    (tmp_path / "fast").mkdir()
    tokenizer.save(str(tmp_path / "fast" / "tokenizer.json"))
    dataset = open_dataset(stills(captions=CAPTIONS))
    rows = [
        list(build_target(f"text:{path}", TargetOptions()).rows(dataset, [0, 1]))
        for path in (tiny_vocabulary, tmp_path / "fast")
    ]
    for one, other in zip(*rows, strict=True):
        assert all(np.array_equal(one[field], other[field]) for field in ("ids.npy", "num_ids.npy"))


def test_a_long_caption_is_cut_before_its_end_mark(stills, tiny_vocabulary):
    dataset = open_dataset(stills(captions=(("dog " * 600,),)))
    (row,) = build_target(f"text:{tiny_vocabulary}", TargetOptions()).rows(dataset, [0])
    assert row["ids.npy"][0].tolist() == [CLS, *[DOG] * 510, SEP]


def test_a_sample_without_a_caption_is_told_before_anything_is_written(
    stills, tiny_codebook, tiny_vocabulary
):
    data = stills(captions=(*(("a dog",),) * 5, ("", " ")))  # the last sample, in the second shard
    before = (data / "dataset.json").read_bytes()
    with pytest.raises(UsageError, match="Sample still-005 has no caption: extract from a list"):
        tokenize(data, [f"vq:{tiny_codebook}", f"text:{tiny_vocabulary}"], TargetOptions())
    assert {path.name for path in data.iterdir()} == {".lock", "dataset.json", "frames"}
    assert (data / "dataset.json").read_bytes() == before


def test_what_is_no_vocabulary_is_refused(tiny_vocabulary: Path, tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "words.txt").write_text("just\nwords\n")
    for spec, told in {
        "text": "write text:PATH",
        f"text:{tmp_path / 'gone'}": "is not a vocabulary: name a tokenizer.json or vocab.txt",
        f"text:{tmp_path}": r"tokenizer\.json is not a vocabulary that vfm can read",
        f"text:{tmp_path / 'bytes.txt'}": r"bytes\.txt is not a vocabulary that vfm can read",
        f"text:{tmp_path / 'words.txt'}": r"words\.txt is not a vocabulary that vfm can read",
    }.items():
        with pytest.raises(UsageError, match=told):
            build_target(spec, TargetOptions())
    with pytest.raises(
        UsageError, match=r"Target text has no option --crop \(its own are: none\): remove it"
    ):
        build_target(f"text:{tiny_vocabulary}", TargetOptions(own={"crop_px": 32}))
