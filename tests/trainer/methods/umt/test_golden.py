"""One step of UMT's first stage, from pixels to the loss, is that of the reference."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vfm.trainer.data.masks import attention_mask
from vfm.trainer.models.distillation import AlignConfig, DistilledLevels, align_loss
from vfm.trainer.models.vit import VitConfig, split_mask, take
from vfm.video2token.teachers.loading import load_teacher

TEACHER = "vit_base_patch16_clip_quickgelu_224"
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(params=["umt_pretrain_step_a"])
def step(shared, request):
    """The configuration of a fixture, and its tensors."""
    tensors = load_file(shared / "golden" / f"{request.param}.safetensors")
    return json.loads((shared / "golden" / f"{request.param}.json").read_text())["config"], tensors


def of(tensors, prefix):
    found = {k.removeprefix(prefix): t.contiguous() for k, t in tensors.items() if k.startswith(prefix)}
    assert found
    return found


def teach(config, tensors, folder):
    """Return features [B, N, K, C] and attention [B · T, N] of the fixture's teacher."""
    save_file(of(tensors, "param/teacher."), folder / "teacher.safetensors")
    loaded = load_teacher(
        TEACHER,
        grid=config["t_resolution"] // config["t_patch"],
        num_levels=config["clip_return_layer"],
        level_interval=config["clip_return_interval"],
        weights=folder / "teacher.safetensors",
        patch_size=config["t_patch"],
        embed_dim=config["t_width"],
        depth=config["t_layers"],
        num_heads=config["t_heads"],
    )
    frames = tensors["input/video"].transpose(1, 2).flatten(0, 1)
    if loaded.input_px != config["img_size"]:
        size = (loaded.input_px, loaded.input_px)
        frames = torch.nn.functional.interpolate(frames, size, mode="bicubic", align_corners=False)
    with torch.inference_mode():
        found = loaded.teacher(frames)
    features = found.features.unflatten(0, (config["batch"], config["num_frames"])).flatten(1, 2)
    return features, found.attention


def student_of(config, tensors):
    vit = VitConfig(
        image_px=config["img_size"],
        patch_px=config["patch_size"],
        num_frames=config["num_frames"],
        tubelet=config["tubelet_size"],
        dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
    )
    align = AlignConfig(
        teacher_dim=config["clip_output_dim"],
        num_levels=config["clip_return_layer"],
        level_interval=config["clip_student_return_interval"],
        norm=config["clip_norm_type"],
    )
    student = DistilledLevels(vit, align).eval()
    student.load_state_dict(of(tensors, "param/student."), strict=True)
    return student


@pytest.mark.needs("shared")
def test_a_step_is_that_of_the_reference(step, tmp_path):
    config, tensors = step
    features, attention = teach(config, tensors, tmp_path)
    torch.testing.assert_close(attention, tensors["output/attn"], **CLOSE)
    # Arrivals at which cells come in the order that the fixture was given: the first at 1, the next at 2.
    rank = tensors["input/importance"].argsort(1) + 1
    arrivals = (attention * rank).numpy()
    masks = attention_mask(attention.numpy(), arrivals, ratio=config["mask_ratio"])
    is_hidden = torch.from_numpy(masks.reshape(config["batch"], -1))
    np.testing.assert_array_equal(is_hidden, tensors["output/mask"])

    visible, _ = split_mask(is_hidden)
    targets = take(features.flatten(2), visible).unflatten(2, features.shape[2:]).permute(2, 0, 1, 3)
    torch.testing.assert_close(targets, tensors["output/targets"], **CLOSE)
    aligned = student_of(config, tensors).align(tensors["input/video"], visible)
    torch.testing.assert_close(aligned, tensors["output/student"], **CLOSE)
    loss = align_loss(aligned, targets, norm="none", distance=config["clip_loss_type"])
    torch.testing.assert_close(config["clip_loss_ratio"] * loss, tensors["output/loss"], **CLOSE)
