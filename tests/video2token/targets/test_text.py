from pathlib import Path

import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer, Tokenizer, models, normalizers

from vfm.shards.columns.vocabulary import read_vocabulary
from vfm.shards.errors import UsageError
from vfm.shards.format.report import read_report
from vfm.shards.io.hashing import sha256
from vfm.shards.progress import NoProgress
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify
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
    kept = (data / "text.words" / "vocabulary" / "tokenizer.json").read_bytes()
    assert options == {
        "vocabulary": "words",
        "vocabulary_sha256": sha256((tiny_vocabulary / "vocab.txt").read_bytes()),
        "tokenizer_sha256": sha256(kept),
        "vocab_size": 13,
        "pad_id": PAD,
        "mask_id": 4,
        "special_ids": [0, 1, 2, 3, 4],
        "max_ids": 512,
        "dtype": "uint8",
    }
    vocabulary = read_vocabulary(data / "text.words", options)
    assert np.array_equal(vocabulary.encode(CAPTIONS[1], max_ids=512)[0], ids)
    report = read_report(data / "text.words", "000000")
    assert report is not None
    assert set(report.tools) == {"vfm", "tokenizers", "device"}


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


class Notes(NoProgress):
    """Keeps what is to be read."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def advance(self, *, note: str = "", **_counts: int) -> None:
        """Keep a note."""
        self.told += [note] if note else []


def notes(data: Path, vocabulary: Path) -> list[str]:
    """Return what a run of the target says."""
    progress = Notes()
    tokenize(data, [f"text:{vocabulary}"], TargetOptions(), progress=progress)
    return progress.told


BARE = "Without a caption: {}, of which text.words holds no ids and which training on text leaves out."


def test_samples_without_a_caption_are_told_in_the_end_and_after_a_resume(stills, tiny_vocabulary):
    data = stills(captions=(("a dog",), ("", " "), (), ("dog", "", "a"), ("a dog",)))
    assert notes(data, tiny_vocabulary) == [BARE.format("2 of 6 samples")]
    assert notes(data, tiny_vocabulary) == [BARE.format("2 of 6 samples")]  # nothing left to do
    (data / "text.words" / "000001.json").unlink()  # the second shard has no sample of them
    assert notes(data, tiny_vocabulary) == [BARE.format("2 of 6 samples")]
    dataset = open_dataset(data, columns=("frames", "text.words"))
    found = [
        (dataset.array(i, "text.words", "ids"), dataset.array(i, "text.words", "num_ids")) for i in range(6)
    ]
    assert [(ids.tolist(), num_ids.tolist()) for ids, num_ids in found[:4]] == [
        ([[CLS, A, DOG, SEP]], [4]),
        ([], []),
        ([], []),
        ([[CLS, DOG, SEP], [CLS, A, SEP]], [3, 3]),
    ]
    assert {(ids.dtype.name, num_ids.dtype.name) for ids, num_ids in found} == {("uint8", "uint16")}
    assert (found[1][0].shape, found[1][1].shape) == ((0, 0), (0,))
    assert [str(each) for each in verify(data) if each.file != "plan.parquet"] == []


def test_captions_that_were_cut_are_counted_and_those_that_just_fit_are_not(stills, tiny_vocabulary):
    data = stills(captions=(("dog " * 510, "dog " * 511), ("a",), ("a", "dog " * 600)))
    told = "Cut to 512 ids: 4 of 10 captions, which had more."
    assert notes(data, tiny_vocabulary) == [told]
    assert notes(data, tiny_vocabulary) == [told]
    ids = open_dataset(data, columns=("text.words",)).array(0, "text.words", "ids")
    assert [row.tolist() for row in ids] == [[CLS, *[DOG] * 510, SEP]] * 2


def test_where_all_is_well_nothing_is_said(stills, tiny_vocabulary):
    assert notes(stills(captions=CAPTIONS), tiny_vocabulary) == []


def test_no_caption_at_all_is_told_before_anything_is_written(stills, tiny_codebook, tiny_vocabulary):
    data = stills(captions=((), ("", " ")))
    before = (data / "dataset.json").read_bytes()
    told = f"No sample of {data} has a caption: extract from a list in which some have one."
    with pytest.raises(UsageError) as caught:
        tokenize(data, [f"vq:{tiny_codebook}", f"text:{tiny_vocabulary}"], TargetOptions())
    assert str(caught.value) == told
    assert {path.name for path in data.iterdir()} == {".lock", "dataset.json", "frames"}
    assert (data / "dataset.json").read_bytes() == before


def test_a_caption_of_which_a_vocabulary_without_marks_leaves_nothing_is_refused(stills, tmp_path):
    bare = Tokenizer(models.WordLevel({"[UNK]": 0, "dog": 1}, unk_token="[UNK]"))
    bare.normalizer = normalizers.Replace("!", "")
    bare.save(str(tmp_path / "bare.json"))
    data = stills(captions=(("dog",), ("dog!", "!!")))
    told = (
        r"Of '!!', a caption of still-001, this vocabulary leaves no id: correct the caption, or take a voc"
    )
    with pytest.raises(UsageError, match=told):
        tokenize(data, [f"text:{tmp_path / 'bare.json'}"], TargetOptions())


def test_a_vocabulary_that_is_gone_is_found_and_the_same_command_brings_it_back(stills, tiny_vocabulary):
    data = stills(captions=CAPTIONS)
    notes(data, tiny_vocabulary)
    path = data / "text.words" / "vocabulary" / "tokenizer.json"
    before = path.read_bytes()
    for told, spoil in (
        ("Its SHA-256 is not the column's", lambda: path.write_bytes(before + b" ")),
        ("It is missing", path.unlink),
    ):
        spoil()
        (found,) = [each for each in verify(data) if each.file != "plan.parquet"]
        assert (found.file, found.kind) == ("text.words/vocabulary/tokenizer.json", "damage")
        assert found.message.startswith(f"{told}: restore it from a copy, or drop the column")
        notes(data, tiny_vocabulary)
        assert path.read_bytes() == before


@pytest.mark.parametrize("change", ["crlf", "mark", "no end"])
def test_how_lines_end_changes_no_id(tiny_vocabulary, tmp_path, change):
    text = (tiny_vocabulary / "vocab.txt").read_bytes()
    changed = {"crlf": text.replace(b"\n", b"\r\n"), "mark": b"\xef\xbb\xbf" + text, "no end": text[:-1]}
    (tmp_path / "vocab.txt").write_bytes(changed[change])
    one, other = (build_target(f"text:{path}", TargetOptions()) for path in (tiny_vocabulary, tmp_path))
    assert one.options["tokenizer_sha256"] == other.options["tokenizer_sha256"]
    assert one.options["vocabulary_sha256"] != other.options["vocabulary_sha256"]


def test_a_word_may_hold_what_ends_lines_elsewhere(stills, tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2028", "\x85", "a", "dog"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    target = build_target(f"text:{tmp_path}", TargetOptions())
    (row,) = target.rows(open_dataset(stills(captions=(("a dog",),))), [0])
    assert row["ids.npy"].tolist() == [[2, 6, 7, 3]]
    assert (target.options["vocab_size"], target.options["mask_id"]) == (8, None)


def test_what_is_no_vocabulary_is_refused(tiny_vocabulary: Path, tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "words.txt").write_text("just\nwords\n")
    (tmp_path / "latin.txt").write_bytes("[PAD]\n[UNK]\nfuß\n".encode("latin-1"))
    (tmp_path / "latin.json").write_bytes('{"a": "ß"}'.encode("latin-1"))
    (tmp_path / "twice.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "a"]))
    Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]")).save(str(tmp_path / "known.json"))
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "empty.json").write_bytes(b"\xef\xbb\xbf\n")
    for spec, told in {
        "text": "write text:PATH",
        f"text:{tmp_path / 'gone'}": "is not a vocabulary: name a tokenizer.json or vocab.txt",
        f"text:{tmp_path}": r"tokenizer\.json is not a vocabulary that vfm can read",
        f"text:{tmp_path / 'bytes.txt'}": r"bytes\.txt is not UTF-8 text \(line 1, byte 0xff\): re-save it",
        f"text:{tmp_path / 'latin.txt'}": r"latin\.txt is not UTF-8 text \(line 3, byte 0xdf\): re-save it",
        f"text:{tmp_path / 'latin.json'}": r"latin\.json is not UTF-8 text \(line 1, byte 0xdf\): re-save",
        f"text:{tmp_path / 'twice.txt'}": r"twice\.txt is .* \(line 7 repeats 'a' of line 5\): take the",
        f"text:{tmp_path / 'known.json'}": r"known\.json is not .* \(WordLevel error: Missing \[UNK\] token",
        f"text:{tmp_path / 'empty.txt'}": r"empty\.txt is not a vocabulary .* \(it is empty\): take the",
        f"text:{tmp_path / 'empty.json'}": r"empty\.json is not a vocabulary .* \(it is empty\): take the",
        f"text:{tmp_path / 'words.txt'}": r"words\.txt is not a vocabulary that vfm can read",
    }.items():
        with pytest.raises(UsageError, match=told):
            build_target(spec, TargetOptions())
    with pytest.raises(
        UsageError, match=r"Target text has no option --crop \(its own are: none\): remove it"
    ):
        build_target(f"text:{tiny_vocabulary}", TargetOptions(own={"crop_px": 32}))
