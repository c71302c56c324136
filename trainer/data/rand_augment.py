"""RandAugment (Cubuk et al. 2020) of a clip: operations that are drawn once and done to all of its frames.

Operations, their strengths and the text that names a policy are those of timm's "increasing" set; they are
drawn from a generator of the caller's.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.shards.pixels.slide import slide

_HIGHEST = 10.0
_GREY = (128, 128, 128)  # what comes in from outside of a frame
_BICUBIC = Image.Resampling.BICUBIC

Operation = tuple[str, float]  # its name and how strongly it is done, in its own terms
_Do = Callable[[Image.Image, float], Image.Image]


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> _Do:
    return lambda image, factor: kind(image).enhance(factor)


def _posterized(image: Image.Image, bits: float) -> Image.Image:
    kept = 256 - (1 << 8 - int(bits))  # of 0 bits nothing, which Pillow's own refuses
    return image.point([level & kept for level in range(256)] * 3)


def _brightened_below(image: Image.Image, added: float) -> Image.Image:
    table = [min(255, level + int(added)) if level < 128 else level for level in range(256)]
    return image.point(table * 3)


def _slid(image: Image.Image, *, slope: float = 0.0, shift_px: float = 0.0, is_across: bool) -> Image.Image:
    frame = np.asarray(image)
    slid = slide(frame, slope=slope, shift_px=shift_px, is_across=is_across, fill=_GREY[0])
    return Image.fromarray(slid)


_DO: dict[str, _Do] = {
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "Invert": lambda image, _: ImageOps.invert(image),
    "Rotate": lambda image, degrees: image.rotate(degrees, resample=_BICUBIC, fillcolor=_GREY),
    "PosterizeIncreasing": _posterized,
    "SolarizeIncreasing": lambda image, level: ImageOps.solarize(image, int(level)),
    "SolarizeAdd": _brightened_below,
    "ColorIncreasing": _enhanced(ImageEnhance.Color),
    "ContrastIncreasing": _enhanced(ImageEnhance.Contrast),
    "BrightnessIncreasing": _enhanced(ImageEnhance.Brightness),
    "SharpnessIncreasing": _enhanced(ImageEnhance.Sharpness),
    "ShearX": lambda image, factor: _slid(image, slope=factor, is_across=True),
    "ShearY": lambda image, factor: _slid(image, slope=factor, is_across=False),
    "TranslateXRel": lambda image, share: _slid(image, shift_px=share * image.size[0], is_across=True),
    "TranslateYRel": lambda image, share: _slid(image, shift_px=share * image.size[1], is_across=False),
}


_STRENGTHS: dict[str, Callable[[float, int], float]] = {
    "Rotate": lambda level, sign: sign * 30.0 * level,
    "PosterizeIncreasing": lambda level, _: 4 - int(4 * level),
    "SolarizeIncreasing": lambda level, _: 256 - min(256, int(256 * level)),
    "SolarizeAdd": lambda level, _: min(128, int(110 * level)),
    **{name: lambda level, sign: sign * 0.3 * level for name in ("ShearX", "ShearY")},
    **{name: lambda level, sign: sign * 0.45 * level for name in ("TranslateXRel", "TranslateYRel")},
    **{
        f"{name}Increasing": lambda level, sign: max(0.1, 1.0 + sign * 0.9 * level)
        for name in ("Color", "Contrast", "Brightness", "Sharpness")
    },
}
_PART = re.compile(r"(mstd|m|n|p|inc)(\d+(?:\.\d+)?|inf)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RandAugment:
    """A policy: how many operations, how strong, how sure.

    Attributes:
        num_operations: drawn for a clip, with replacement.
        magnitude: mean strength, 0 to 10.
        magnitude_std: its standard deviation; infinite draws the strength between 0 and ``magnitude``.
        probability: that an operation which was drawn is done.
    """

    num_operations: int = 2
    magnitude: float = 10.0
    magnitude_std: float = 0.0
    probability: float = 0.5

    def draw(self, rng: np.random.Generator) -> list[Operation]:
        """Return what is done to a clip, in this order."""
        names = rng.choice(list(_DO), size=self.num_operations).tolist()
        return [(name, self._strength(name, rng)) for name in names if rng.random() <= self.probability]

    def _strength(self, name: str, rng: np.random.Generator) -> float:
        magnitude = self.magnitude
        if math.isinf(self.magnitude_std):
            magnitude = rng.uniform(0, magnitude)
        elif self.magnitude_std > 0:
            magnitude = rng.normal(magnitude, self.magnitude_std)
        sign: Literal[-1, 1] = -1 if rng.random() > 0.5 else 1
        return strength_of(name, level=min(max(magnitude, 0.0), _HIGHEST) / _HIGHEST, sign=sign)


def strength_of(name: str, *, level: float, sign: Literal[-1, 1]) -> float:
    """Return how strongly an operation is done, in its own terms: degrees, bits, shares of the frame.

    Args:
        name: of the operation.
        level: 0..1.
        sign: which way, for operations that have two.
    """
    strength = _STRENGTHS.get(name)
    return 0.0 if strength is None else strength(level, sign)


def augmented(frames: UInt8, operations: Sequence[Operation]) -> UInt8:
    """Return frames, uint8 [T, H, W, 3], after the same operations."""
    if not operations:
        return frames
    result = np.empty_like(frames)
    for out, frame in zip(result, frames, strict=True):
        image = Image.fromarray(np.ascontiguousarray(frame))
        for name, strength in operations:
            image = _DO[name](image, strength)
        out[:] = np.asarray(image)
    return result


def parse_policy(text: str) -> RandAugment:
    """Return the policy of a text as timm has them, such as ``rand-m7-n4-mstd0.5-inc1``.

    Raises:
        UsageError: it is none, or asks for what is not here.
    """
    kind, *parts = text.split("-")
    matches = [_PART.fullmatch(part) for part in parts]
    values = {match[1]: float(match[2]) for match in matches if match is not None}
    if kind != "rand" or None in matches or values.pop("inc", 0) != 1:
        raise UsageError(
            f"{text!r} is not a policy of RandAugment: write it as rand-m7-n4-mstd0.5-p0.5-inc1, which are "
            "strength, operations, deviation and probability, each of which may be left out."
        )
    deviation = values.get("mstd", 0.0)
    return RandAugment(
        num_operations=int(values.get("n", 2)),
        magnitude=values.get("m", _HIGHEST),
        magnitude_std=deviation if deviation <= 100 else math.inf,  # so timm writes "any is as likely"
        probability=values.get("p", 0.5),
    )
