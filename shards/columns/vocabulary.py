"""The vocabulary of a text column, by which sentences become ids as its captions did."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from vfm.shards.columns.beside import VOCABULARY
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.hashing import sha256

_PADS, _MASKS = ("[PAD]", "<pad>"), ("[MASK]", "<mask>")
_MOST_IDS = 65535  # that two bytes count


class Vocabulary:
    """Turns sentences into ids.

    Attributes:
        size: every id is below it.
        dtype: the smallest unsigned integers that hold the ids.
        pad_id: of padding; 0 where there is no word for it.
        mask_id: of the word that stands for a masked one; None where there is none.
        unknown_id: of the word that stands for those that are not known; None where all can be spelled.
        special_ids: ids of the words that are of no sentence, such as start and end marks, sorted.
        data: the ``tokenizer.json`` that makes it, without truncation and padding.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take a tokenizer for its own; what it knew of truncation and padding is forgotten."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.data: bytes = tokenizer.to_str().encode()
        # Ids may have gaps, so that their number says nothing of the largest.
        self.size = max(tokenizer.get_vocab().values(), default=0) + 1
        self.dtype = np.min_scalar_type(self.size - 1)
        self.pad_id = self._id_of(_PADS) or 0
        self.mask_id = self._id_of(_MASKS)
        self.unknown_id = self._unknown_id()
        added = tokenizer.get_added_tokens_decoder()
        self.special_ids = sorted(number for number, word in added.items() if word.special)

    def encode(
        self, sentences: Sequence[str], *, max_ids: int = _MOST_IDS
    ) -> tuple[npt.NDArray[np.unsignedinteger], npt.NDArray[np.uint16]]:
        """Return the ids of sentences, start and end marks included.

        Args:
            sentences: C of them.
            max_ids: longer ones are cut, their end mark kept; unless given, at what two bytes count.

        Returns:
            ``ids``, ``dtype`` [C, L], padded to the longest of these sentences, and ``num_ids``, uint16 [C],
            how many of each row count.

        Raises:
            UsageError: ``max_ids`` leaves no room beside the marks.
        """
        num_marks = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if not num_marks < max_ids <= _MOST_IDS:
            raise UsageError(
                f"A sentence cannot be cut to {max_ids} ids: use {num_marks + 1} to {_MOST_IDS}, as this "
                f"vocabulary adds {num_marks} marks."
            )
        self._tokenizer.enable_truncation(max_ids)
        # One by one: a batch would be encoded in threads, which a process that forks cannot take along.
        found = [self._tokenizer.encode(sentence).ids for sentence in sentences]
        ids = np.full((len(found), max(map(len, found), default=0)), self.pad_id, self.dtype)
        for row, one in zip(ids, found, strict=True):
            row[: len(one)] = one
        return ids, np.array([len(one) for one in found], np.uint16)

    def num_ids(self, sentence: str) -> int:
        """Return how many ids a sentence has when nothing is cut, start and end marks included."""
        self._tokenizer.no_truncation()
        return len(self._tokenizer.encode(sentence).ids)

    def unknown_words(self, sentence: str) -> list[str]:
        """Return the words of a sentence, as they stand in it, that become `unknown_id`, each once."""
        self._tokenizer.no_truncation()
        found = self._tokenizer.encode(sentence)
        places = zip(found.ids, found.offsets, strict=True)
        return list(dict.fromkeys(sentence[slice(*span)] for i, span in places if i == self.unknown_id))

    def words(self, ids: npt.NDArray[np.unsignedinteger]) -> list[str]:
        """Return the word or piece of a word that each id [L] stands for, as the vocabulary writes it."""
        return [self._tokenizer.id_to_token(number) or f"<{number}>" for number in ids.tolist()]

    def _unknown_id(self) -> int | None:
        """Return the id of words that are not known; the library tells it in what it writes alone."""
        model = json.loads(self.data)["model"]
        if model.get("unk_token") is not None:
            return self._id_of([model["unk_token"]])
        found: int | None = model.get("unk_id")
        return found

    def _id_of(self, names: Sequence[str]) -> int | None:
        """Return the id of the first of these words that there is."""
        found = (self._tokenizer.token_to_id(name) for name in names)
        return next((number for number in found if number is not None), None)


def read_vocabulary(folder: Path, options: Mapping[str, Any]) -> Vocabulary:
    """Return the vocabulary that a column keeps.

    Args:
        folder: of the column.
        options: of the column.

    Raises:
        UsageError: the column was made by a vfm that kept none.
        DamageError: it is not there, or not as it was written.
    """
    digest = options.get("tokenizer_sha256")
    if digest is None:
        raise UsageError(
            f"{folder} keeps no vocabulary: run `vfm drop {folder.parent} {folder.name}` and make the column "
            "again with `vfm tokenize`."
        )
    path = folder / VOCABULARY
    try:
        data = path.read_bytes()
        if sha256(data) != digest:
            raise ValueError("its SHA-256 is not the column's")
        tokenizer = Tokenizer.from_str(data.decode())
    # The library tells of files it does not understand by Exception itself.
    except Exception as error:
        told = "it is missing" if isinstance(error, FileNotFoundError) else str(error).rstrip(".")
        raise DamageError(
            f"{path} is not the vocabulary that vfm wrote ({told}): restore it from a copy, or drop the "
            "column and run the command that made it again."
        ) from None
    return Vocabulary(tokenizer)
