"""Where the camera stands and how it moves: the label of a moving photo."""

import math
from dataclasses import dataclass

import numpy as np

from vfm.shards.errors import UsageError

MOTIONS = (
    "pan-down",
    "pan-left",
    "pan-right",
    "pan-up",
    "rotate-left",
    "rotate-right",
    "zoom-in",
    "zoom-out",
)
SEEN_PHOTOS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "coins.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "page.png",
    "retina.jpg",
)
HELD_OUT_PHOTOS = ("chelsea.png", "coffee.png", "grass.png", "motorcycle_left.png")
PAN_PER_S = 0.125  # frame widths: 3 px of a 48-px frame between two frames at 2 fps, less than a cell of 8 px
TURN_PER_S = 0.22  # radians: the middle of the frame's border moves as fast as a pan does
LOG_ZOOM_PER_S = 0.15  # natural logarithm of the magnification
LOG_ZOOM_SPREAD = 0.15  # halfway through a video, to both sides
SPEED_JITTER = 0.1  # relative, uniform to both sides
BRIGHTNESS_JITTER = 0.1  # relative, uniform to both sides


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingPhotosOptions:
    """How many videos to make and what each is like.

    Attributes:
        num_pretrain: videos without a label.
        num_train: labelled videos of the same photographs.
        num_val: labelled videos of photographs that appear nowhere else.
        seed: two sets with the same options and seed are the same.
        size_px: width and height; even, as H.264 asks.
        fps: frames per second.
        duration_s: length of every video.
    """

    num_pretrain: int = 640
    num_train: int = 640
    num_val: int = 320
    seed: int = 0
    size_px: int = 48
    fps: int = 8
    duration_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse sizes and lengths that no video can have."""
        if self.size_px < 16 or self.size_px % 2:
            raise UsageError(
                f"A moving photo must be an even number of pixels wide, at least 16: {self.size_px}."
            )
        if self.fps < 1 or self.num_frames < 1:
            raise UsageError(
                f"A moving photo needs at least one frame, got {self.duration_s} s at {self.fps} fps."
            )

    @property
    def num_frames(self) -> int:
        """Frames per video."""
        return round(self.duration_s * self.fps)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraMove:
    """One video before it is drawn: which photograph, where the camera stands halfway, and how it moves.

    Attributes:
        split: "pretrain" (without a label, of split train), "train" or "val".
        photo: file name in scikit-image's data folder.
        motion: one of ``MOTIONS``, the class.
        place: centre of the view in periods of the mirrored photograph, (x, y), each in [0, 1).
        angle_rad: of the camera, in [0, 2 pi).
        log_zoom: natural logarithm of the magnification.
        speed: factor on the motion's nominal speed.
        brightness: factor on the pixels.
    """

    split: str
    photo: str
    motion: str
    place: tuple[float, float]
    angle_rad: float
    log_zoom: float
    speed: float
    brightness: float


def list_shots(options: MovingPhotosOptions) -> list[CameraMove]:
    """Return all shots; classes and photographs take turns, the rest is drawn from (seed, split, number)."""
    counts = {"pretrain": options.num_pretrain, "train": options.num_train, "val": options.num_val}
    return [
        _draw_shot(options, split, number, np.random.default_rng([options.seed, which, number]))
        for which, (split, count) in enumerate(counts.items())
        for number in range(count)
    ]


def _draw_shot(options: MovingPhotosOptions, split: str, number: int, rng: np.random.Generator) -> CameraMove:
    photos = HELD_OUT_PHOTOS if split == "val" else SEEN_PHOTOS
    motion = MOTIONS[number % len(MOTIONS)]
    log_zoom = rng.uniform(-LOG_ZOOM_SPREAD, LOG_ZOOM_SPREAD)
    speed = rng.uniform(1 - SPEED_JITTER, 1 + SPEED_JITTER)
    # A video that does not zoom stands where one that does would be at a random time.
    elsewhen = rng.uniform(-0.5, 0.5) * options.duration_s * LOG_ZOOM_PER_S * speed
    return CameraMove(
        split=split,
        photo=photos[(number // len(MOTIONS)) % len(photos)],
        motion=motion,
        place=(rng.random(), rng.random()),
        angle_rad=rng.uniform(0, 2 * math.pi),
        log_zoom=log_zoom if motion.startswith("zoom") else log_zoom + elsewhen,
        speed=speed,
        brightness=rng.uniform(1 - BRIGHTNESS_JITTER, 1 + BRIGHTNESS_JITTER),
    )


def camera_at(
    shot: CameraMove, since_middle_s: float, frame_periods: float
) -> tuple[float, float, float, float]:
    """Return x and y in periods, the angle in radians, and canvas pixels per frame pixel."""
    moved = since_middle_s * shot.speed
    x, y = shot.place
    angle, log_zoom = shot.angle_rad, shot.log_zoom
    kind, _, way = shot.motion.partition("-")
    sign = 1 if way in ("right", "down", "in") else -1
    if kind == "zoom":
        log_zoom += sign * moved * LOG_ZOOM_PER_S
    elif kind == "rotate":
        angle += sign * moved * TURN_PER_S
    step = math.exp(-log_zoom)
    if kind == "pan":
        # Along the frame's own axes, and by the same part of the frame at every zoom.
        reach = sign * moved * PAN_PER_S * frame_periods * step
        ahead = angle if way in ("left", "right") else angle + math.pi / 2
        x, y = x + reach * math.cos(ahead), y + reach * math.sin(ahead)
    return x, y, angle, step
