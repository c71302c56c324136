"""What a column of codes keeps beside its shards, so that they can be looked at wherever they go."""

from pathlib import Path

from vfm.shards.columns.beside import CONFIG_NAME
from vfm.shards.errors import DamageError
from vfm.shards.io.sealed import read_sealed
from vfm.video2token.tokenizers.codebook.codebook import load_codebook
from vfm.video2token.tokenizers.dalle import tokenizer as dalle
from vfm.video2token.tokenizers.tokenizer import Tokenizer


def load_saved(folder: Path) -> Tokenizer:
    """Return the tokenizer that `Tokenizer.save` wrote into ``folder``.

    Raises:
        UsageError: there is none, or it cannot decode.
        DamageError: a file is not as it was written.
    """
    try:
        value = read_sealed(folder / CONFIG_NAME)
    except (OSError, DamageError):
        return load_codebook(folder)  # which says what is wrong
    if value.get("format") == dalle.FORMAT:
        return dalle.load_saved(folder, value)
    return load_codebook(folder)
