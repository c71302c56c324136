"""The vectors of words and positions that BERT learned, for networks that begin with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256_file
from vfm.trainer.models.bert import BertEmbeddings
from vfm.trainer.weights.files import read_weights

_ROOT = "embeddings."
_WORDS, _POSITIONS = "word_embeddings.weight", "position_embeddings.weight"
_OLD_NAMES = MappingProxyType({"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WordVectors:
    """What a file holds of BERT's first layer.

    Attributes:
        path: of the file.
        tensors: by the names of `BertEmbeddings`, float32.
    """

    path: Path
    tensors: Mapping[str, Tensor]

    @property
    def sha256(self) -> str:
        """What tells them from others."""
        return sha256_file(self.path)

    def load(self, layer: BertEmbeddings) -> None:
        """Give them to a layer.

        Raises:
            UsageError: they are of another vocabulary, of other sizes, or not whole.
        """
        own = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
        if missing := sorted(own.keys() - self.tensors.keys()):
            raise UsageError(
                f"{self.path} holds no {_ROOT}{missing[0]} of BERT: name a folder or file of Hugging Face "
                "with the weights of a BERT, such as bert-base-uncased."
            )
        found = {name: tuple(self.tensors[name].shape) for name in own}
        num_words, num_own = found[_WORDS][0], own[_WORDS][0]
        if num_words != num_own:
            raise UsageError(
                f"{self.path} knows {num_words} words and the captions are ids of {num_own}: make their "
                "column with the vocabulary beside these weights, `vfm tokenize DATA --target text:FOLDER`."
            )
        if differing := sorted(name for name in own if found[name] != own[name]):
            name = differing[0]
            key = "model.text_positions" if name == _POSITIONS else "model.dim"
            raise UsageError(
                f"{self.path} has {_ROOT}{name} of {list(found[name])} where the network has "
                f"{list(own[name])}: set {key} as it is there, or leave out --init-text."
            )
        layer.load_state_dict({name: self.tensors[name] for name in own})


def read_words(path: Path) -> WordVectors:
    """Return the first layer of a BERT out of a folder or file of Hugging Face; the other layers are left.

    Raises:
        UsageError: the file cannot be read, or holds no such layer.
    """
    file = read_weights(path)
    found: dict[str, Tensor] = {}
    for name, tensor in file.tensors.items():
        before, root, inner = name.partition(_ROOT)
        if root and before in ("", "bert."):
            found[_OLD_NAMES.get(inner, inner)] = tensor.float()
    if _WORDS not in found:
        raise UsageError(
            f"{file.path} holds no {_ROOT}{_WORDS}: name a folder or file of Hugging Face with the weights "
            "of a BERT, such as bert-base-uncased."
        )
    return WordVectors(path=file.path, tensors=found)
