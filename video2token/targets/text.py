"""``text:PATH``: captions as ids of a vocabulary, a Hugging Face ``tokenizer.json`` or a ``vocab.txt``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from vfm.shards.columns.beside import VOCABULARY
from vfm.shards.columns.vocabulary import Vocabulary
from vfm.shards.columns.vocabulary_file import read_vocabulary_file
from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_name
from vfm.shards.format.layout import FRAMES
from vfm.shards.io.atomic import clean_stale, write_bytes
from vfm.shards.io.hashing import sha256
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.wording import counted
from vfm.video2token.target import Arrays, Target, TargetOptions

IDS, NUM_IDS = "ids.npy", "num_ids.npy"
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
    if not argument:
        raise UsageError("Target text needs a vocabulary: write text:PATH, a tokenizer.json or vocab.txt.")
    file = read_vocabulary_file(Path(argument))
    name = check_name(options.name or file.name)
    return TextTarget(file.vocabulary, name=name, vocabulary_sha256=file.sha256)


class TextTarget(Target):
    """The ids of every caption of a sample that is not blank, start and end marks included.

    Fields: ``ids`` [C, L], the smallest unsigned integers that hold the vocabulary, padded to the longest
    caption of the sample; ``num_ids`` uint16 [C], how many of each row count. Captions longer than 512 ids
    are cut, their end mark kept. A sample without a caption has no rows, ``ids`` [0, 0].
    """

    def __init__(self, vocabulary: Vocabulary, *, name: str, vocabulary_sha256: str) -> None:
        self.name = f"text.{name}"
        self.kind = "text"
        self.fields = (IDS, NUM_IDS)
        self._vocabulary = vocabulary
        self.options: dict[str, Any] = {
            "vocabulary": name,
            "vocabulary_sha256": vocabulary_sha256,
            "tokenizer_sha256": sha256(vocabulary.data),
            "vocab_size": vocabulary.size,
            "pad_id": vocabulary.pad_id,
            "mask_id": vocabulary.mask_id,
            "special_ids": vocabulary.special_ids,
            "max_ids": _MAX_IDS,
            "dtype": vocabulary.dtype.name,
        }

    def rows(self, dataset: Dataset, indices: Sequence[int]) -> Iterator[Arrays]:
        """Yield ``ids`` and ``num_ids`` of each sample.

        Raises:
            UsageError: of a caption no id is left, as a vocabulary without marks may leave none.
        """
        for index in indices:
            captions = dataset.meta(index).written_captions
            ids, num_ids = self._vocabulary.encode(captions, max_ids=_MAX_IDS)
            if not num_ids.all():
                caption = captions[int(num_ids.argmin())]
                raise UsageError(
                    f"Of {caption!r}, a caption of {dataset.keys[index]}, this vocabulary leaves no id: "
                    "correct the caption, or take a vocabulary that adds marks such as [CLS]."
                )
            yield {IDS: ids, NUM_IDS: num_ids}

    def check(self, dataset: Dataset) -> None:
        """See that there is a caption.

        Raises:
            UsageError: no sample has one.
        """
        indices = range(len(dataset))
        if indices and not any(dataset.meta(index).written_captions for index in indices):
            raise UsageError(
                f"No sample of {dataset.data} has a caption: extract from a list in which some have one."
            )

    def tools(self) -> dict[str, str]:
        """Return the version of the tokenizers library."""
        return {"tokenizers": str(tokenizers.__version__)}

    def save_beside(self, folder: Path) -> None:
        """Put the vocabulary beside the shards, so that sentences can be encoded wherever they go."""
        path = folder / VOCABULARY
        path.parent.mkdir(parents=True, exist_ok=True)
        clean_stale(path.parent)
        write_bytes(path, self._vocabulary.data)

    def remarks(self, data: Path) -> Iterator[str]:
        """Yield how many samples have no caption and how many captions were cut, as the column has them."""
        dataset = open_dataset(data, columns=(FRAMES, self.name))
        num_bare = num_captions = num_cut = 0
        for index in range(len(dataset)):
            num_ids = dataset.array(index, self.name, NUM_IDS)
            num_bare += not num_ids.size
            num_captions += num_ids.size
            # As many ids as there may be are those of a caption that was cut, or of one that just fits.
            for row in np.flatnonzero(num_ids == _MAX_IDS):
                caption = dataset.meta(index).written_captions[row]
                num_cut += self._vocabulary.num_ids(caption) > _MAX_IDS
        if num_bare:
            yield (
                f"Without a caption: {num_bare} of {counted(len(dataset), 'sample')}, of which {self.name} "
                "holds no ids and which training on text leaves out."
            )
        if num_cut:
            yield f"Cut to {_MAX_IDS} ids: {num_cut} of {counted(num_captions, 'caption')}, which had more."
