"""BERT (Devlin et al. 2019), whole, or with blocks behind it that look at something else as well.

Names of parameters are those of the published checkpoints. Shapes: B texts, L ids, D channels; a source has N
tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.models.attention import attend

_LAYER_NORM_EPS = 1e-12
_STD = 0.02
_PADDED = -10000.0  # added to the logits of a padded position


@dataclass(frozen=True, slots=True, kw_only=True)
class BertConfig:
    """Sizes of a BERT.

    Attributes:
        vocab_size: words.
        num_positions: the longest text.
        dim: channels.
        depth: layers.
        num_heads: of each layer.
        fusion_layer: the first layer that looks at the source; those before it see the text alone.
        source_dim: channels of the source.
        dropout: share of numbers, and of attention weights, that are dropped in training.
        pad_id: the word that stands for none.
        init_std: deviation of the first weights of linear layers.
    """

    vocab_size: int
    num_positions: int = 512
    dim: int = 768
    depth: int = 12
    num_heads: int = 12
    fusion_layer: int = 9
    source_dim: int = 768
    dropout: float = 0.1
    pad_id: int = 0
    init_std: float = _STD


def padding_bias(is_text: Tensor) -> Tensor:
    """Return what is added to the logits of attention to words, float [B, 1, 1, L], of bool [B, L]."""
    return torch.where(is_text, 0.0, _PADDED)[:, None, None]


class BertEmbeddings(nn.Module):
    """The sum of a word's, a position's and the first sentence's vector, normalized (section 3, figure 2).

    Args:
        vocab_size: words.
        num_positions: the longest text.
        dim: channels.
        pad_id: the word that stands for none; its vector gets no gradient.
        dropout: share of numbers that are dropped in training.
    """

    def __init__(
        self, *, vocab_size: int, num_positions: int, dim: int, pad_id: int = 0, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, dim, padding_idx=pad_id)
        self.position_embeddings = nn.Embedding(num_positions, dim)
        self.token_type_embeddings = nn.Embedding(2, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Return float [B, L, D] of ids, int64 [B, L]."""
        position = torch.arange(ids.shape[1], device=ids.device)
        vectors = self.word_embeddings(ids) + self.position_embeddings(position)
        out: Tensor = self.dropout(self.LayerNorm(vectors + self.token_type_embeddings.weight[0]))
        return out

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the tables as BERT does: normal of deviation 0.02, the vector of padding 0."""
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            nn.init.normal_(table.weight, std=_STD, generator=generator)
            if table.padding_idx is not None:
                nn.init.zeros_(table.weight[table.padding_idx])


class _Projections(nn.Module):
    def __init__(self, dim: int, *, source_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(source_dim, dim)
        self.value = nn.Linear(source_dim, dim)


class _Added(nn.Module):
    """A linear layer whose output is added to what went in before, then normalized."""

    def __init__(self, dim_in: int, dim: int, *, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(dim_in, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        out: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + before)
        return out


class BertAttention(nn.Module):
    """Attention of a text to itself, or to a source.

    Args:
        config: sizes.
        source_dim: channels of what is looked at.
    """

    def __init__(self, config: BertConfig, *, source_dim: int) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.self = _Projections(config.dim, source_dim=source_dim)
        self.output = _Added(config.dim, config.dim, dropout=config.dropout)

    def forward(
        self, x: Tensor, source: Tensor, *, mask: Tensor | None = None, which: Tensor | None = None
    ) -> Tensor:
        """Return float [B, L, D] of texts [B, L, D].

        Args:
            x: texts.
            source: what they look at, float [S, N, C].
            mask: added to the logits, anything that broadcasts to [B, heads, L, N].
            which: int64 [B], the source of each text, so that keys and values of a source that several look
                at are computed once; None is one for each, in their order.
        """
        query = self._heads(self.self.query(x))
        key, value = self._heads(self.self.key(source)), self._heads(self.self.value(source))
        if len(source) == 1:  # nothing to copy where all look at the same
            key, value = (each.expand(len(x), -1, -1, -1) for each in (key, value))
        elif which is not None:
            key, value = key[which], value[which]
        mixed = attend(query, key, value, mask=mask, dropout=self.dropout if self.training else 0.0)
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2), x)
        return out

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)


class _Intermediate(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, hidden)


class BertLayer(nn.Module):
    """Attention, attention to a source where there is one, a perceptron; each normalized behind its sum."""

    def __init__(self, config: BertConfig, *, has_source: bool) -> None:
        super().__init__()
        self.attention = BertAttention(config, source_dim=config.dim)
        if has_source:
            self.crossattention = BertAttention(config, source_dim=config.source_dim)
        self.intermediate = _Intermediate(config.dim, 4 * config.dim)
        self.output = _Added(4 * config.dim, config.dim, dropout=config.dropout)

    def forward(
        self, x: Tensor, mask: Tensor, source: Tensor | None = None, which: Tensor | None = None
    ) -> Tensor:
        """Return float [B, L, D] of texts [B, L, D]; see `BertAttention`."""
        x = self.attention(x, x, mask=mask)
        if source is not None:
            x = self.crossattention(x, source, which=which)
        out: Tensor = self.output(functional.gelu(self.intermediate.dense(x)), x)
        return out


class _Layers(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            BertLayer(config, has_source=number >= config.fusion_layer) for number in range(config.depth)
        )


class Bert(nn.Module):
    """Embeddings and layers: the first see a text alone, the others a source as well.

    Args:
        config: sizes.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(
            vocab_size=config.vocab_size,
            num_positions=config.num_positions,
            dim=config.dim,
            pad_id=config.pad_id,
            dropout=config.dropout,
        )
        self.encoder = _Layers(config)

    def read(self, ids: Tensor, is_text: Tensor) -> Tensor:
        """Return what the first layers make of texts alone, float [B, L, D].

        Args:
            ids: int64 [B, L].
            is_text: bool [B, L], False where padded.
        """
        x: Tensor = self.embeddings(ids)
        mask = padding_bias(is_text)
        for layer in self.encoder.layer[: self.config.fusion_layer]:
            x = layer(x, mask)
        return x

    def fuse(self, x: Tensor, is_text: Tensor, *, source: Tensor, which: Tensor | None = None) -> Tensor:
        """Return what the other layers make of texts and a source, float [B, L, D].

        Args:
            x: of `read`.
            is_text: bool [B, L].
            source: float [S, N, source_dim].
            which: int64 [B], the source of each text; see `BertAttention`.
        """
        mask = padding_bias(is_text)
        for layer in self.encoder.layer[self.config.fusion_layer :]:
            x = layer(x, mask, source, which)
        return x

    def initialize(self, generator: torch.Generator) -> None:
        """Draw every weight as BERT does: from a normal distribution, biases 0, norms 1."""
        self.embeddings.initialize(generator)
        initialize_linear(self, generator, std=self.config.init_std)


def initialize_linear(module: nn.Module, generator: torch.Generator, *, std: float = _STD) -> None:
    """Draw the linear layers of a module as BERT does: normal, unless given of deviation 0.02."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=std, generator=generator)
            nn.init.zeros_(part.bias)


class WordHead(nn.Module):
    """Says of a word's place which word it is, by the vectors of words themselves (section 3.1, task 1).

    Args:
        config: sizes.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = nn.ModuleDict(
            {
                "dense": nn.Linear(config.dim, config.dim),
                "LayerNorm": nn.LayerNorm(config.dim, eps=_LAYER_NORM_EPS),
            }
        )
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """Return logits, float [..., vocab_size].

        Args:
            x: float [..., D], of `Bert`.
            words: float [vocab_size, D], the vectors of words.
        """
        x = self.transform["LayerNorm"](functional.gelu(self.transform["dense"](x)))
        return functional.linear(x, words, self.bias)
