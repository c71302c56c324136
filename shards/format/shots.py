"""``scenes.json``: where the cuts of every video are, found once so that every run makes the same plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfm.shards.errors import DamageError
from vfm.shards.io.sealed import read_sealed
from vfm.shards.io.typed import coerce

SCENES_NAME = "scenes.json"
CUT_OPTION = "min_shot_s"  # the frames' option that tells of a plan split at cuts


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """The cuts of one video.

    Attributes:
        cuts_s: where shots begin, seconds from the video's first frame, ascending.
        last_s: time of the last frame, in the same seconds; None for a video without frames.
    """

    cuts_s: tuple[float, ...]
    last_s: float | None


def read_shots(data: Path) -> dict[str, Shots]:
    """Return what is known of the cuts of each video, by its name and size; nothing when no file is there.

    Raises:
        DamageError: the file is not as it was written.
    """
    path = data / SCENES_NAME
    try:
        value: Any = read_sealed(path)
        shots: dict[str, Shots] = coerce(value, dict[str, Shots], key="videos")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DamageError(f"{path} is damaged ({error}): restore it from a copy, or delete it.") from error
    for name, each in shots.items():
        if list(each.cuts_s) != sorted(each.cuts_s):
            raise DamageError(
                f"{path} is damaged (cuts of {name} go back): restore it from a copy, or delete it."
            )
    return shots
