"""MaskFeat's networks, masks and loading of weights are those of the reference."""

import json
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from support.mvit import sizes_of, sizes_of_mmlab
from vfm.trainer.methods.maskfeat.backbone import MvitBackbone
from vfm.trainer.methods.maskfeat.mask import cube_mask
from vfm.trainer.methods.maskfeat.pretrain import MaskedMvit, spread_cells

CLOSE = {"atol": 1e-4, "rtol": 1e-4}
pytestmark = pytest.mark.needs("shared")


def fixture(shared, name):
    """Return the configuration of a fixture, and its tensors."""
    found = json.loads((shared / "golden" / f"{name}.json").read_text())["config"]
    return found, load_file(shared / "golden" / f"{name}.safetensors")


def of(tensors, prefix):
    found = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
    assert found
    return found


def num_outputs(sizes):
    """Return the values of HOG of a token: 27 for each of its cells of 8 px."""
    return 27 * ((4 << len(sizes.pools_at)) // 8) ** 2


@pytest.mark.parametrize("name", ["maskfeat_cube_mask_a"])
def test_cubes_are_those_of_the_same_seed(shared, name):
    config, tensors = fixture(shared, name)
    for seed, expected in zip(tensors["input/seeds"].tolist(), tensors["output/masks"], strict=True):
        found = torch.from_numpy(cube_mask(tuple(config["window"]), ratio=config["ratio"], rng=Random(seed)))
        assert torch.equal(found.long(), expected), seed


@pytest.mark.parametrize("name", ["maskfeat_pretrain_a"])
def test_predictions_and_loss_are_those_of_the_reference(shared, name):
    config, tensors = fixture(shared, name)
    sizes = sizes_of(config, strides="pool_q_stride_pt")
    network = MaskedMvit(sizes, num_outputs=num_outputs(sizes))
    weights = {key: t for key, t in of(tensors, "param/").items() if not key.startswith("hogs.")}
    network.load_state_dict(weights, strict=True)

    with torch.no_grad():
        told = network.predict(tensors["input/video"], tensors["input/mask"].bool())

    torch.testing.assert_close(told, tensors["output/pred_masked"], **CLOSE)
    loss = (told - tensors["output/target_masked"]).square().mean()
    torch.testing.assert_close(loss, tensors["output/loss"], **CLOSE)


@pytest.mark.parametrize("name", ["maskfeat_pt_to_ft_a"])
def test_a_pretrained_encoder_becomes_a_finetuned_one_as_in_the_reference(shared, name):
    config, tensors = fixture(shared, name)
    sizes = sizes_of(config, strides="pool_q_stride_ft")
    weights = of(tensors, "param/")
    backbone, head = MvitBackbone(sizes, pooling="mean"), nn.Linear(sizes.dim_out, config["num_classes"])
    fresh = of(weights, "ft.")
    head.load_state_dict(of(fresh, "head.projection."))

    backbone.load_state_dict({key: t for key, t in fresh.items() if not key.startswith("head.")})
    backbone.load_pretrained(of(weights, "pt."))

    with torch.no_grad():
        clips = tensors["input/video"]
        tokens = backbone.encode(backbone.patch_embed(clips))
        logits = head(backbone.norm(tokens[:, 1:].mean(1)))
    torch.testing.assert_close(logits, tensors["output/logits"], **CLOSE)
    for key, table in of(tensors, "output/resized/").items():
        torch.testing.assert_close(backbone.state_dict()[key], table, **CLOSE)


@pytest.mark.parametrize("name", ["maskfeat_mmaction2_finetune_a"])
def test_the_class_token_is_classified_as_in_mmaction2(shared, name):
    config, tensors = fixture(shared, name)
    sizes = sizes_of_mmlab(config, pooled="downscale_ft")
    weights = of(tensors, "param/")
    norm = f"backbone.norm{len(sizes.pools_at)}."
    backbone, head = MvitBackbone(sizes, pooling="class"), nn.Linear(sizes.dim_out, config["num_classes"])
    head.load_state_dict(of(weights, "cls_head.fc_cls."))
    renamed = {
        key.replace(norm, "norm.")
        .removeprefix("backbone.")
        .replace("patch_embed.projection", "patch_embed.proj"): t
        for key, t in weights.items()
        if key.startswith("backbone.")
    }
    backbone.load_state_dict(renamed)

    with torch.no_grad():
        tokens = backbone.norm(backbone.encode(backbone.patch_embed(tensors["input/video"])))

    torch.testing.assert_close(tokens[:, 0], tensors["output/cls_token"], **CLOSE)
    patches = tokens[:, 1:].transpose(1, 2).reshape(tensors["output/patch_tokens"].shape)
    torch.testing.assert_close(patches, tensors["output/patch_tokens"], **CLOSE)
    torch.testing.assert_close(head(tokens[:, 0]), tensors["output/logits"], **CLOSE)


@pytest.mark.parametrize("name", ["maskfeat_mmselfsup_pretrain_a"])
def test_a_step_of_mmselfsup_is_that_of_the_reference(shared, name):
    config, tensors = fixture(shared, name)
    sizes = sizes_of_mmlab(config, pooled="downscale_pt")
    weights = of(tensors, "param/")
    network = MaskedMvit(sizes, num_outputs=num_outputs(sizes))
    names = {
        f"backbone.norm{len(sizes.pools_at)}.": "pred_head.transforms.0.0.",
        "neck.fc.": "pred_head.projections.0.",
    }
    renamed = {}
    for key, tensor in weights.items():
        if not key.startswith("target_generator."):
            own = key.replace("patch_embed.projection", "patch_embed.proj")
            for theirs, ours in names.items():
                own = own.replace(theirs, ours)
            renamed[own.removeprefix("backbone.")] = tensor
    network.load_state_dict(renamed)
    is_hidden = tensors["input/mask"].bool()
    hidden = spread_cells(is_hidden, to=sizes.grid)

    with torch.no_grad():
        told = network.predict(tensors["input/video"], is_hidden)

    torch.testing.assert_close(told, tensors["output/pred"][:, 1:][hidden], **CLOSE)
    loss = (told - tensors["output/target"][hidden]).square().mean()
    torch.testing.assert_close(loss, tensors["output/loss"], **CLOSE)
