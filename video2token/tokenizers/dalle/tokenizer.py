"""DALL-E's discrete VAE as a tokenizer: ``vq:dalle``."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from vfm.shards.columns.beside import CONFIG_NAME, FORMATS
from vfm.shards.columns.options import MAX_VOCAB_SIZE
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.hashing import sha256
from vfm.shards.io.sealed import write_sealed
from vfm.shards.io.typed import coerce
from vfm.video2token.tokenizers.dalle.model import STRIDE, DalleConfig, DalleDecoder, DalleEncoder, map_pixels
from vfm.video2token.tokenizers.dalle.weights import load_decoder, load_encoder
from vfm.video2token.tokenizers.tokenizer import Tokenizer

FORMAT = "vfm-dalle"
DECODER_NAME = FORMATS[FORMAT].weights_name
_MAX_WIDTH = 1 << 13
_MAX_BLOCKS = 64
_CROP_PX = 128  # VIMPAC's smaller size (Tan et al. 2021, section 4): 16 x 16 codes


class DalleTokenizer(Tokenizer):
    """Codes of the discrete VAE, computed in float32 as its authors do on a CPU.

    Args:
        encoder: None where the codes are only looked at.
        decoder: None where the codes are only made.
        weights_sha256: of the encoder's file.
    """

    format = FORMAT

    def __init__(
        self, encoder: DalleEncoder | None, decoder: DalleDecoder | None, *, weights_sha256: str
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.weights_sha256 = encoder, decoder, weights_sha256
        # On a CPU 1.1 times as fast as channel after channel. Its declared type knows no such argument alone.
        self.to(memory_format=torch.channels_last)

    @property
    def name(self) -> str:
        """``dalle``."""
        return "dalle"

    @property
    def vocab_size(self) -> int:
        """How many codes there are: 8192 in the released weights."""
        known = self.encoder or self.decoder
        assert known is not None, "an encoder or a decoder"
        return known.config.vocab_size

    @property
    def stride(self) -> int:
        """Pixels from one code to the next."""
        return STRIDE

    @property
    def default_crop_px(self) -> int:
        """Side of VIMPAC's smaller frames."""
        return _CROP_PX

    def encode_block(self, frames: Tensor) -> Tensor:
        """Return codes int64 [B, H/8, W/8] of uint8 frames [B, H, W, 3]."""
        if self.encoder is None:
            raise UsageError("These are codes to look at: encoding takes DALL-E's encoder, see --weights.")
        logits: Tensor = self.encoder(map_pixels(frames.permute(0, 3, 1, 2) / 255))
        return logits.argmax(1)

    def decode_block(self, codes: Tensor) -> Tensor:
        """Return uint8 frames [B, 8h, 8w, 3] of codes int64 [B, h, w]."""
        if self.decoder is None:
            raise UsageError(
                "DALL-E's decoder is missing beside these codes: make the column with decoder.pkl in the "
                "folder of --weights to look at what they stand for."
            )
        images = self.decoder.images(codes)
        return (255 * images).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def save(self, folder: Path) -> None:
        """Write the decoder in half precision, where there is one, and config.json; not the encoder."""
        value: dict[str, Any] = {
            "format": FORMAT,
            "weights_sha256": self.weights_sha256,
            "vocab_size": self.vocab_size,
        }
        if self.decoder is not None:
            tensors = {name: t.half().contiguous().cpu() for name, t in self.decoder.state_dict().items()}
            data = save(tensors)
            write_bytes(folder / DECODER_NAME, data)
            config = self.decoder.config
            value |= {
                "decoder_sha256": sha256(data),
                "decoder": {"hidden": config.hidden, "num_blocks": config.num_blocks, "first": config.first},
            }
        write_sealed(folder / CONFIG_NAME, value)


def load_dalle(folder: Path) -> DalleTokenizer:
    """Return the tokenizer whose weights lie in ``folder``.

    Args:
        folder: holds ``encoder.pkl`` or ``encoder.safetensors``, and perhaps the decoder's.

    Raises:
        UsageError: there is no encoder, or a file does not hold such weights.
    """
    encoder_path, decoder_path = _find(folder, "encoder"), _find(folder, "decoder")
    if encoder_path is None:
        raise UsageError(
            f"{folder} holds no encoder.pkl or encoder.safetensors: put there what OpenAI released at "
            "https://cdn.openai.com/dall-e/encoder.pkl (and decoder.pkl, to look at codes)."
        )
    encoder, digest = load_encoder(encoder_path)
    decoder = None if decoder_path is None else load_decoder(decoder_path)[0]
    if decoder is not None and decoder.config.vocab_size != encoder.config.vocab_size:
        raise UsageError(
            f"{decoder_path} has {decoder.config.vocab_size} codes and {encoder_path} "
            f"{encoder.config.vocab_size}: take both from one release."
        )
    return DalleTokenizer(encoder, decoder, weights_sha256=digest)


def load_saved(folder: Path, value: dict[str, Any]) -> DalleTokenizer:
    """Return what `DalleTokenizer.save` wrote: a tokenizer that decodes, where it was saved with a decoder.

    Args:
        folder: where.
        value: of its config.json.

    Raises:
        DamageError: the decoder is not as it was written.
        UsageError: it was saved without one.
    """
    if "decoder" not in value:
        raise UsageError(
            f"{folder} keeps no decoder of DALL-E: make the column with decoder.pkl in the folder of "
            "--weights to look at its codes."
        )
    try:
        data = (folder / DECODER_NAME).read_bytes()
        if sha256(data) != value.get("decoder_sha256"):
            raise ValueError(f"its SHA-256 is not the one in {CONFIG_NAME}")
        config = _kept_config(value)
        tensors = {name: tensor.float() for name, tensor in load(data).items()}
        with torch.device("meta"):  # sizes are compared before any memory is taken for them
            DalleDecoder(config).load_state_dict(tensors, assign=True)
        decoder = DalleDecoder(config)
        decoder.load_state_dict(tensors)
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise DamageError(
            f"{folder / DECODER_NAME} is damaged ({error}): run the `vfm tokenize` command that made the "
            "column again."
        ) from None
    decoder.requires_grad_(False).eval()
    return DalleTokenizer(None, decoder, weights_sha256=str(value.get("weights_sha256")))


def _kept_config(value: dict[str, Any]) -> DalleConfig:
    sizes = coerce(value["decoder"], dict[str, int], key="decoder")
    config: DalleConfig = coerce({**sizes, "vocab_size": value.get("vocab_size")}, DalleConfig, key="")
    limits = {
        "hidden": _MAX_WIDTH,
        "first": _MAX_WIDTH,
        "num_blocks": _MAX_BLOCKS,
        "vocab_size": MAX_VOCAB_SIZE,
    }
    for name, most in limits.items():
        if not 1 <= getattr(config, name) <= most:
            raise ValueError(f"{name} is {getattr(config, name)}")
    return config


def _find(folder: Path, part: str) -> Path | None:
    found = (folder / f"{part}{suffix}" for suffix in (".safetensors", ".pkl"))
    return next((path for path in found if path.is_file()), None)
