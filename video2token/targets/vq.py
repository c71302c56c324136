"""``vq:PATH`` and ``vq:dalle``: codes of a codebook that was fitted here, or of DALL-E's tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vfm.shards.array_types import UInt8
from vfm.shards.columns.arrays import CODES
from vfm.shards.columns.beside import CODEBOOK_FOLDER
from vfm.shards.columns.views import parse_views
from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_name
from vfm.shards.io.atomic import clean_stale
from vfm.shards.pixels.views import View
from vfm.video2token.frame_target import FrameTarget
from vfm.video2token.target import Arrays, TargetOptions, check_device
from vfm.video2token.tokenizers.codebook.codebook import load_codebook
from vfm.video2token.tokenizers.dalle.tokenizer import load_dalle
from vfm.video2token.tokenizers.tokenizer import Tokenizer, check_side

FIELD = CODES
DALLE = "dalle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What only this kind may be told.

    Attributes:
        crop_px: side of the squares that it is computed from; None for the tokenizer's own.
        views: what of a frame they show: ``centre``, ``random:K``, ``resized:K``, ``vimpac12`` or a file, see
            `vfm.shards.columns.views.parse_views`.
        weights: folder of the weights of ``vq:dalle``; a codebook brings its own.
    """

    crop_px: int | None = None
    views: str = "centre"
    weights: str | None = None


def build(argument: str, own: Options, options: TargetOptions) -> "VqTarget":
    """Return the target of a tokenizer.

    Args:
        argument: ``dalle``, whose weights lie in ``own.weights``, or the folder of a codebook.
        own: what only this kind may be told.
        options: what every kind may be told.

    Raises:
        UsageError: no tokenizer there, the crop is not a multiple of its stride, no such view or device.
        DamageError: the codebook is not as it was written.
    """
    tokenizer = _load(argument, weights=own.weights)
    name = tokenizer.name if options.name is None else check_name(options.name)
    crop_px = tokenizer.default_crop_px if own.crop_px is None else own.crop_px
    check_side(crop_px, stride=tokenizer.stride)
    views = parse_views(own.views, crop_px=crop_px)
    tokenizer.to(check_device(options.device))
    return VqTarget(tokenizer, name=name, views=views, batch_size=options.batch_size)


def _load(argument: str, *, weights: str | None) -> Tokenizer:
    if argument == DALLE:
        if weights is None:
            raise UsageError(
                "Target vq:dalle needs DALL-E's weights: give --weights the folder of encoder.pkl "
                "(https://cdn.openai.com/dall-e/encoder.pkl), or write vq:./dalle for a codebook in a folder "
                "of that name."
            )
        return load_dalle(Path(weights))
    if weights is not None:
        raise UsageError(f"Target vq:{argument} has its weights in its folder: remove --weights.")
    if not argument:
        raise UsageError("Target vq needs the folder of a codebook: write vq:PATH, or vq:dalle.")
    return load_codebook(Path(argument))


class VqTarget(FrameTarget):
    """Codes of every frame: the smallest unsigned integers that hold them, [V, T, h, w]."""

    def __init__(self, tokenizer: Tokenizer, *, name: str, views: tuple[View, ...], batch_size: int) -> None:
        self.name = f"vq.{name}"
        self.kind = "vq"
        self.fields = (FIELD,)
        self.views = views
        self.token_px = tokenizer.stride
        self.batch_size = batch_size
        self._tokenizer = tokenizer
        self._dtype = np.min_scalar_type(tokenizer.vocab_size - 1)
        self.options: dict[str, Any] = {
            "codebook": tokenizer.name,
            "weights_sha256": tokenizer.weights_sha256,
            "vocab_size": tokenizer.vocab_size,
            "stride": tokenizer.stride,
            "dtype": self._dtype.name,
            "views": [view.to_dict() for view in views],
        }

    def compute(self, frames: UInt8) -> Arrays:
        """Return ``codes.npy`` [N, S/stride, S/stride]."""
        codes = self._tokenizer.encode(torch.from_numpy(frames)).cpu().numpy()
        assert 0 <= codes.min() <= codes.max() < self._tokenizer.vocab_size, "codes of this codebook"
        return {FIELD: codes.astype(self._dtype)}

    def save_beside(self, folder: Path) -> None:
        """Copy what decodes, so that the dataset can be looked at wherever it goes."""
        home = folder / CODEBOOK_FOLDER
        home.mkdir(parents=True, exist_ok=True)
        clean_stale(home)
        self._tokenizer.save(home)
