"""Sentences become ids as the vocabulary's own library makes them, and what a column keeps is proved."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, BertWordPieceTokenizer, Tokenizer, decoders, models, pre_tokenizers

from support.stills import WORDS
from vfm.shards.columns.vocabulary import Vocabulary, read_vocabulary
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.hashing import sha256

PAD, UNK, CLS, SEP, MASK, A, DOG = range(7)


def word_pieces() -> Tokenizer:
    made = BertWordPieceTokenizer({word: number for number, word in enumerate(WORDS)})
    return Tokenizer.from_str(made.to_str())


def byte_level(*, mask: bool) -> Tokenizer:
    """A byte-level BPE of bytes and one merge, with a gap in its ids, as CLIP's and RoBERTa's are made."""
    ids = {byte: number for number, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE({**ids, "do": 300}, [("d", "o")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<pad>", "<s>", *(["<mask>"] if mask else [])])
    tokenizer.add_tokens([AddedToken("zebra", normalized=False)])
    return tokenizer


def test_word_pieces() -> None:
    vocabulary = Vocabulary(word_pieces())
    assert (vocabulary.size, vocabulary.dtype) == (13, np.uint8)
    assert (vocabulary.pad_id, vocabulary.mask_id, vocabulary.special_ids) == (PAD, MASK, [0, 1, 2, 3, 4])
    ids, num_ids = vocabulary.encode(["a dog", "A cat!  dog", ""], max_ids=5)
    assert ids.tolist() == [[CLS, A, DOG, SEP, PAD], [CLS, A, UNK, 9, SEP], [CLS, SEP, PAD, PAD, PAD]]
    assert num_ids.tolist() == [4, 5, 2]
    assert (ids.dtype, num_ids.dtype) == (np.uint8, np.uint16)
    assert vocabulary.num_ids("A cat!  dog") == 6
    assert vocabulary.words(ids[1]) == ["[CLS]", "a", "[UNK]", "!", "[SEP]"]


def test_no_sentence_is_no_row() -> None:
    ids, num_ids = Vocabulary(word_pieces()).encode([], max_ids=8)
    assert (ids.shape, num_ids.shape, ids.dtype, num_ids.dtype) == ((0, 0), (0,), np.uint8, np.uint16)


def test_byte_level_pairs() -> None:
    vocabulary = Vocabulary(byte_level(mask=True))
    pad, start, mask, zebra = (vocabulary.encode([word], max_ids=9)[0][0, 0] for word in WORDS_OF_BYTES)
    assert vocabulary.special_ids == sorted([pad, start, mask])
    assert (vocabulary.pad_id, vocabulary.mask_id) == (pad, mask)
    assert vocabulary.size == max(300, pad, start, mask, zebra) + 1
    assert vocabulary.dtype == np.uint16
    ids, num_ids = vocabulary.encode(["dog zebra", "é"], max_ids=9)
    assert vocabulary.words(ids[0]) == ["do", "g", "Ġ", "zebra"]
    assert (ids[0, 0], ids[0, 3], num_ids.tolist()) == (300, zebra, [4, 2])
    assert ids[1, 2:].tolist() == [pad, pad]


WORDS_OF_BYTES = ("<pad>", "<s>", "<mask>", "zebra")


def test_a_vocabulary_without_a_mask_has_none() -> None:
    assert Vocabulary(byte_level(mask=False)).mask_id is None


@pytest.mark.parametrize("max_ids", [0, 2, 65536])
def test_room_beside_the_marks_is_needed(max_ids: int) -> None:
    told = f"cut to {max_ids} ids: use 3 to 65535, as this vocabulary adds 2 marks"
    with pytest.raises(UsageError, match=told):
        Vocabulary(word_pieces()).encode(["a"], max_ids=max_ids)


def test_the_same_bytes_whatever_a_file_says_of_length_and_padding() -> None:
    cut = word_pieces()
    cut.enable_truncation(4)
    cut.enable_padding(length=9)
    assert Vocabulary(cut).data == Vocabulary(word_pieces()).data
    assert Vocabulary(cut).encode(["a dog a dog"], max_ids=9)[0].tolist() == [[CLS, A, DOG, A, DOG, SEP]]


def kept(folder: Path) -> tuple[Path, dict[str, str]]:
    data = Vocabulary(byte_level(mask=True)).data
    path = folder / "vocabulary" / "tokenizer.json"
    path.parent.mkdir()
    path.write_bytes(data)
    return path, {"tokenizer_sha256": sha256(data)}


def test_what_a_column_keeps_makes_the_same_ids(tmp_path: Path) -> None:
    _, options = kept(tmp_path)
    there, made = read_vocabulary(tmp_path, options), Vocabulary(byte_level(mask=True))
    sentences = ["a dog", "zebras <mask> <s>", "日本"]
    for found, expected in zip(
        there.encode(sentences, max_ids=7), made.encode(sentences, max_ids=7), strict=True
    ):
        assert np.array_equal(found, expected)
    assert there.special_ids == made.special_ids


def test_what_is_not_as_it_was_written_is_damage(tmp_path: Path) -> None:
    path, options = kept(tmp_path)
    with pytest.raises(UsageError, match="keeps no vocabulary: run `vfm drop .*` and make the column again"):
        read_vocabulary(tmp_path, {})
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DamageError, match=r"tokenizer.json is not .* \(its SHA-256 is not the column's\): "):
        read_vocabulary(tmp_path, options)
    path.write_bytes(b"{}")
    with pytest.raises(DamageError, match=r"is not the vocabulary that vfm wrote \(Model missing"):
        read_vocabulary(tmp_path, {"tokenizer_sha256": sha256(b"{}")})
    path.unlink()
    with pytest.raises(DamageError, match=r"vocabulary/tokenizer.json is not .* \(it is missing\): restore"):
        read_vocabulary(tmp_path, options)


def test_words_that_are_not_known_are_told_as_they_stand() -> None:
    vocabulary = Vocabulary(word_pieces())
    assert vocabulary.unknown_id == UNK
    assert vocabulary.unknown_words("A Zebra, é dog, zebra Zebra!") == ["Zebra", ",", "é", "zebra"]
    vocabulary.encode(["a"], max_ids=3)  # leaves no limit behind
    assert vocabulary.unknown_words("a dog runs a slowly ZEBRA") == ["ZEBRA"]
    assert vocabulary.unknown_words("Dogs run!") == []


def test_other_kinds_of_vocabularies_tell_of_unknown_words_too() -> None:
    spelled = Vocabulary(byte_level(mask=False))
    assert (spelled.unknown_id, spelled.unknown_words("a dog é")) == (None, [])
    pieces = Tokenizer(models.Unigram([("dog", -1.0), ("<unk>", -9.0)], unk_id=1, byte_fallback=False))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    drawn = Vocabulary(pieces)
    assert (drawn.unknown_id, drawn.unknown_words("dog cat dog")) == (1, ["cat"])
