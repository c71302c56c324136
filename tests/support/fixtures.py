"""Fixtures of reference implementations: their sizes, their tensors, and their parameters as a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vfm.trainer import methods
from vfm.trainer.weights.files import WeightsFile
from vfm.trainer.weights.fit import BACKBONE
from vfm.trainer.weights.imported import ImportedWeights

# What the fixtures of VideoMAE and SimVTP call the sizes of a recipe.
_TOKENS = {"model.image_px": "img_size", "model.patch_px": "patch_size", "model.tubelet": "tubelet_size"}
AUTOENCODER_SIZES = _TOKENS | {
    "data.clip_len": "num_frames",
    "model.dim": "encoder_embed_dim",
    "model.depth": "encoder_depth",
    "model.num_heads": "encoder_num_heads",
    "model.decoder_dim": "decoder_embed_dim",
    "model.decoder_depth": "decoder_depth",
    "model.decoder_heads": "decoder_num_heads",
}
FINETUNED_SIZES = _TOKENS | {
    "data.clip_len": "all_frames",
    "model.dim": "embed_dim",
    "model.depth": "depth",
    "model.num_heads": "num_heads",
}
TEXT_SIZES = {"model.text_positions": "max_position", "objective.max_ids": "max_position"}
# What the fixtures of UMT's second stage call them: of its student alone, and of all.
UMT_VL_STUDENT_SIZES = {
    "model.image_px": "img_size",
    "model.patch_px": "patch_size",
    "model.dim": "embed_dim",
    "model.depth": "depth",
    "model.num_heads": "num_heads",
    "data.clip_len": "num_frames",
}
UMT_VL_SIZES = UMT_VL_STUDENT_SIZES | {
    "model.num_levels": "clip_return_layer",
    "model.text_dim": "text_width",
    "model.text_depth": "text_layers",
    "model.text_heads": "text_heads",
    "model.text_positions": "max_pos",
    "model.fusion_layer": "fusion_layer",
    "model.proj_dim": "proj_dim",
    "objective.max_ids": "text_len",
    "objective.temperature": "temp",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """A network of a reference implementation, and what it said.

    Attributes:
        config: its sizes, under the names of the reference.
        tensors: its parameters, what it was given, and what it said.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def settings(self, names: dict[str, str]) -> tuple[str, ...]:
        """Return settings of a recipe with the sizes of the fixture, named by the keys of a recipe."""
        return tuple(f"{ours}={self.config[theirs]}" for ours, theirs in names.items())

    def file(self, *, prefix: str = "param/") -> WeightsFile:
        """Return the parameters, whose names begin with ``prefix``, as they would be read from a file."""
        tensors = {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }
        return WeightsFile(path=Path("file.pth"), tensors=tensors, metadata={})

    def expect(self, name: str, found: Tensor) -> None:
        """Check that a tensor is that of the reference, to 1e-5."""
        torch.testing.assert_close(found, self.tensors[f"output/{name}"], atol=1e-5, rtol=1e-5)


def read_fixture(root: Path, name: str) -> Fixture:
    """Return the fixture of a name in ``root / "golden"``."""
    config = json.loads((root / "golden" / f"{name}.json").read_text())["config"]
    return Fixture(config=config, tensors=load_file(root / "golden" / f"{name}.safetensors"))


def network_of(found: ImportedWeights) -> Any:
    """Return the network of what was imported, with its weights; of a classifier the encoder alone."""
    package: Any = methods.load(found.recipe.method)
    build = {
        None: "build_network",
        "classify": "build_encoder",
        "retrieve": "build_video_text_network",
    }[found.recipe.task]
    network: nn.Module = getattr(package, build)(found.recipe, found.state)
    prefix = "" if found.recipe.task is None else BACKBONE
    network.load_state_dict(
        {name.removeprefix(prefix): t for name, t in found.state.items() if name.startswith(prefix)}
    )
    return network.eval()


def classified(found: ImportedWeights, features: Tensor) -> Tensor:
    """Return what an imported classifier says of features [..., D]: [..., classes]."""
    return nn.functional.linear(features, found.state["cls_fc.weight"], found.state["cls_fc.bias"])


def expect_classified(fixture: Fixture, found: ImportedWeights, *, clips: Tensor) -> None:
    """Check features and logits of an imported classifier that takes normalized clips [B, 3, T, H, W]."""
    with torch.no_grad():
        features = network_of(found)(clips)
        fixture.expect("features", features)
        fixture.expect("logits", classified(found, features))
