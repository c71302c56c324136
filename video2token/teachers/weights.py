"""Weights of a vision transformer: timm's by name, or a file of timm, OpenAI's CLIP or open_clip.

Nothing that a file holds is run: pickles are opened for their tensors alone, and OpenAI's own files, which
are programs (TorchScript), are read like a zip of arrays.
"""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.video2token.teachers.torchscript import is_torchscript, read_torchscript

State = dict[str, Tensor]

_CONTAINERS = ("state_dict", "model", "module")
# From parts of OpenAI's names to timm's, replaced in this order.
_RENAMED = (
    ("conv1.", "patch_embed.proj."),
    ("transformer.resblocks.", "blocks."),
    ("ln_pre.", "norm_pre."),
    ("ln_post.", "norm."),
    ("ln_1.", "norm1."),
    ("ln_2.", "norm2."),
    ("attn.in_proj_", "attn.qkv."),
    ("attn.out_proj.", "attn.proj."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
)


def read_weights(path: Path) -> State:
    """Return the tensors in a file under timm's names, float32.

    Raises:
        UsageError: there is no such file, it holds no ViT's weights, or it is a pickle of more than tensors.
    """
    tensors = _unwrapped(_read(path))
    if any(name.endswith("class_embedding") for name in tensors):  # which CLIP's ResNets have not
        tensors = _from_clip(tensors)
    if "patch_embed.proj.weight" not in tensors:
        raise UsageError(
            f"{path} holds no vision transformer: give weights of timm, of OpenAI's CLIP or of open_clip."
        )
    return {name: tensor.float() for name, tensor in tensors.items()}


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            begin = file.read(2)
        if is_torchscript(path):
            return read_torchscript(path)
        if begin == b"PK" or begin.startswith(b"\x80"):
            return torch.load(path, map_location="cpu", weights_only=True)
        return load_file(path)
    except UnpicklingError:
        raise UsageError(
            f"{path} is a pickle that asks for more than weights and is not opened: take safetensors."
        ) from None
    # torch tells of damaged files by many kinds of error.
    except (SafetensorError, BadZipFile, RuntimeError, ValueError, EOFError, LookupError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise UsageError(
            f"{path} holds no weights ({reason}): fetch it again, or take safetensors."
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a file of weights.") from None


def _unwrapped(value: Any) -> State:
    """Return the tensors of a state dict, out of the containers that training scripts put around it."""
    while isinstance(value, dict) and (inner := next((n for n in _CONTAINERS if n in value), None)):
        value = value[inner]
    tensors = value if isinstance(value, dict) else {}
    return {
        str(name).removeprefix("module."): tensor
        for name, tensor in tensors.items()
        if isinstance(tensor, Tensor)
    }


def _from_clip(tensors: State) -> State:
    """Return CLIP's image tower under timm's names; ``visual.`` may stand before OpenAI's."""
    prefix = "visual." if "visual.conv1.weight" in tensors else ""
    state = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            state[_timm_name(name.removeprefix(prefix))] = tensor
    state["cls_token"] = state["cls_token"].reshape(1, 1, -1)
    state["pos_embed"] = state["pos_embed"].unsqueeze(0)
    if (patches := state["patch_embed.proj.weight"]).ndim == 5:  # of a video, with one frame to a patch
        state["patch_embed.proj.weight"] = patches.squeeze(2)
    if "head.weight" in state:
        state["head.weight"] = state["head.weight"].T
        state["head.bias"] = torch.zeros(len(state["head.weight"]))
    kept = ("blocks.", "patch_embed.", "norm", "head.", "cls_token", "pos_embed")
    return {name: tensor for name, tensor in state.items() if name.startswith(kept)}


def _timm_name(name: str) -> str:
    whole = {"proj": "head.weight", "class_embedding": "cls_token", "positional_embedding": "pos_embed"}
    for old, new in _RENAMED:
        name = name.replace(old, new)
    return whole.get(name, name)
