"""The vocabulary that a model reads sentences by: that of its captions, wherever it is kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfm.shards.columns.commands import kind_of
from vfm.shards.columns.vocabulary import Vocabulary, read_vocabulary
from vfm.shards.columns.vocabulary_file import read_vocabulary_file
from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import read_json
from vfm.shards.wording import listed
from vfm.trainer.recipes.columns import TEXT
from vfm.trainer.runs.folder import RUN_NAME
from vfm.trainer.runs.initial_weights import InitialWeights

_TOKENIZER, _FILE = "tokenizer_sha256", "vocabulary_sha256"
_DIGITS = 12  # of a hash, enough to tell it from another


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownVocabulary:
    """A vocabulary, and where it was found.

    Attributes:
        vocabulary: by which sentences become ids.
        path: of its file or of its column.
        is_proven: whether its hash is that of the vocabulary that the weights were trained with; where they
            tell of none, nobody knows.
    """

    vocabulary: Vocabulary
    path: Path
    is_proven: bool


def vocabulary_of(
    start: InitialWeights, *, path: Path, data: Path, given: Path | None = None
) -> KnownVocabulary:
    """Return the vocabulary that weights were trained with.

    It is the one that is given; else that of a column of text, of the dataset to be searched or of those that
    the run learned from.

    Args:
        start: the weights.
        path: of the run, or of the file or folder of weights.
        data: the dataset to be searched.
        given: a file of the vocabulary, or its folder; None looks for it.

    Raises:
        UsageError: it is nowhere, is another, or nobody can say which of several it is.
        DamageError: a column's vocabulary is not as it was written.
    """
    learned = _options_of(start)
    if given is not None:
        return _given(given, learned=learned, path=path)
    found = [
        (folder / name, options)
        for folder in (data, *filter(_is_there, _learned_from(path)))
        for name, options in _text_columns(folder)
        if learned is None or _is_same(options, learned)
    ]
    if not found:
        raise _nowhere(learned, path=path, data=data)
    if learned is None and len(found) > 1:
        columns = listed([str(column) for column, _ in found], limit=4)
        raise UsageError(
            f"{path} does not say which vocabulary it was trained with, and there are {columns}: name its "
            "tokenizer.json or vocab.txt with --vocabulary."
        )
    column, options = found[0]
    return KnownVocabulary(
        vocabulary=read_vocabulary(column, options), path=column, is_proven=learned is not None
    )


def _options_of(start: InitialWeights) -> Mapping[str, Any] | None:
    """Return the options of the text column that weights were trained on; None where they do not tell."""
    options = (column["options"] for name, column in start.columns.items() if kind_of(name) == TEXT)
    return next(options, None)


def _given(given: Path, *, learned: Mapping[str, Any] | None, path: Path) -> KnownVocabulary:
    file = read_vocabulary_file(given)
    own = {_TOKENIZER: sha256(file.vocabulary.data), _FILE: file.sha256}
    if learned is not None and not _is_same(own, learned):
        raise UsageError(
            f"{file.path} has {file.vocabulary.size} words and SHA-256 {file.sha256[:_DIGITS]}, and "
            f"{path} was trained with {_told(learned)}: give --vocabulary that one, or leave it "
            "out to take it from the captions' column."
        )
    return KnownVocabulary(vocabulary=file.vocabulary, path=file.path, is_proven=learned is not None)


def _is_same(options: Mapping[str, Any], learned: Mapping[str, Any]) -> bool:
    """Return whether a vocabulary is that of the weights, as it was used or as its file was."""
    # Versions of the library may write the same vocabulary in other words, so that the file tells as well.
    hashes = (_TOKENIZER, _FILE)
    return any(learned.get(name) is not None and options.get(name) == learned[name] for name in hashes)


def _text_columns(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each column of text that keeps its vocabulary, and its options."""
    for name, column in sorted(read_manifest(folder).columns.items()):
        if column.kind == TEXT and _TOKENIZER in column.options:
            yield name, column.options


def _learned_from(path: Path) -> list[Path]:
    """Return the datasets that a run learned from, as it was told them; none of a file of weights."""
    if not (path / RUN_NAME).is_file():
        return []
    told = read_json(path / RUN_NAME).get("data", ())
    return [Path(folder) for folder in ([told] if isinstance(told, str) else told)]


def _is_there(folder: Path) -> bool:
    """Return whether a dataset is still where it was; a path may be one of another folder than this."""
    try:
        read_manifest(folder)
    except UsageError:
        return False
    return True


def _nowhere(learned: Mapping[str, Any] | None, *, path: Path, data: Path) -> UsageError:
    which = "" if learned is None else f" ({_told(learned)})"
    others = listed([str(folder) for folder in _learned_from(path)], limit=4)
    seen = f" or of {others}, where it learned," if others else ""
    return UsageError(
        f"{path} reads sentences by the vocabulary of its training{which}, which no column of {data}{seen} "
        "keeps: name its tokenizer.json or vocab.txt with --vocabulary."
    )


def _told(learned: Mapping[str, Any]) -> str:
    """Return the words for the vocabulary of weights: ``words, 49 words, SHA-256 a0852bfa91cb``."""
    return f"{learned['vocabulary']}, {learned['vocab_size']} words, SHA-256 {learned[_FILE][:_DIGITS]}"
