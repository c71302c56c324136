"""What every decoder takes and gives: the contract, and the parts all of them share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from vfm.video2token.decoding import decoders
from vfm.video2token.options import IMAGE_DECODER, ExtractOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedVideo:
    """The frames of one video by the rule that was asked for, and what is known about the video.

    Names that ``SampleMeta`` has too mean the same here.

    Attributes:
        jpegs: one JPEG for each tick, all of one size.
        pts_s: presentation time in the source of each of them, seconds.
        last_s: how long the last of them is shown, seconds.
        copy_times_s: when each of them appears in the stored copy, seconds from the first; empty where
            ``times_in_copy`` tells it from ``pts_s`` and the rate alone.
    """

    jpegs: Sequence[bytes]
    pts_s: tuple[float, ...]
    last_s: float
    width_px: int
    height_px: int
    source_width_px: int
    source_height_px: int
    source_fps: float | None
    source_duration_s: float | None
    codec: str
    pix_fmt: str
    container: str
    rotation_deg: int
    sample_aspect_ratio: str
    color: dict[str, str]
    num_decode_errors: int
    flags: tuple[str, ...]
    decoding: str
    damage: tuple[str, ...]
    copy_times_s: tuple[float, ...] = ()


class Decoder(Protocol):
    """What a file of ``vfm.video2token.decoding.decoders`` defines."""

    def decode(
        self,
        path: str,
        options: ExtractOptions,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        size_bytes: int = -1,
    ) -> DecodedVideo:
        """Return the frames of a video, or of a segment of it, by the rule of ``options``.

        Args:
            path: absolute.
            options: its limits on time and memory are for the caller to enforce.
            start_s: where the segment begins, seconds from the first frame; ticks are counted from here.
            end_s: where it ends; no tick stands at it or later.
            size_bytes: size of the file that the plan counted with, -1 when it is not to be compared.

        Raises:
            VideoRejected: with the reason.
        """

    def version(self) -> dict[str, str]:
        """Return the versions that the pixels follow from; a MachineError says what is missing."""


def load_decoder(name: str) -> Decoder:
    """Return a decoder of videos by its name, or that of images, which lies beside their folder.

    Raises: as ``decoders.load``.
    """
    if name != IMAGE_DECODER:
        return decoders.load(name)
    from vfm.video2token.decoding import pillow

    return cast("Decoder", pillow)
