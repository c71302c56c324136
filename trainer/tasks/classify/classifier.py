"""Name the class of a sample: an encoder, one linear layer, and several clips of it when it counts."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.data.normalize import to_unit_range
from vfm.trainer.method import Backbone, Method, load_exactly
from vfm.trainer.recipes.classify import ClassifyConfig
from vfm.trainer.tasks.classify.clips import CLIP, LABEL, RandomClip, SpreadClips
from vfm.trainer.tasks.classify.mixing import draw_mix, drawn_clips, mixed_clips, mixed_labels


class Classify(Method):
    """Encoder, dropout, and a linear layer that starts as the encoder says; keys `backbone.*` and `cls_fc.*`.

    Args:
        backbone: the encoder.
        num_classes: classes to tell apart.
        config: dropout, label smoothing, and how clips are changed and mixed.
        prepare: reads training clips.
        seed: of the linear layer's first weights.
    """

    def __init__(
        self, backbone: Backbone, *, num_classes: int, config: ClassifyConfig, prepare: RandomClip, seed: int
    ) -> None:
        super().__init__()
        self.prepare: RandomClip = prepare
        self.config = config
        self.backbone = backbone
        self.dropout = nn.Dropout(config.last_dropout)
        self.cls_fc = nn.Linear(backbone.dim, num_classes)
        # The encoder is drawn from the seed itself; the head shall not begin with the same numbers.
        backbone.draw_head(self.cls_fc, generator=torch.Generator().manual_seed(seed + 1))

    def load_head(self, state: Mapping[str, Tensor]) -> None:
        """Take the linear layer of a classifier of the same classes.

        Args:
            state: of a run or a file of this task.

        Raises:
            UsageError: it is of another shape.
        """
        prefix = "cls_fc."
        found = {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
        load_exactly(self.cls_fc, found, prefix=prefix)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, the mean cross entropy over clips, and `accuracy` in 0..1, unless clips are mixed.

        Args:
            batch: arrays of `RandomClip`, stacked.
        """
        config = self.config
        batch = drawn_clips(batch, config.augment)
        if config.mixup or config.cutmix:
            return {"loss": self._mixed_loss(batch)}
        logits = self.logits(batch)
        loss = functional.cross_entropy(logits, batch[LABEL], label_smoothing=config.label_smoothing)
        is_right = logits.detach().argmax(1) == batch[LABEL]
        return {"loss": loss, "accuracy": is_right.float().mean()}

    def _mixed_loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        config, clips = self.config, to_unit_range(batch[CLIP])
        rng = np.random.default_rng(int(torch.randint(2**62, ())))  # follows the seed of the update
        mix = draw_mix(mixup=config.mixup, cutmix=config.cutmix, size_px=clips.shape[2], rng=rng)
        logits = self.logits({**batch, CLIP: mixed_clips(clips, mix)})
        wanted = mixed_labels(batch[LABEL], mix, num_classes=logits.shape[1])
        return functional.cross_entropy(logits, wanted, label_smoothing=config.label_smoothing)

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float32 [B, classes], one row per clip."""
        scores: Tensor = self.cls_fc(self.dropout(self.backbone.features(batch)))
        return scores.float()

    def view_logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float32 [B, K, classes].

        Args:
            batch: arrays of `SpreadClips`, stacked: [B, K, ...].
        """
        views = {name: array for name, array in batch.items() if name != LABEL}
        num_samples, num_views = next(iter(views.values())).shape[:2]
        flat = self.logits({name: array.flatten(0, 1) for name, array in views.items()})
        return flat.view(num_samples, num_views, -1)

    def spread(self, *, num_clips: int, num_crops: int) -> SpreadClips:
        """Return what reads the views of a sample for `view_logits`."""
        return SpreadClips(random_clip=self.prepare, num_clips=num_clips, num_crops=num_crops)

    @property
    def num_tokens(self) -> int | None:
        """Return the tokens of all clips that are made of a sample."""
        num_tokens = self.backbone.num_tokens
        return None if num_tokens is None else num_tokens * self.config.augment.num_draws

    @property
    def held_out_reader(self) -> SpreadClips:
        """Return what reads one clip of a sample, its middle square."""
        return self.spread(num_clips=1, num_crops=1)

    def held_out(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the cross entropy, without label smoothing, and whether the class was named, [B] each."""
        logits = self.view_logits(batch)
        is_right = merge_views(logits).argmax(1) == batch[LABEL]
        return {"loss": view_loss(logits, batch[LABEL]), "accuracy": is_right.float()}

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: biases, and what the encoder names."""
        return "bias" in name or self.backbone.no_weight_decay(name)

    def layers_above(self, name: str) -> int:
        """Return which layer a parameter is in, counted from the output; the linear layer is in none."""
        room, _, rest = name.partition(".")
        return self.backbone.layers_above(rest) if room == "backbone" else 0


def merge_views(logits: Tensor) -> Tensor:
    """Return probabilities [B, classes] from logits [B, K, classes]: the mean of the views' softmax."""
    return logits.float().softmax(-1).mean(1)


def view_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy [B] of each sample, the mean over its views.

    Args:
        logits: [B, K, classes].
        labels: int64 [B].
    """
    every = functional.cross_entropy(
        logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]), reduction="none"
    )
    return every.view(logits.shape[:2]).mean(1)
