"""A codebook: frames to codes and back, one code for 8x8 pixels; saved as safetensors and JSON."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from vfm.shards.atomic import sha256, write_bytes
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.seal import read_sealed, write_sealed
from vfm.video2token.autoencoder import STRIDE, Autoencoder, to_frames, to_pixels

WEIGHTS_NAME = "codebook.safetensors"
CONFIG_NAME = "config.json"
FORMAT = "vfm-codebook"
FORMAT_VERSION = 1
MAX_VOCAB_SIZE = 1 << 16  # codes are stored in two bytes at most
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")

# How many frames the network is given at once, always: with another number a convolution may add up in
# another order, and a code that lay near two vectors may fall to the other.
_BLOCK_FRAMES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookConfig:
    """What a codebook is made of.

    Attributes:
        name: letters, digits, - and _; its codes become the column ``vq.NAME``.
        vocab_size: how many codes there are, 2 to 65,536.
        code_dim: numbers in the vector of a code.
        fine_channels: of the network at stride 4.
        coarse_channels: of the network at stride 8.
    """

    name: str
    vocab_size: int = 1024
    code_dim: int = 16
    fine_channels: int = 32
    coarse_channels: int = 128

    def __post_init__(self) -> None:
        """Refuse what cannot name a column or be stored."""
        check_name(self.name)
        if not 2 <= self.vocab_size <= MAX_VOCAB_SIZE:
            raise UsageError(f"A codebook cannot have {self.vocab_size} codes: use 2 to {MAX_VOCAB_SIZE}.")


def check_name(name: str) -> str:
    """Return the name of a codebook, or raise a UsageError when no column can be called so."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"A codebook cannot be called {name!r}: use letters, digits, - and _ (--name).")
    return name


class Codebook(nn.Module):
    """Turns frames into codes and codes into frames (VQ-VAE, van den Oord et al. 2017).

    The code of a place is the number of the vector in ``table`` that lies nearest to what the encoder says
    there. On a CPU the codes of a frame do not depend on the frames beside it.

    Attributes:
        config: what it is made of.
        facts: what is known about how it was made; JSON values.
        weights_sha256: of the file it was loaded from or saved to, None before.
        table: float32 [V, D], the vectors.
    """

    table: Tensor

    def __init__(self, config: CodebookConfig, *, facts: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.config = config
        self.facts = facts or {}
        self.weights_sha256: str | None = None
        self.network = Autoencoder(
            fine_channels=config.fine_channels,
            coarse_channels=config.coarse_channels,
            code_dim=config.code_dim,
        )
        self.register_buffer("table", torch.zeros(config.vocab_size, config.code_dim))

    @property
    def name(self) -> str:
        """Its codes become the column ``vq.NAME``."""
        return self.config.name

    @property
    def stride(self) -> int:
        """Pixels from one code to the next."""
        return STRIDE

    @property
    def vocab_size(self) -> int:
        """How many codes there are."""
        return self.config.vocab_size

    @torch.inference_mode()
    def encode(self, frames: Tensor) -> Tensor:
        """Return the codes of frames.

        Args:
            frames: uint8 [N, H, W, 3], RGB; H and W are multiples of 8.

        Returns:
            int64 [N, H/8, W/8], 0 to ``vocab_size - 1``, on the codebook's device.

        Raises:
            UsageError: a side is no multiple of 8.
        """
        height_px, width_px = frames.shape[1:3]
        check_side(height_px)
        check_side(width_px)
        blocks = [self._encode_block(block) for block in torch.split(frames, _BLOCK_FRAMES)]
        return torch.cat(blocks)

    def _encode_block(self, block: Tensor) -> Tensor:
        num_missing = _BLOCK_FRAMES - len(block)
        filled = nn.functional.pad(block, (0, 0, 0, 0, 0, 0, 0, num_missing))
        vectors = self.network.encode(to_pixels(filled.to(self.table.device)))
        rows = vectors.permute(0, 2, 3, 1)
        codes = nearest(rows.reshape(-1, rows.shape[3]), self.table)
        return codes.view(rows.shape[:3])[: len(block)]

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Return uint8 frames [N, 8h, 8w, 3] of codes, int64 [N, h, w]."""
        blocks = [self._decode_block(block) for block in torch.split(codes, _BLOCK_FRAMES)]
        return torch.cat(blocks)

    def _decode_block(self, block: Tensor) -> Tensor:
        vectors = self.table[block.to(self.table.device)].permute(0, 3, 1, 2)
        return to_frames(self.network.decode(vectors))


def nearest(rows: Tensor, table: Tensor) -> Tensor:
    """Return for each row [N, D] the number of the nearest of the vectors [V, D], int64 [N]."""
    # |row - vector|^2 without |row|^2, which is the same for all vectors.
    distances = torch.addmm(table.square().sum(1), rows, table.T, alpha=-2)
    if distances.device.type == "cpu":  # NumPy finds the least of a row 15 times as fast as torch does
        return torch.from_numpy(distances.numpy().argmin(1))
    return distances.argmin(1)


def check_side(side_px: int) -> None:
    """Raise a UsageError when a frame of this side cannot be cut into whole codes."""
    if side_px < STRIDE or side_px % STRIDE:
        lower = max(side_px // STRIDE, 1) * STRIDE
        raise UsageError(
            f"A frame side of {side_px} px cannot be cut into codes of {STRIDE} px: "
            f"use {lower} or another multiple of {STRIDE}."
        )


def save_codebook(codebook: Codebook, folder: Path) -> None:
    """Write weights, then config.json, whose presence means that the codebook is complete."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in codebook.state_dict().items()}
    assert all(tensor.isfinite().all() for tensor in weights.values()), "weights are finite"
    data = save(weights)
    write_bytes(folder / WEIGHTS_NAME, data)
    codebook.weights_sha256 = sha256(data)
    write_sealed(
        folder / CONFIG_NAME,
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "config": asdict(codebook.config),
            "stride": STRIDE,
            "weights_sha256": codebook.weights_sha256,
            "facts": codebook.facts,
        },
    )


def load_codebook(folder: Path) -> Codebook:
    """Return the codebook in ``folder``, ready to encode.

    Raises:
        UsageError: there is none, or one of a newer format.
        DamageError: a file is not as it was written.
    """
    value = _read_config(folder)
    try:
        data = (folder / WEIGHTS_NAME).read_bytes()
    except FileNotFoundError:
        raise DamageError(f"{folder} has lost its {WEIGHTS_NAME}: {_restore(folder)}.") from None
    if sha256(data) != value["weights_sha256"]:
        raise DamageError(
            f"{folder / WEIGHTS_NAME} is damaged, its SHA-256 is not the one in {CONFIG_NAME}: "
            f"{_restore(folder)}."
        )
    try:
        codebook = Codebook(CodebookConfig(**value["config"]), facts=value["facts"])
        codebook.load_state_dict(load(data))
    except (SafetensorError, RuntimeError, TypeError, KeyError) as error:
        raise DamageError(
            f"{folder} does not hold what its {CONFIG_NAME} describes ({_first_line(error)}): "
            f"{_restore(folder)}."
        ) from error
    codebook.weights_sha256 = value["weights_sha256"]
    return codebook.requires_grad_(False).eval()


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_NAME
    how = f"make one with `vfm fit-codebook DATA {folder}`"
    try:
        value = read_sealed(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} is no codebook, it has no {CONFIG_NAME}: {how}.") from None
    except DamageError:
        if b'"vfm-codebook"' in path.read_bytes():
            raise
        raise UsageError(f"{folder} is no codebook, its {CONFIG_NAME} is of another kind: {how}.") from None
    if value.get("format") != FORMAT:
        raise UsageError(f"{folder} is no codebook, its {CONFIG_NAME} is of another kind: {how}.")
    if value["format_version"] != FORMAT_VERSION:
        raise UsageError(
            f"{folder} is a codebook of format {value['format_version']} and this vfm reads format "
            f"{FORMAT_VERSION}: use the vfm version that made it, or a newer one."
        )
    return value


def _restore(folder: Path) -> str:
    return f"restore {folder} from a copy, or delete it and fit it again"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(":")
