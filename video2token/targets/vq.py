"""``vq:PATH``: the codes of a codebook that ``vfm fit-codebook`` made."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vfm.shards.atomic import clean_stale
from vfm.shards.errors import UsageError
from vfm.shards.views import View, centre
from vfm.video2token.codebook import Codebook, check_name, check_side, load_codebook, save_codebook
from vfm.video2token.targets._base import Arrays, FrameTarget, TargetOptions, UInt8, check_device

FIELD = "codes.npy"
CODEBOOK_FOLDER = "codebook"
_DEFAULT_CROP_PX = 128


def build(argument: str, options: TargetOptions) -> "VqTarget":
    """Return the target of the codebook in the folder ``argument``.

    Raises:
        UsageError: no codebook there, the crop is no multiple of its stride, no such device, or a storage
            is asked for.
        DamageError: the codebook is not as it was written.
    """
    if not argument:
        raise UsageError("Target vq needs the folder of a codebook: write vq:PATH.")
    if options.store is not None:
        raise UsageError(
            f"Codes cannot be stored as {options.store!r}: they take the smallest type, leave --store out."
        )
    codebook = load_codebook(Path(argument))
    name = codebook.name if options.name is None else check_name(options.name)
    fitted_px = codebook.facts.get("asked", {}).get("crop_px", _DEFAULT_CROP_PX)
    crop_px = fitted_px if options.crop_px is None else options.crop_px
    check_side(crop_px)
    codebook.to(check_device(options.device))
    return VqTarget(codebook, name=name, views=(centre(crop_px),), batch_size=options.batch_size)


class VqTarget(FrameTarget):
    """Codes of every frame: the smallest unsigned integers that hold them, [V, T, h, w]."""

    def __init__(self, codebook: Codebook, *, name: str, views: tuple[View, ...], batch_size: int) -> None:
        self.name = f"vq.{name}"
        self.kind = "vq"
        self.fields = (FIELD,)
        self.views = views
        self.batch_size = batch_size
        self._codebook = codebook
        self._dtype = np.min_scalar_type(codebook.vocab_size - 1)
        self.options: dict[str, Any] = {
            "codebook": codebook.name,
            "weights_sha256": codebook.weights_sha256,
            "vocab_size": codebook.vocab_size,
            "stride": codebook.stride,
            "dtype": self._dtype.name,
            "views": [view.to_dict() for view in views],
        }

    def compute(self, frames: UInt8) -> Arrays:
        """Return ``codes.npy`` [N, S/8, S/8]."""
        codes = self._codebook.encode(torch.from_numpy(frames)).cpu().numpy()
        assert 0 <= codes.min() <= codes.max() < self._codebook.vocab_size, "codes of this codebook"
        return {FIELD: codes.astype(self._dtype)}

    def keep(self, folder: Path) -> None:
        """Copy the codebook, so that the dataset can be looked at wherever it goes."""
        home = folder / CODEBOOK_FOLDER
        home.mkdir(parents=True, exist_ok=True)
        clean_stale(home)
        save_codebook(self._codebook, home)
