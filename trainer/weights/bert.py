"""The weights of a BERT, for networks that begin with it or with a part of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256_file
from vfm.shards.wording import counted
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import flatten
from vfm.trainer.weights.files import State, read_weights

_EMBEDDINGS, _ENCODER, _WORD_HEAD = "embeddings.", "encoder.", "cls.predictions."
_WORDS, _POSITIONS = f"{_EMBEDDINGS}word_embeddings.weight", f"{_EMBEDDINGS}position_embeddings.weight"
_NUM_HEADS = "num_attention_heads"
# Numbers of positions, and second names of what guesses words.
_NOT_LEARNED = (f"{_EMBEDDINGS}position_ids", f"{_WORD_HEAD}decoder.")
_NO_BERTS = ".crossattention."  # which looks at something else than the text
_OLD_NAMES = {"gamma": "weight", "beta": "bias"}
_WANTED = "name a folder or file of Hugging Face with the weights of a BERT, such as bert-base-uncased"


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedBert:
    """What a file holds of a BERT.

    Attributes:
        path: of the file.
        tensors: by the names of Hugging Face without ``bert.`` before them, float32.
        num_heads: of each layer; None where it is not said.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    num_heads: int | None = None

    @property
    def sha256(self) -> str:
        """What tells it from others."""
        return sha256_file(self.path)

    def load(self, parts: Mapping[str, nn.Module], *, recipe: Recipe) -> tuple[str, ...]:
        """Give modules their weights; attention to something else than the text stays as it is.

        Args:
            parts: by how the names of their tensors begin in a BERT.
            recipe: whose modules they are, for what is said of them.

        Returns:
            Beginnings of parts that the file has nothing of, which stay as they are too: of what guesses
            words alone, which not every BERT has.

        Raises:
            UsageError: it is of another vocabulary, of other sizes, or not whole.
        """
        found = {start: part for start, part in parts.items() if start != _WORD_HEAD or self._has(start)}
        own = {
            f"{start}{name}": tuple(tensor.shape)
            for start, part in found.items()
            for name, tensor in part.state_dict().items()
            if _NO_BERTS not in f".{name}"
        }
        self._check_layers(own, recipe)
        self._check_names(own, starts=tuple(found), recipe=recipe)
        self._check_shapes(own, recipe)
        for start, part in found.items():
            state = part.state_dict()
            part.load_state_dict({name: self.tensors.get(f"{start}{name}", state[name]) for name in state})
        return tuple(start for start in parts if start not in found)

    def _has(self, start: str) -> bool:
        return any(name.startswith(start) and not name.startswith(_NOT_LEARNED) for name in self.tensors)

    def _check_layers(self, own: Mapping[str, object], recipe: Recipe) -> None:
        """Refuse a BERT of more or fewer layers, or of other heads, where layers are taken."""
        num_found, num_own = _num_layers(self.tensors), _num_layers(own)
        if not num_own or not num_found:  # a file without any lacks names
            return
        if num_found != num_own:
            raise UsageError(
                f"{self.path} is a BERT of {counted(num_found, 'layer')}, and {recipe.name} has one of "
                f"{num_own}: name one of as many, or set model.text_depth as it is there."
            )
        num_heads = recipe.model.text_heads
        if self.num_heads not in (None, num_heads):
            raise UsageError(
                f"{self.path} is a BERT of {counted(self.num_heads or 0, 'head')} a layer, and {recipe.name} "
                f"has one of {num_heads}: set model.text_heads as it is there."
            )

    def _check_names(self, own: Mapping[str, object], *, starts: tuple[str, ...], recipe: Recipe) -> None:
        if missing := [name for name in own if name not in self.tensors]:
            raise UsageError(f"{self.path} holds no {missing[0]} of BERT: {_WANTED}.")
        given = [name for name in self.tensors if name.startswith(starts)]
        if unused := [name for name in given if name not in own and not name.startswith(_NOT_LEARNED)]:
            raise UsageError(
                f"{self.path} holds {unused[0]}, which the BERT of {recipe.name} does not have: {_WANTED}."
            )

    def _check_shapes(self, own: Mapping[str, tuple[int, ...]], recipe: Recipe) -> None:
        found = {name: tuple(self.tensors[name].shape) for name in own}
        if _WORDS in own and found[_WORDS][:1] != own[_WORDS][:1]:
            raise UsageError(
                f"{self.path} knows {found[_WORDS][0]} words and the captions are ids of {own[_WORDS][0]}: "
                "make their column with the vocabulary beside these weights, `vfm tokenize DATA --target "
                "text:FOLDER`."
            )
        if differing := [name for name in own if found[name] != own[name]]:
            name = differing[0]
            raise UsageError(
                f"{self.path} has {name} of {list(found[name])} where the network has {list(own[name])}: "
                f"{_advice(name, recipe)} or leave out --init-text."
            )


def _advice(name: str, recipe: Recipe) -> str:
    """Return what to do about a tensor of another shape, to be followed by another way."""
    if not name.startswith(_EMBEDDINGS):
        return "name another BERT,"
    dim = "model.text_dim" if "model.text_dim" in flatten(recipe) else "model.dim"
    return f"set {'model.text_positions' if name == _POSITIONS else dim} as it is there,"


def _num_layers(names: Mapping[str, object]) -> int:
    return len({name.split(".")[2] for name in names if name.startswith(f"{_ENCODER}layer.")})


def read_bert(path: Path) -> PretrainedBert:
    """Return the BERT of a folder or file of Hugging Face, what it guesses words by among it.

    Raises:
        UsageError: the file cannot be read, or holds no words.
    """
    file = read_weights(path)
    found: State = {}
    for theirs, tensor in file.tensors.items():
        name = theirs.removeprefix("bert.")
        if name.startswith((_EMBEDDINGS, _ENCODER, _WORD_HEAD)):
            name = re.sub(r"(?<=\.LayerNorm\.)(gamma|beta)$", lambda old: _OLD_NAMES[old[0]], name)
            found[name] = tensor.float()
    if _WORDS not in found:
        raise UsageError(f"{file.path} holds no {_WORDS}: {_WANTED}.")
    num_heads = file.options.get(_NUM_HEADS)
    return PretrainedBert(
        path=file.path, tensors=found, num_heads=num_heads if isinstance(num_heads, int) else None
    )
