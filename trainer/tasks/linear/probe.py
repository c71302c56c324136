"""Heads that learn on a frozen encoder, side by side: two for each learning rate.

One head of a rate learns from all samples; the other from four fifths, so that the last fifth can tell which
rate is the best without a look at the samples that are counted on in the end.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.method import Method
from vfm.trainer.tasks.classify.clips import LABEL, SpreadClips
from vfm.trainer.tasks.linear.parts import IS_LEFT_OUT, Parts, ProbeClip


class Probe(Method):
    """A frozen encoder and its heads; keys `backbone.*`, `heads.K.*` and `partial_heads.K.*` for rate K.

    The encoder computes as in evaluation, whatever mode the probe is in, and never changes. All heads begin
    with the same weights.

    Args:
        parts: what it is made of.
        make_head: makes a head that gives logits [B, classes] of what `see` returns, drawn from a generator.

    Attributes:
        rates: the learning rate of each head.
    """

    def __init__(self, parts: Parts, *, make_head: Callable[[torch.Generator], nn.Module]) -> None:
        super().__init__()

        def heads() -> nn.ModuleList:
            # The encoder is drawn from the seed itself; no head shall begin with the same numbers.
            seed = parts.seed + 1
            return nn.ModuleList(make_head(torch.Generator().manual_seed(seed)) for _ in parts.rates)

        self.prepare: ProbeClip = parts.prepare
        self.rates = parts.rates
        self.backbone = parts.backbone.requires_grad_(False).eval()
        self.heads, self.partial_heads = heads(), heads()

    @abstractmethod
    def see(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return what the heads are given of clips, without a gradient for the encoder."""

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the encoder, which stays as it is in evaluation."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, the sum over heads, and for each rate the accuracy of its head of all samples, 0..1.

        As a sum, it gives each head the gradient that it would have alone. The mean of a partial head is over
        the share of samples that it is expected to see, so that micro-batches and ranks add up.

        Args:
            batch: arrays of `ProbeClip`, stacked.
        """
        seen, labels = self.see(batch), batch[LABEL]
        is_learned = (~batch[IS_LEFT_OUT]).float() / (1 - self.prepare.share)
        whole, partial = _logits(self.heads, seen), _logits(self.partial_heads, seen)
        losses = [_losses(logits, labels).mean() for logits in whole]
        losses += [(_losses(logits, labels) * is_learned).mean() for logits in partial]
        return {"loss": torch.stack(losses).sum(), **self._accuracies(whole, labels, reduce=True)}

    def _accuracies(self, every: list[Tensor], labels: Tensor, *, reduce: bool) -> dict[str, Tensor]:
        rights = [(logits.detach().argmax(1) == labels).float() for logits in every]
        return {
            f"accuracy_lr_{rate:g}": right.mean() if reduce else right
            for rate, right in zip(self.rates, rights, strict=True)
        }

    def view_scores(self, batch: Mapping[str, Tensor], *, partial: bool = False) -> Tensor:
        """Return probabilities [B, rates, classes], the mean of the views' softmax.

        Args:
            batch: arrays of `SpreadClips`, stacked: [B, K, ...].
            partial: whether the heads that have not seen all samples are asked.
        """
        views = {name: array for name, array in batch.items() if name != LABEL}
        num_samples, num_views = next(iter(views.values())).shape[:2]
        seen = self.see({name: array.flatten(0, 1) for name, array in views.items()})
        every = torch.stack(_logits(self.partial_heads if partial else self.heads, seen), dim=1)
        return every.softmax(-1).view(num_samples, num_views, *every.shape[1:]).mean(1)

    @property
    def num_tokens(self) -> int | None:
        """Return the tokens of the clip that is made of a sample."""
        return self.backbone.num_tokens

    def spread(self, *, num_clips: int, num_crops: int) -> SpreadClips:
        """Return what reads the views of a sample for `view_scores`."""
        return SpreadClips(random_clip=self.prepare.clip, num_clips=num_clips, num_crops=num_crops)

    @property
    def held_out_reader(self) -> SpreadClips:
        """Return what reads one clip of a sample, its middle square."""
        return self.spread(num_clips=1, num_crops=1)

    def held_out(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum of the heads' cross entropies, and for each rate whether it named the class, [B]."""
        seen = self.see({name: array.flatten(0, 1) for name, array in batch.items() if name != LABEL})
        whole, labels = _logits(self.heads, seen), batch[LABEL]
        losses = torch.stack([_losses(logits, labels) for logits in whole])
        return {"loss": losses.sum(0), **self._accuracies(whole, labels, reduce=False)}

    def lr_factor(self, name: str) -> float:
        """Return the share of the highest learning rate that the head of this parameter learns at."""
        room, _, rest = name.partition(".")
        if room not in ("heads", "partial_heads"):
            return 1.0
        return self.rates[int(rest.partition(".")[0])] / max(self.rates)

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: biases and norms."""
        return "bias" in name or "norm" in name


def _logits(heads: nn.ModuleList, seen: Tensor) -> list[Tensor]:
    return [head(seen).float() for head in heads]


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")
