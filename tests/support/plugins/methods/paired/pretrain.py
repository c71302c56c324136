"""The network of the method ``paired``, and what it reads."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vfm.shards.clips import clip_times, random_start
from vfm.shards.format.layout import FRAMES
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.normalize import to_float
from vfm.trainer.data.paired_clips import PairedReader, StoredTarget, paired_reader
from vfm.trainer.method import Backbone, Method
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe

CELLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedClip:
    """Reads a clip from a random start, and what the column has stored of it."""

    reader: PairedReader
    clip_len: int
    stride: int

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        num_frames = int(dataset.num_frames[index])
        start = random_start(num_frames, clip_len=self.clip_len, stride=self.stride, rng=rng)
        times = clip_times(start, num_frames=num_frames, clip_len=self.clip_len, stride=self.stride)
        return self.reader(dataset, index, times)


class Encoder(Backbone):
    """Mean colours of a clip, through one layer."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.dim = recipe.model.dim
        self.layer = nn.Linear(3 * CELLS * CELLS, self.dim)
        generator = torch.Generator().manual_seed(recipe.train.seed)
        nn.init.normal_(self.layer.weight, std=0.1, generator=generator)
        nn.init.zeros_(self.layer.bias)

    def inputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        return to_float(batch["clip"])

    def example_inputs(self, num_clips: int) -> Tensor:
        return torch.ones(num_clips, 3, 2, 8, 8)

    def encoded(self, inputs: Tensor) -> Tensor:
        colours = nn.functional.adaptive_avg_pool2d(inputs.mean(2), CELLS)
        return torch.tanh(self.layer(colours.flatten(1)))[:, None]

    def pooled(self, encoded: Tensor) -> Tensor:
        return encoded[:, 0]

    def load_pretrained(self, state: Mapping[str, Tensor], *, start: Recipe | None = None) -> None:
        self.load_state_dict(
            {name[9:]: value for name, value in state.items() if name.startswith("backbone.")}
        )

    def draw_head(self, head: nn.Linear, *, generator: torch.Generator) -> None:
        nn.init.normal_(head.weight, std=0.1, generator=generator)
        nn.init.zeros_(head.bias)

    def no_weight_decay(self, name: str) -> bool:
        return name.endswith("bias")

    def layers_above(self, name: str) -> int:
        return 1


class Network(nn.Module):
    """The encoder, and what tells colours."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.backbone = Encoder(recipe)
        self.head = nn.Linear(recipe.model.dim, 3 * recipe.data.clip_len)


class Paired(Network, Method):
    """Tells the mean colour of each stored frame from the clip."""

    def __init__(self, recipe: Recipe, dataset: Dataset) -> None:
        super().__init__(recipe)
        column_of_kind(recipe, FRAMES)
        target = StoredTarget(column_of_kind(recipe, "seen"), "pixels")
        self.prepare = PairedClip(
            reader=paired_reader(dataset, {"pixels": target}),
            clip_len=recipe.data.clip_len,
            stride=recipe.data.known_stride,
        )
        self.backbone.draw_head(self.head, generator=torch.Generator().manual_seed(recipe.train.seed + 1))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        colours = batch["pixels"].float().mean((2, 3)).flatten(1) / 255
        difference = self.head(self.backbone.features(batch)) - colours
        return {"loss": difference.square().mean()}

    def no_weight_decay(self, name: str) -> bool:
        return name.endswith("bias")
