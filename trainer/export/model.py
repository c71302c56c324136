"""An encoder of clips as a module of its own, used as models of timm are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.trainer import methods
from vfm.trainer.data.clips import PixelReader
from vfm.trainer.export.transform import FrameTransform
from vfm.trainer.method import Backbone, load_exactly
from vfm.trainer.recipes.probe import PROBES
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.weights.fit import HEAD, Undrawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where weights come from.

    Attributes:
        path: of the checkpoint or the file; None for weights that no file has.
        columns: what a run of ours was trained on, with the options of each column; empty where unknown.
    """

    path: Path | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


class VideoModel(nn.Module):
    """Clips to features, or to scores of classes; its state has `backbone.*`, and `cls_fc.*` of a classifier.

    Args:
        backbone: the encoder.
        recipe: that it was trained by, which tells the clips that it knows.
        num_classes: rows of its linear layer; 0 is none.
        classes: their names where they are known.
        origin: where the weights come from.

    Attributes:
        num_features: length of a clip's vector.
        num_classes: see above.
        classes: see above.
        recipe: see above.
        origin: see above.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        recipe: Recipe,
        num_classes: int = 0,
        classes: Sequence[str] = (),
        origin: Origin | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.recipe = recipe
        self.num_features = backbone.dim
        self.cls_fc: nn.Module = nn.Identity()
        self.reset_classifier(num_classes)
        self.classes = tuple(classes)
        self.origin = origin or Origin()

    @property
    def transform(self) -> FrameTransform:
        """What makes the frames of a clip into what `forward` takes, as they are seen in a test.

        Raises:
            UsageError: the encoder reads codes, which `vfm tokenize` makes.
        """
        package = methods.load(self.recipe.method)
        if (columns := package.clip_columns(self.recipe.data.columns)) != (FRAMES,):
            raise UsageError(
                f"{self.recipe.name} reads {', '.join(columns)} and no frames: make this column with "
                "`vfm tokenize`, and give the model its codes."
            )
        reader = package.build_clip_reader(self.recipe, None)
        assert isinstance(reader, PixelReader), "frames are read so"
        return FrameTransform(
            num_frames=self.recipe.data.clip_len, reader=reader, normalized=self._normalized
        )

    def _normalized(self, clips: UInt8) -> Tensor:
        return self.backbone.inputs({"clip": torch.from_numpy(clips)})

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return all tokens behind the last block, float [B, M, D], a class token among them.

        Args:
            clips: what `transform` returns, stacked: float [B, 3, T, S, S]; of VIMPAC codes [B, T, H, W].
        """
        return self.backbone.encoded(clips)

    def forward_head(self, tokens: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Return scores [B, classes] of tokens [B, M, D], or one vector a clip [B, D].

        Args:
            tokens: of `forward_features`.
            pre_logits: leave the linear layer out, as there is none without classes.
        """
        pooled = self.backbone.pooled(tokens)
        return pooled if pre_logits else self._scores(pooled)

    def forward(self, clips: Tensor) -> Tensor:
        """Return scores of classes, or without these features, of clips; see `forward_features`."""
        return self.forward_head(self.forward_features(clips))

    def _scores(self, features: Tensor) -> Tensor:
        scores: Tensor = self.cls_fc(features)
        return scores

    def get_classifier(self) -> nn.Module:
        """Return the linear layer; `torch.nn.Identity` where there is none."""
        return self.cls_fc

    def reset_classifier(self, num_classes: int) -> None:
        """Give it a new linear layer, drawn as finetuning draws it from the recipe's seed, or none for 0.

        Raises:
            ValueError: there are less than no classes.
        """
        if num_classes < 0:
            raise ValueError(f"num_classes is {num_classes}, but must be 0 or more.")
        self.num_classes, self.classes = num_classes, ()
        if num_classes == 0:
            self.cls_fc = nn.Identity()
            return
        weight = next(self.backbone.parameters())
        head = nn.Linear(self.num_features, num_classes)
        # As the task of finetuning does, so that both begin with the same numbers.
        self.backbone.draw_head(head, generator=torch.Generator().manual_seed(self.recipe.train.seed + 1))
        self.cls_fc = head.to(weight.device, weight.dtype)

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that finetuning keeps out of weight decay."""
        prefix = "backbone."
        inner = (name.removeprefix(prefix) for name, _ in self.named_parameters() if name.startswith(prefix))
        return {f"{prefix}{name}" for name in inner if self.backbone.no_weight_decay(name)}

    def group_matcher(self, *, coarse: bool = False) -> Callable[[str], int]:
        """Return what gives the number of a parameter's layer, from the input on, as timm's layer decay asks.

        Args:
            coarse: the same; a block is one layer.
        """
        del coarse
        prefix = "backbone."
        names = [name for name, _ in self.named_parameters() if name.startswith(prefix)]
        above = {name: self.backbone.layers_above(name.removeprefix(prefix)) for name in names}
        num_layers = max(above.values())

        def number(name: str) -> int:
            return num_layers - above.get(name, 0)

        return number


def model_of(
    recipe: Recipe,
    state: Mapping[str, Tensor],
    *,
    classes: Sequence[str] = (),
    origin: Origin | None = None,
) -> VideoModel:
    """Return the model of a state, ready to look at clips: in evaluation mode, on the CPU.

    Args:
        recipe: of classification, or else one whose encoder of clips is taken alone.
        state: of a run or a file, under our names.
        classes: names of a classifier's classes.
        origin: where the state comes from.

    Raises:
        UsageError: the state is of another network, or of a probe.
    """
    if recipe.task in PROBES:
        raise UsageError(
            f"{recipe.name} is a probe, many heads on the encoder of a run: take that run in its place."
        )
    with Undrawn():
        backbone = methods.load(recipe.method).build_encoder(recipe, state)
    for module in backbone.modules():
        if isinstance(module, nn.LayerNorm):  # a state of pretraining has none behind the pooling
            module.reset_parameters()
    num_classes = len(state.get(f"{HEAD}weight", ()))
    model = VideoModel(backbone, recipe=recipe, num_classes=num_classes, classes=classes, origin=origin)
    if num_classes:
        load_exactly(model, state)
    else:
        backbone.load_pretrained(state, start=recipe)
    return model.eval()


def model_from(start: InitialWeights) -> VideoModel:
    """Return the model of a run or a file, see `model_of`."""
    origin = Origin(path=start.path, columns=start.columns)
    return model_of(start.recipe, start.weights(), classes=start.classes, origin=origin)
