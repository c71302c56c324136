"""``hog``, ``hog:mmselfsup``, ``hog:skimage``: histograms of oriented gradients, the target of MaskFeat."""

from dataclasses import asdict, dataclass
from typing import Any

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_name
from vfm.shards.pixels.hog.compute import hog
from vfm.shards.pixels.hog.definition import MASKFEAT, HogDefinition, find_definition
from vfm.shards.pixels.hog.storage import SCALES, to_stored
from vfm.shards.pixels.views import View, centre
from vfm.video2token.frame_target import FrameTarget
from vfm.video2token.target import Arrays, TargetOptions, check_device

FIELD = "hog.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What only this kind may be told.

    Attributes:
        crop_px: side of the frames it is computed from, in the view ``centre``.
        store: how values are kept, ``uint8``, ``fp16`` or ``fp32``.
    """

    crop_px: int = 224
    store: str = "uint8"


def build(argument: str, own: Options, options: TargetOptions) -> "HogTarget":
    """Return the target of the definition that ``argument`` names; MaskFeat's for no name.

    Raises:
        UsageError: no such definition or storage, the crop is not made of whole tokens, or no such device.
    """
    definition = find_definition(argument) if argument else MASKFEAT
    default_name = None if definition == MASKFEAT else definition.name
    name = default_name if options.name is None else check_name(options.name)
    _check_side(own.crop_px, definition)
    if own.store not in SCALES:
        raise UsageError(f"HOG cannot be stored as {own.store!r}: use one of {', '.join(SCALES)}.")
    return HogTarget(
        definition,
        name="hog" if name is None else f"hog.{name}",
        views=(centre(own.crop_px),),
        store=own.store,
        batch_size=options.batch_size,
        device=check_device(options.device),
    )


class HogTarget(FrameTarget):
    """HOG of every frame, [V, T, h, w, F]: compiled for a CPU, torch operations elsewhere; equal values."""

    def __init__(  # noqa: PLR0913 (keyword-only)
        self,
        definition: HogDefinition,
        *,
        name: str,
        views: tuple[View, ...],
        store: str,
        batch_size: int,
        device: str,
    ) -> None:
        self.name = name
        self.kind = "hog"
        self.fields = (FIELD,)
        self.views = views
        self.token_px = definition.token_px
        self.batch_size = batch_size
        self._definition = definition
        self._store = store
        self._device = device
        facts = asdict(definition)
        self.options: dict[str, Any] = {
            "definition": facts.pop("name"),
            **facts,
            "store": store,
            "scale": SCALES[store],
            "views": [view.to_dict() for view in views],
        }

    def compute(self, frames: UInt8) -> Arrays:
        """Return ``hog.npy`` [N, S / token_px, S / token_px, F], uint8, float16 or float32."""
        if self._device == "cpu":
            return {FIELD: to_stored(hog(frames, self._definition), self._store)}
        import torch

        from vfm.shards.pixels.hog.arrays import hog_of_arrays

        tokens = hog_of_arrays(torch.from_numpy(frames).to(self._device), self._definition, torch)
        return {FIELD: to_stored(tokens.cpu().numpy(), self._store)}


def _check_side(crop_px: int, definition: HogDefinition) -> None:
    token_px = definition.token_px
    if crop_px % token_px:
        nearest_px = max(round(crop_px / token_px), 1) * token_px
        raise UsageError(
            f"Frames of {crop_px} px cannot be cut into tokens of {token_px} px: use {nearest_px}, "
            "or another multiple."
        )
