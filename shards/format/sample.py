"""What is known about one sample, and about one source that did not become a sample."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from vfm.shards.errors import DamageError
from vfm.shards.io.json import canonical_json, parse_json
from vfm.shards.io.typed import coerce

_COUNTS = (
    "width_px",
    "height_px",
    "source_width_px",
    "source_height_px",
    "rotation_deg",
    "num_decode_errors",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleMeta:
    """The ``KEY.json`` of a sample: where its frames come from and how they were taken.

    Attributes:
        key: the sample's name.
        source: the source's ``identity``: its stable name relative to its root.
        outcome: ``ok``, or ``partial`` when frames are kept although the source is damaged.
        fps: the regular grid's rate in frames per second; None when the rule is another.
        sampling: the rule: ``grid`` and others.
        num_frames: how many frames are stored, at least 1.
        pts_s: presentation time in the source of each stored frame, seconds, one per frame.
        width_px: width of the stored frames.
        height_px: height of the stored frames.
        source_width_px: coded width of the source before rotation.
        source_height_px: coded height of the source before rotation.
        source_fps: the source's average rate, None when it tells none.
        source_duration_s: the source's duration in seconds, None when it tells none.
        codec: codec of the source, such as ``h264``.
        pix_fmt: its pixel format, such as ``yuv420p``.
        container: its container format, such as ``mov,mp4,m4a,3gp,3g2,mj2``.
        rotation_deg: clockwise rotation that was applied: 0, 90, 180 or 270.
        sample_aspect_ratio: of the source, such as ``1:1``.
        color: of the source: ``space``, ``range``, ``primaries``, ``transfer``.
        labels: class names, empty when unknown; the first is the class of a single-label task.
        captions: texts, empty when unknown.
        split: such as ``train``, None when unknown.
        start_s: begin of the annotated segment that the sample is, seconds from the video's first frame;
            None for the video's begin.
        end_s: its end, None for the video's end.
        flags: what is special about the source, sorted: see the dataset format's reference.
        decoding: ``selective`` when only the frames that were wanted were decoded, or why it was all of them.
        signals: what else was measured, JSON values by the signal's name; empty when nothing was asked for.
        num_decode_errors: how many errors the decoder met and passed over.
        damage: one sentence for each kind of damage; empty for ``ok``.
    """

    key: str
    source: str
    outcome: Literal["ok", "partial"]
    fps: float | None
    sampling: str
    num_frames: int
    pts_s: tuple[float, ...]
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
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    split: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    flags: tuple[str, ...] = ()
    decoding: str = ""
    signals: dict[str, Any] = field(default_factory=dict)
    num_decode_errors: int = 0
    damage: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a sample that contradicts itself."""
        if self.num_frames < 1 or len(self.pts_s) != self.num_frames:
            raise ValueError(f"{self.key}: {self.num_frames} frames but {len(self.pts_s)} times")
        if self.outcome not in {"ok", "partial"}:
            raise ValueError(f"{self.key}: outcome {self.outcome!r} is neither ok nor partial")

    def check_ranges(self) -> None:
        """Raise a ValueError for a number that no video has."""
        for name in _COUNTS:
            if not 0 <= getattr(self, name) < 1 << 63:
                raise ValueError(f"{name} is {getattr(self, name)}")

    @property
    def label(self) -> str | None:
        """The first label, which is the class; None when unknown."""
        return self.labels[0] if self.labels else None

    @property
    def written_captions(self) -> tuple[str, ...]:
        """The captions that are not blank, in their order: a text column has a row for each of them."""
        return tuple(caption for caption in self.captions if caption.strip())

    def to_json(self) -> bytes:
        """Return canonical JSON, the same bytes for the same sample."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return the sample of a ``KEY.json``.

        Raises:
            DamageError: the bytes are not what ``to_json`` writes.
        """
        value = parse_json(data, name="A sample's .json member")
        try:
            meta: Self = coerce(value, cls, key="")
            meta.check_ranges()
            return meta
        except ValueError as error:
            raise DamageError(
                f"A sample's .json member is damaged ({error}): run `vfm inspect DATA --verify`."
            ) from error
