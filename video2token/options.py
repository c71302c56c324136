"""What a user may set of a job that decodes videos."""

from dataclasses import dataclass
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.picture.options import PictureOptions
from vfm.video2token.sampling.options import RULES, SamplingOptions

IMAGE_DECODER = "pillow"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractOptions:
    """How videos become frames, and what one video may cost.

    Attributes:
        fps: ticks per second, 0.001 to 1000; None where the rule has no rate.
        sampling: the rule (see ``vfm.video2token.sampling.sampler``): ``grid``, ``native``, ``uniform`` or
            ``ffmpeg-fps-filter``.
        num_frames: how many frames a video gives by the rule ``uniform``.
        size_px: length of the stored frames' short side, 16 to 4096.
        quality: of the JPEGs, 1 to 100.
        max_frames: a video that gives more is rejected as ``too_long``.
        timeout_s: seconds of wall time that one video may take.
        memory_bytes: address space that a decoding process may use.
        decoder: a file of ``vfm.video2token.decoding.decoders``, whose ``load`` checks it; or
            ``IMAGE_DECODER``, for images, each of which gives one frame.
        selective: decode only what the wanted frames depend on, where that is known to be exact.
        num_threads: of the decoder, where processor cores are idle; changes nothing that is stored.
    """

    fps: float | None = None
    sampling: str = "grid"
    num_frames: int | None = None
    size_px: int = 128
    quality: int = 90
    max_frames: int = 36_000
    timeout_s: float = 600.0
    memory_bytes: int = 4 << 30
    decoder: str = "pyav"
    selective: bool = True
    num_threads: int = 1

    def __post_init__(self) -> None:
        """Refuse what no decoder can do."""
        _check("sampling", self.sampling, self.sampling in RULES, f"one of {', '.join(RULES)}")
        self._check_rule()
        _check("num_threads", self.num_threads, self.num_threads >= 1, "1 or more")
        _check("size_px", self.size_px, 16 <= self.size_px <= 4096, "16 to 4096")
        _check("quality", self.quality, 1 <= self.quality <= 100, "1 to 100")
        _check("max_frames", self.max_frames, self.max_frames >= 1, "1 or more")
        _check("timeout_s", self.timeout_s, self.timeout_s > 0, "more than 0")
        _check("memory_bytes", self.memory_bytes, self.memory_bytes >= 1 << 29, "512 MiB or more")

    def _check_rule(self) -> None:
        """Refuse numbers that the rule has no use for, and a rule without its number."""
        rule = self.sampling
        if rule in {"grid", "ffmpeg-fps-filter"}:
            is_rate = self.fps is not None and 0.001 <= self.fps <= 1000
            _check("fps", self.fps, is_rate, "0.001 to 1000")
        else:
            _check("fps", self.fps, self.fps is None, f"none with the rule {rule}")
        if self.images:
            _check("num_frames", self.num_frames, (rule, self.num_frames) == ("uniform", 1), "1 for images")
        elif rule == "uniform":
            is_count = self.num_frames is not None and 1 <= self.num_frames <= self.max_frames
            _check("num_frames", self.num_frames, is_count, "1 to max_frames")
        else:
            _check("num_frames", self.num_frames, self.num_frames is None, f"none with the rule {rule}")

    @property
    def images(self) -> bool:
        """Whether the sources are images and not videos."""
        return self.decoder == IMAGE_DECODER

    @property
    def sampling_options(self) -> SamplingOptions:
        """Which frames are wanted."""
        return SamplingOptions(
            rule=self.sampling, fps=self.fps, num_frames=self.num_frames, max_frames=self.max_frames
        )

    @property
    def picture_options(self) -> PictureOptions:
        """What the stored pictures are like."""
        return PictureOptions(size_px=self.size_px, quality=self.quality)

    def to_column(self) -> dict[str, Any]:
        """Return the options that the stored bytes follow from, as they stand in the manifest.

        ``images`` is there where the sources are images, and absent where they are videos.
        """
        return {
            "fps": self.fps,
            "sampling": self.sampling,
            "num_frames": self.num_frames,
            "size_px": self.size_px,
            "quality": self.quality,
            "max_frames": self.max_frames,
            "decoder": self.decoder,
            "selective": self.selective,
            **({"images": True} if self.images else {}),
        }


def _check(name: str, value: object, is_allowed: bool, allowed: str) -> None:
    if not is_allowed:
        raise UsageError(f"{name} cannot be {value}: use {allowed}.")
