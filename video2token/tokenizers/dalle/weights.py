"""Weights of the discrete VAE from a file: OpenAI's pickles, without running them, or safetensors."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256
from vfm.video2token.tokenizers.dalle.model import NUM_GROUPS, DalleConfig, DalleDecoder, DalleEncoder

# The classes that the released pickles name. Nothing of them is imported or run.
_NAMED = (
    "dall_e.encoder.Encoder", "dall_e.encoder.EncoderBlock", "dall_e.decoder.Decoder",
    "dall_e.decoder.DecoderBlock", "dall_e.utils.Conv2d", "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.container.Sequential", "torch.nn.modules.linear.Identity",
    "torch.nn.modules.pooling.MaxPool2d", "torch.nn.modules.upsampling.Upsample",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DalleFile:
    """The tensors of an encoder or a decoder.

    Attributes:
        path: where they came from.
        sha256: of the file.
        tensors: by the names of the released weights.
    """

    path: Path
    sha256: str
    tensors: dict[str, Tensor]


def load_encoder(path: Path) -> tuple[DalleEncoder, str]:
    """Return the encoder in a file, float32 and without gradients, and the file's SHA-256.

    Raises:
        UsageError: no such file, no pickle or safetensors of such weights, or a pickle that would run code.
    """
    file = read_weights(path)
    encoder = DalleEncoder(_config(file, first=0))
    _fill(encoder, file, other="decoder")
    return encoder, file.sha256


def load_decoder(path: Path) -> tuple[DalleDecoder, str]:
    """Return the decoder in a file, float32 and without gradients, and the file's SHA-256.

    Raises: as `load_encoder`.
    """
    file = read_weights(path)
    first = len(file.tensors.get("blocks.input.w", ()))
    decoder = DalleDecoder(_config(file, first=first))
    _fill(decoder, file, other="encoder")
    return decoder, file.sha256


def read_weights(path: Path) -> DalleFile:
    """Return the tensors in a file, whichever of the two formats it has.

    Raises: as `load_encoder`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): name the folder that holds encoder.pkl and "
            "decoder.pkl of DALL-E, or the same weights as safetensors."
        ) from None
    is_zip = data.startswith(b"PK")
    try:
        tensors = _unpickled(path) if is_zip or data.startswith(b"\x80") else load(data)
    except UnpicklingError:
        raise UsageError(
            f"{path} is a pickle that asks for more than weights and is not opened: take the file that "
            "OpenAI released, or safetensors."
        ) from None
    # torch tells of damaged files by many kinds of error.
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError, LookupError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{path} holds no weights of DALL-E's tokenizer ({reason}): take the file that OpenAI released, "
            "or safetensors."
        ) from None
    return DalleFile(path=path, sha256=sha256(data), tensors=tensors)


def _unpickled(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a pickled module; its classes become plain boxes for what they held."""
    boxes: list[Any] = [(type("Box", (_Box,), {}), name) for name in _NAMED]
    with torch.serialization.safe_globals([*boxes, set]):
        root = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(root, _Box):
        raise TypeError("it is not a pickled module")
    return dict(_tensors(root, prefix=""))


class _Box:
    """Stands for a module in a pickle: it keeps what it is given and does nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _tensors(box: _Box, *, prefix: str) -> list[tuple[str, Tensor]]:
    found = [(prefix + name, value.data) for name, value in vars(box).get("_parameters", {}).items()]
    for name, inner in vars(box).get("_modules", {}).items():
        found += _tensors(inner, prefix=f"{prefix}{name}.")
    return found


def _config(file: DalleFile, *, first: int) -> DalleConfig:
    """Return the sizes that the shapes of the tensors tell; wrong ones show when the module is filled."""
    tensors = file.tensors
    blocks = {name.split(".")[2] for name in tensors if name.startswith("blocks.group_1.block_")}
    try:
        if first:
            vocab_size = tensors["blocks.input.w"].shape[1]
            hidden = tensors[f"blocks.group_{NUM_GROUPS}.block_1.res_path.conv_4.w"].shape[0]
        else:
            vocab_size = tensors["blocks.output.conv.w"].shape[0]
            hidden = tensors["blocks.input.w"].shape[0]
    except (KeyError, IndexError):
        raise UsageError(f"{file.path} holds no weights of DALL-E's tokenizer.") from None
    return DalleConfig(hidden=hidden, num_blocks=len(blocks), vocab_size=vocab_size, first=first or 128)


def _fill(module: nn.Module, file: DalleFile, *, other: str) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in file.tensors.items()}
    if wanted != found:
        differing = sorted(
            name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
        )
        raise UsageError(
            f"{file.path} does not fit ({len(differing)} tensors, the first {differing[0]}): it is another "
            f"network, or the {other}."
        )
    module.load_state_dict({name: tensor.float() for name, tensor in file.tensors.items()})
    module.requires_grad_(False).eval()
