"""Weights of a teacher that nobody has trained, for benchmarks that have none to download."""

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

TEACHER = "vit_base_patch16_clip_quickgelu_224"
DIM = 512  # of its projection


def save_random_teacher(name: str, path: Path) -> None:
    """Write random weights of a model of timm that projects as CLIP does, the same for every call."""
    torch.manual_seed(0)
    state = timm.create_model(name, num_classes=DIM).state_dict()
    state["head.bias"] = torch.zeros(DIM)  # CLIP projects without one
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
