"""``text:PATH``: captions as ids of a vocabulary, a Hugging Face ``tokenizer.json`` or a ``vocab.txt``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_name
from vfm.shards.io.hashing import sha256
from vfm.shards.reading.dataset import Dataset
from vfm.video2token.target import Arrays, Target, TargetOptions

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IDS, NUM_IDS = "ids.npy", "num_ids.npy"
_FILES = ("tokenizer.json", "vocab.txt")
_MAX_IDS = 512  # positions that BERT has (Devlin et al. 2019)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What only this kind may be told: nothing, as it reads captions and no frames."""


def build(argument: str, own: Options, options: TargetOptions) -> "TextTarget":
    """Return the target of a vocabulary.

    Args:
        argument: a ``tokenizer.json``, a ``vocab.txt`` (WordPiece, lower case, as bert-base-uncased), or a
            folder that holds one of them.
        own: nothing.
        options: what every kind may be told; batch and device mean nothing here.

    Raises:
        UsageError: no such file, not one of the two formats, or no column can be called so.
    """
    del own
    path = _find(argument)
    data = path.read_bytes()
    tokenizer = _load(path, text=data)
    name = check_name(options.name or _plain_name(path))
    return TextTarget(tokenizer, name=name, vocabulary_sha256=sha256(data))


class TextTarget(Target):
    """The ids of every caption of a sample, start and end marks included.

    Fields: ``ids`` [C, L], the smallest unsigned integers that hold the vocabulary, padded to the longest
    caption of the sample; ``num_ids`` uint16 [C], how many of each row count. Captions longer than 512 ids
    are cut, their end mark kept.
    """

    def __init__(self, tokenizer: "Tokenizer", *, name: str, vocabulary_sha256: str) -> None:
        self.name = f"text.{name}"
        self.kind = "text"
        self.fields = (IDS, NUM_IDS)
        self._tokenizer = tokenizer
        tokenizer.enable_truncation(_MAX_IDS)
        tokenizer.no_padding()
        size = tokenizer.get_vocab_size()
        self._dtype = np.min_scalar_type(size - 1)
        self._pad_id = _pad_id(tokenizer)
        self.options: dict[str, Any] = {
            "vocabulary": name,
            "vocabulary_sha256": vocabulary_sha256,
            "vocab_size": size,
            "pad_id": self._pad_id,
            "max_ids": _MAX_IDS,
            "dtype": self._dtype.name,
        }

    def rows(self, dataset: Dataset, indices: Sequence[int]) -> Iterator[Arrays]:
        """Yield ``ids`` and ``num_ids`` of each sample.

        Raises:
            UsageError: a sample has no caption.
        """
        for index in indices:
            yield self._ids_of(_captions(dataset, index))

    def check(self, dataset: Dataset) -> None:
        """See that every sample has a caption.

        Raises:
            UsageError: one has none.
        """
        for index in range(len(dataset)):
            _captions(dataset, index)

    def _ids_of(self, captions: Sequence[str]) -> Arrays:
        found = [encoding.ids for encoding in self._tokenizer.encode_batch(list(captions))]
        ids = np.full((len(found), max(map(len, found))), self._pad_id, self._dtype)
        for row, one in zip(ids, found, strict=True):
            row[: len(one)] = one
        return {IDS: ids, NUM_IDS: np.array([len(one) for one in found], np.uint16)}


def _captions(dataset: Dataset, index: int) -> tuple[str, ...]:
    captions = dataset.meta(index).captions
    if not any(caption.strip() for caption in captions):
        raise UsageError(
            f"Sample {dataset.keys[index]} has no caption: extract from a list in which every video has one."
        )
    return captions


def _find(argument: str) -> Path:
    path = Path(argument)
    if not argument:
        raise UsageError("Target text needs a vocabulary: write text:PATH, a tokenizer.json or vocab.txt.")
    candidates = [path / name for name in _FILES] if path.is_dir() else [path]
    found = next((one for one in candidates if one.is_file()), None)
    if found is None:
        raise UsageError(
            f"{path} is not a vocabulary: name a tokenizer.json or vocab.txt, or a folder with one."
        )
    return found


def _load(path: Path, *, text: bytes) -> "Tokenizer":
    from tokenizers import BertWordPieceTokenizer, Tokenizer

    try:
        if path.suffix == ".json":
            return Tokenizer.from_str(text.decode())
        words = text.decode().splitlines()
        ids = {word: number for number, word in enumerate(words)}
        tokenizer = BertWordPieceTokenizer(ids, lowercase=True)
        return Tokenizer.from_str(tokenizer.to_str())
    # The library tells of files it does not understand by Exception itself.
    except Exception as error:
        raise UsageError(
            f"{path} is not a vocabulary that vfm can read ({error}): take the tokenizer.json or vocab.txt "
            "that belongs to the weights of the text encoder."
        ) from None


def _pad_id(tokenizer: "Tokenizer") -> int:
    """Return the id of padding; 0 where the vocabulary names none, as ``num_ids`` tells what counts."""
    for name in ("[PAD]", "<pad>"):
        number: int | None = tokenizer.token_to_id(name)
        if number is not None:
            return number
    return 0


def _plain_name(path: Path) -> str:
    """Return the name of the folder, which is what tells one vocabulary file from another."""
    return (
        path.absolute().parent.name.replace(".", "-") if path.name in _FILES else path.stem.replace(".", "-")
    )
