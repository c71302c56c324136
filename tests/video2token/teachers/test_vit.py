"""Teachers: against numbers of the reference, and one small model of each family."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.video2token.teachers.loading import LoadedTeacher, load_teacher

CLIP = "vit_base_patch16_clip_quickgelu_224"


def reference(
    shared: Path, name: str, tmp_path: Path
) -> tuple[LoadedTeacher, dict[str, Tensor], dict[str, Any]]:
    """Return the teacher of a fixture, its tensors and its configuration."""
    tensors = load_file(shared / "golden" / f"{name}.safetensors")
    config = json.loads((shared / "golden" / f"{name}.json").read_text())["config"]
    params = {
        key.removeprefix("param/"): t.contiguous() for key, t in tensors.items() if key.startswith("param/")
    }
    save_file(params, tmp_path / "weights.safetensors")
    assert config["clip_norm_type"] == "l2"
    loaded = load_teacher(
        CLIP,
        grid=config["t_resolution"] // config["t_patch"],
        num_levels=config["clip_return_layer"],
        level_interval=config.get("clip_return_interval", 1),
        weights=tmp_path / "weights.safetensors",
        patch_size=config["t_patch"],
        embed_dim=config["t_width"],
        depth=config["t_layers"],
        num_heads=config["t_heads"],
    )
    return loaded, tensors


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["umt_clip_teacher_a", "umt_clip_load_resize_a"])
def test_features_and_attention_are_those_of_the_reference(shared: Path, tmp_path: Path, name: str) -> None:
    loaded, tensors = reference(shared, name, tmp_path)
    video = tensors["input/video"]
    with torch.inference_mode():
        found = loaded.teacher(video.transpose(1, 2).flatten(0, 1))
    features = found.features.unflatten(0, (len(video), -1)).flatten(1, 2).permute(2, 0, 1, 3)
    torch.testing.assert_close(features, tensors["output/features"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.attention, tensors["output/attn"], atol=1e-6, rtol=1e-5)
    assert loaded.projects


def test_levels_may_be_some_blocks_apart(tiny_vit: Path) -> None:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        every = load_teacher("test_vit", grid=2, num_levels=6, weights=tiny_vit).teacher(images)
        for interval, blocks in ((1, [3, 4, 5]), (2, [1, 3, 5]), (1.5, [2, 4, 5])):
            loaded = load_teacher("test_vit", grid=2, num_levels=3, level_interval=interval, weights=tiny_vit)
            torch.testing.assert_close(loaded.teacher(images).features, every.features[:, :, blocks])
    with pytest.raises(UsageError, match="has 6 blocks, so it cannot give 4 levels, 2 blocks apart"):
        load_teacher("test_vit", grid=2, num_levels=4, level_interval=2, weights=tiny_vit)
    with pytest.raises(UsageError, match="cannot give 2 levels, 0.5 blocks apart"):
        load_teacher("test_vit", grid=2, num_levels=2, level_interval=0.5, weights=tiny_vit)


FAMILIES = {
    "CLIP": (CLIP, {"num_classes": 20}),
    "CLIP of EVA": ("eva02_base_patch16_clip_224", {"num_classes": 20}),
    "DINOv2 with registers": ("vit_small_patch14_reg4_dinov2", {}),
    "DINOv3": ("vit_small_patch16_dinov3", {}),
    "PE": ("vit_pe_core_tiny_patch16_384", {}),
    "SigLIP": ("vit_base_patch16_siglip_224", {}),
    "one that classifies": ("vit_tiny_patch16_224", {}),
    "one with a norm behind its pooling": ("vit_base_patch16_224.mae", {"global_pool": "avg"}),
}
SMALL = {"embed_dim": 32, "depth": 3, "num_heads": 4}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_features_and_attention_of_its_patches_alone(family: str, tmp_path: Path) -> None:
    name, sizes = FAMILIES[family]
    torch.manual_seed(0)
    model = timm.create_model(name, **SMALL, **sizes).eval()
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    if "clip" in name:
        state["head.bias"] = torch.zeros(20)  # CLIP projects without one
    save_file(state, tmp_path / "weights.safetensors")
    loaded = load_teacher(
        name,
        grid=4,
        num_levels=2,
        weights=tmp_path / "weights.safetensors",
        **SMALL,
        **{key: value for key, value in sizes.items() if key != "num_classes"},
    )
    images = torch.randn(3, 3, loaded.input_px, loaded.input_px)
    with torch.inference_mode():
        found = loaded.teacher(images)
    dim = 20 if "clip" in name else 32
    assert loaded.projects == ("clip" in name)
    assert (found.features.shape, found.attention.shape) == ((3, 16, 2, dim), (3, 16))
    torch.testing.assert_close(found.features.norm(dim=-1), torch.ones(3, 16, 2))
    total = found.attention.sum(1)
    if family == "SigLIP":  # has no class token that could attend to itself
        torch.testing.assert_close(total, torch.ones(3))
    else:
        assert ((total > 0.5) & (total < 1)).all()
