"""Find videos by captions: two encoders that contrast the pairs of a batch, and what they find in the end."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.trainer.method import Method
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.tasks.classify.mixing import drawn_clips
from vfm.trainer.tasks.retrieve.pairs import HeldOutPair, RandomPair
from vfm.trainer.video_text.captions import IDS, NUM_IDS
from vfm.trainer.video_text.model import VideoTextModel, is_text_of

_VIDEO, _TEXT = "video", "text"
_FOUND_AMONG = (1, 5, 10)


class Retrieve(Method):
    """Two encoders and the contrast of what they say; keys ``backbone.*``.

    Args:
        backbone: the encoders.
        config: temperature, captions, and how clips are changed.
        prepare: reads training pairs.
    """

    def __init__(self, backbone: VideoTextModel, *, config: RetrieveConfig, prepare: RandomPair) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.prepare: RandomPair = prepare

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss` and its parts, and the share of captions that find their video in the batch.

        Args:
            batch: arrays of `RandomPair`, stacked.
        """
        batch = drawn_clips(batch, self.config.augment)
        ids, is_text = captions_of(batch)
        losses, similarity = self.backbone.pair_losses(batch, ids=ids, is_text=is_text, config=self.config)
        is_found = similarity.argmax(1) == torch.arange(len(ids), device=ids.device)
        return {**losses, "batch_accuracy": is_found.float().mean()}

    @property
    def num_tokens(self) -> int | None:
        """Return the tokens of all clips that are made of a sample; words are not counted."""
        num_tokens = self.backbone.num_tokens
        return None if num_tokens is None else num_tokens * self.config.augment.num_draws

    @property
    def held_out_reader(self) -> HeldOutPair:
        """Return what reads the middle clip of a sample and its first caption."""
        return HeldOutPair(pair=self.prepare)

    def held_out(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the vectors of each video and of its caption, [B, D] each."""
        clips = {name: array.flatten(0, 1) for name, array in batch.items() if name == "clip"}
        text = self.backbone.text_vectors(*captions_of(batch))
        return {_VIDEO: self.backbone.video_vectors(clips), _TEXT: text}

    def held_out_figures(self, rows: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the loss over all held-out pairs at once, and how many captions find their video among them.

        Args:
            rows: of `held_out`, of all samples.
        """
        similarity = self.backbone.similarity(rows[_TEXT], rows[_VIDEO])
        own = similarity.diagonal()
        places = (similarity > own[:, None]).sum(1)
        logits = similarity / self.backbone.temperature(self.config)
        losses = [(each.logsumexp(1) - each.diagonal()).mean() for each in (logits, logits.T)]
        found = {f"t2v_r{k}": float((places < k).double().mean()) for k in _FOUND_AMONG}
        return {"loss": float(losses[0] + losses[1]), **found}

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay, as the encoders say."""
        return self.backbone.no_weight_decay(name.removeprefix("backbone."))

    def layers_above(self, name: str) -> int:
        """Return which layer a parameter is in, counted from the output."""
        return self.backbone.layers_above(name.removeprefix("backbone."))


def captions_of(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the ids of a batch's captions, int64 [B, L], L those of the longest, and which are text."""
    num_ids = batch[NUM_IDS]
    longest = int(num_ids.max())  # waits for the device
    return batch[IDS][:, :longest], is_text_of(num_ids, length=longest)
