"""Ids of words to vectors, as BERT does it (Devlin et al. 2019, section 3, figure 2)."""

import torch
from torch import Tensor, nn

_LAYER_NORM_EPS = 1e-12
_STD = 0.02


class BertEmbeddings(nn.Module):
    """The sum of a word's, a position's and the first sentence's vector, normalized.

    Names of parameters are those of the published checkpoints of BERT.

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
