"""What a column of ids keeps beside its shards: its codebook, its tables or its vocabulary."""

from dataclasses import dataclass

from vfm.shards.codecs.product import TABLES

CODEBOOK_FOLDER = "codebook"
CONFIG_NAME = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Where a kind of codebook has its weights.

    Attributes:
        weights_name: their file beside ``config.json``.
        hash_key: where their SHA-256 stands in it.
        is_optional: whether a codebook without weights is one, whose codes nobody can look at.
    """

    weights_name: str
    hash_key: str
    is_optional: bool


FORMATS = {
    "vfm-codebook": Format(weights_name="codebook.safetensors", hash_key="weights_sha256", is_optional=False),
    "vfm-dalle": Format(weights_name="decoder.safetensors", hash_key="decoder_sha256", is_optional=True),
}
VOCABULARY = "vocabulary/tokenizer.json"
# Single files, by the option of the column that has their SHA-256: where they lie in the column's folder.
HASHED = {"pq_sha256": TABLES, "tokenizer_sha256": VOCABULARY}
# Every file that a column may keep beside its shards, by file name: where it lies in the column's folder.
BESIDE = {
    name: f"{CODEBOOK_FOLDER}/{name}"
    for name in (CONFIG_NAME, *sorted(known.weights_name for known in FORMATS.values()))
} | {place.rpartition("/")[2]: place for place in HASHED.values()}
