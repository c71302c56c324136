"""``seen``, ``seen:views``: stores the very pixels that a target is given, in one view or in three."""

from dataclasses import dataclass

from vfm.shards.array_types import UInt8
from vfm.shards.pixels.views import View, centre
from vfm.video2token.frame_target import FrameTarget
from vfm.video2token.target import Arrays, TargetOptions

FIELD = "pixels.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What only this kind may be told."""

    crop_px: int = 24


def build(argument: str, own: Options, options: TargetOptions) -> "Seen":
    """Return the target: of the middle of the frames, or of three views that are all different."""
    crop_px = own.crop_px
    several = (
        centre(crop_px),
        View(resize_px=crop_px + 5, crop_px=crop_px, top="end", left="start", flip=True),
        View(resize_px=crop_px + 8, crop_px=crop_px, top=3, left=7),
    )
    return Seen(
        several if argument == "views" else several[:1], name=options.name, batch_size=options.batch_size
    )


class Seen(FrameTarget):
    """The pixels of every frame, uint8 [V, T, S, S, 3]."""

    def __init__(self, views: tuple[View, ...], *, name: str | None, batch_size: int) -> None:
        self.name = "seen" if name is None else f"seen.{name}"
        self.kind = "seen"
        self.fields = (FIELD,)
        self.views = views
        self.batch_size = batch_size
        self.options = {"views": [view.to_dict() for view in views]}

    def compute(self, frames: UInt8) -> Arrays:
        """Return the frames themselves."""
        return {FIELD: frames}
