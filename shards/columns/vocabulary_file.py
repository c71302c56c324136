"""Files of vocabularies: a Hugging Face ``tokenizer.json``, or a ``vocab.txt``."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import BertWordPieceTokenizer, Tokenizer

from vfm.shards.columns.vocabulary import Vocabulary
from vfm.shards.encoding import decode_utf8
from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256

_FILES = ("tokenizer.json", "vocab.txt")
_RARE_WORD = "\N{EGYPTIAN HIEROGLYPH A001}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VocabularyFile:
    """A vocabulary that came in a file.

    Attributes:
        path: of the file.
        sha256: of its bytes.
        vocabulary: what it holds.
    """

    path: Path
    sha256: str
    vocabulary: Vocabulary

    @property
    def name(self) -> str:
        """Return the name of the folder, which is what tells one vocabulary file from another."""
        path = self.path
        return (path.absolute().parent.name if path.name in _FILES else path.stem).replace(".", "-")


def read_vocabulary_file(path: Path) -> VocabularyFile:
    """Return the vocabulary of a file.

    Args:
        path: a ``tokenizer.json``, a ``vocab.txt`` (WordPiece, lower case, as bert-base-uncased), or a folder
            that holds one of them.

    Raises:
        UsageError: no such file, or not one of the two formats.
    """
    found = _find(path)
    data = found.read_bytes()
    vocabulary = Vocabulary(_load(found, text=decode_utf8(data, name=str(found))))
    return VocabularyFile(path=found, sha256=sha256(data), vocabulary=vocabulary)


def _find(path: Path) -> Path:
    candidates = [path / name for name in _FILES] if path.is_dir() else [path]
    found = next((one for one in candidates if one.is_file()), None)
    if found is None:
        raise UsageError(
            f"{path} is not a vocabulary: name a tokenizer.json or vocab.txt, or a folder with one."
        )
    return found


def _load(path: Path, *, text: str) -> Tokenizer:
    try:
        if not text.strip():
            raise ValueError("it is empty")
        if path.suffix != ".json":
            text = BertWordPieceTokenizer(_numbered(text), lowercase=True).to_str()
        tokenizer = Tokenizer.from_str(text)
        tokenizer.encode(_RARE_WORD)  # fails where there is no id for words that are not known
        return tokenizer
    # The library tells of files it does not understand by Exception itself.
    except Exception as error:
        raise UsageError(
            f"{path} is not a vocabulary that vfm can read ({error}): take the tokenizer.json or vocab.txt "
            "that belongs to the weights of the text encoder."
        ) from None


def _numbered(text: str) -> dict[str, int]:
    """Return the words of a ``vocab.txt`` by the number of their line, from 0."""
    # Only these end a line: a vocabulary may have words that `str.splitlines` would cut.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    ids: dict[str, int] = {}
    for number, word in enumerate(lines):
        if ids.setdefault(word, number) != number:
            raise ValueError(f"line {number + 1} repeats {word!r} of line {ids[word] + 1}")
    return ids
