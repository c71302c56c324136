"""A codebook: frames to codes and back, one code for 8x8 pixels; saved as safetensors and JSON."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from vfm.shards.columns.beside import CONFIG_NAME, FORMATS
from vfm.shards.columns.options import MAX_VOCAB_SIZE
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.keys import check_name
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.hashing import sha256
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.io.typed import coerce
from vfm.video2token.tokenizers.codebook.network import STRIDE, Autoencoder, to_frames, to_pixels
from vfm.video2token.tokenizers.tokenizer import Tokenizer

FORMAT = "vfm-codebook"
WEIGHTS_NAME = FORMATS[FORMAT].weights_name
FORMAT_VERSION = 1
_DEFAULT_CROP_PX = 128
_MAX_WIDTH = 1 << 12


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
        for width in (self.code_dim, self.fine_channels, self.coarse_channels):
            if not 1 <= width <= _MAX_WIDTH:
                raise UsageError(f"A codebook cannot be {width} channels wide: use 1 to {_MAX_WIDTH}.")


class Codebook(Tokenizer):
    """Turns frames into codes and codes into frames (VQ-VAE, van den Oord et al. 2017).

    The code of a place is the number of the vector in ``table`` that lies nearest to what the encoder says
    there.

    Attributes:
        config: what it is made of.
        facts: what is known about how it was made; JSON values.
        weights_sha256: of the file it was loaded from or saved to, None before.
        table: float32 [V, D], the vectors.
    """

    format = FORMAT
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

    @property
    def default_crop_px(self) -> int:
        """Side of the frames it was fitted to."""
        asked = self.facts.get("asked")
        crop_px = asked.get("crop_px") if isinstance(asked, dict) else None
        return crop_px if type(crop_px) is int and crop_px > 0 else _DEFAULT_CROP_PX

    def encode_block(self, frames: Tensor) -> Tensor:
        """Return codes int64 [B, H/8, W/8] of uint8 frames [B, H, W, 3]."""
        vectors = self.network.encode(to_pixels(frames))
        rows = vectors.permute(0, 2, 3, 1)
        return nearest(rows.reshape(-1, rows.shape[3]), self.table).view(rows.shape[:3])

    def decode_block(self, codes: Tensor) -> Tensor:
        """Return uint8 frames [B, 8h, 8w, 3] of codes int64 [B, h, w]."""
        return to_frames(self.network.decode(self.table[codes].permute(0, 3, 1, 2)))

    def save(self, folder: Path) -> None:
        """Write weights and config.json."""
        save_codebook(self, folder)


def nearest(rows: Tensor, table: Tensor) -> Tensor:
    """Return for each row [N, D] the number of the nearest of the vectors [V, D], int64 [N]."""
    # |row - vector|^2 without |row|^2, which is the same for all vectors.
    distances = torch.addmm(table.square().sum(1), rows, table.T, alpha=-2)
    if distances.device.type == "cpu":  # NumPy finds the least of a row 15 times as fast as torch does
        return torch.from_numpy(distances.numpy().argmin(1))
    return distances.argmin(1)


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
    if sha256(data) != value.get("weights_sha256"):
        raise DamageError(
            f"{folder / WEIGHTS_NAME} is damaged, its SHA-256 is not the one in {CONFIG_NAME}: "
            f"{_restore(folder)}."
        )
    try:
        config = coerce(value.get("config"), CodebookConfig, key="config")
        tensors = load(data)
        with torch.device("meta"):  # sizes are compared before any memory is taken for them
            Codebook(config).load_state_dict(tensors, assign=True)
        codebook = Codebook(config, facts=coerce(value.get("facts"), dict[str, Any], key="facts"))
        codebook.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, ValueError, UsageError) as error:
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
        raise UsageError(f"{folder} is not a codebook, it has no {CONFIG_NAME}: {how}.") from None
    except DamageError:
        if b'"vfm-codebook"' in path.read_bytes():
            raise
        raise UsageError(
            f"{folder} is not a codebook, its {CONFIG_NAME} is of another kind: {how}."
        ) from None
    if value.get("format") != FORMAT:
        raise UsageError(f"{folder} is not a codebook, its {CONFIG_NAME} is of another kind: {how}.")
    if value.get("format_version") != FORMAT_VERSION:
        raise UsageError(
            f"{folder} is a codebook of format {value.get('format_version')} and this vfm reads format "
            f"{FORMAT_VERSION}: use the vfm version that made it, or a newer one."
        )
    return value


def _restore(folder: Path) -> str:
    return f"restore {folder} from a copy, or delete it and fit it again"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(":")
