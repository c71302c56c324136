"""SimVTP's network: VideoMAE's encoder and decoder, and words that go through the same encoder.

Ma et al. 2022, arXiv 2212.03490, section 3; names and rules of the released code. Shapes: B pairs, N visible
tokens of a clip, L ids of a caption, D channels.
"""

import torch
from torch import Tensor, nn

from vfm.trainer.methods.simvtp.recipe import ModelConfig, TextMean
from vfm.trainer.models.bert import BertEmbeddings, padding_bias
from vfm.trainer.models.mae import MaskedAutoencoder
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import vit_config


def text_embeddings(model: ModelConfig, *, vocab_size: int, pad_id: int) -> BertEmbeddings:
    """Return the layer that makes ids into vectors as wide as the tokens of a clip."""
    return BertEmbeddings(
        vocab_size=vocab_size,
        num_positions=model.text_positions,
        dim=model.dim,
        pad_id=pad_id,
        dropout=model.text_dropout,
    )


def text_mean(encoded: Tensor, is_text: Tensor, *, mean: TextMean) -> Tensor:
    """Return the mean over positions [B, L, D], float [B, D]; see `ModelConfig`."""
    if mean == "all":
        return encoded.mean(1)
    counted = is_text[..., None].to(encoded.dtype)
    return (encoded * counted).sum(1) / counted.sum(1)


class SimvtpNetwork(MaskedAutoencoder):
    """One encoder for tubelets, for words, and for both, with a decoder of pixels and heads for words.

    Args:
        recipe: of pretraining.
        vocab_size: words.
        pad_id: stands behind captions that are shorter than others.
    """

    def __init__(self, recipe: Recipe, *, vocab_size: int, pad_id: int = 0) -> None:
        model: ModelConfig = recipe.model
        super().__init__(
            vit_config(recipe, tubelet=model.tubelet),
            decoder_dim=model.decoder_dim,
            decoder_depth=model.decoder_depth,
            decoder_heads=model.decoder_heads,
        )
        self.text_mean = model.text_mean
        self.text_embeddings = text_embeddings(model, vocab_size=vocab_size, pad_id=pad_id)
        self.text_cls = nn.Linear(model.dim, vocab_size)
        self.vtm_head = nn.Linear(model.dim, 2)

    def video_features(self, video: Tensor) -> Tensor:
        """Return one vector of a clip alone, float [B, D], of embedded tubelets [B, N, D]."""
        return self.encoder.transform(video).mean(1)

    def text_features(self, words: Tensor, is_text: Tensor) -> Tensor:
        """Return one vector of a caption alone, float [B, D].

        Args:
            words: float [B, L, D], embedded.
            is_text: bool [B, L], False where padded.
        """
        encoded = self.encoder.transform(words, padding_bias(is_text))
        return text_mean(encoded, is_text, mean=self.text_mean)

    def joint(self, video: Tensor, words: Tensor, is_text: Tensor) -> Tensor:
        """Return what is said of tubelets and words that see each other, float [B, N + L, D]."""
        return self.encoder.transform(torch.cat([video, words], dim=1), padding_bias(_with(video, is_text)))

    def match_logits(self, joint: Tensor, is_text: Tensor) -> Tensor:
        """Return whether clip and caption belong together, float [B, 2], the second number for yes.

        Args:
            joint: float [B, N + L, D], of `joint`.
            is_text: bool [B, L].
        """
        is_counted = _with(joint[:, : joint.shape[1] - is_text.shape[1]], is_text)
        logits: Tensor = self.vtm_head(text_mean(joint, is_counted, mean=self.text_mean))
        return logits

    def initialize(self, generator: torch.Generator) -> None:
        """Draw every weight as the released code does: VideoMAE's rules, the vectors of words as BERT's."""
        super().initialize(generator)
        self.text_embeddings.initialize(generator)


def _with(video: Tensor, is_text: Tensor) -> Tensor:
    """Return which positions count, bool [B, N + L]: every tubelet, and words."""
    return torch.cat([is_text.new_ones(video.shape[:2]), is_text], dim=1)
