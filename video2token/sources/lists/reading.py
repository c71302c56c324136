"""What the reader of a list is given besides the list: the user's choices, and where the videos lie."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vfm.video2token.sources.classes import ClassList
from vfm.video2token.sources.entry import IsSource, is_image, is_video
from vfm.video2token.sources.lists.video_finder import VideoFinder

OtherColumns = Literal["error", "ignore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """How lists are read.

    Attributes:
        root: folder that relative paths of lists are relative to; None for the folder of each list.
        format_name: the format of ``annotations`` that lists are read as; None for the one that fits.
        classes: what ``--classes`` names; None leaves labels as they are written.
        num_classes: of a list whose labels are integers with gaps; None for what occurs.
        label: which of several kinds of label is the class, for formats that have several; None for theirs.
        has_folder_labels: whether the folders of videos give labels and splits.
        any_suffix: whether a file of the same name with another suffix is taken for one that is missing.
        whole_videos: whether the segments of a video are one sample, the whole video.
        first_s: how many seconds of each video are taken, from its begin; None for all.
        images: whether images are looked for, and not videos.
        other_columns: whether columns or fields that mean nothing here are an error, or left unread.
    """

    root: Path | None = None
    format_name: str | None = None
    classes: ClassList | None = None
    num_classes: int | None = None
    label: str | None = None
    has_folder_labels: bool = True
    any_suffix: bool = False
    whole_videos: bool = False
    first_s: float | None = None
    images: bool = False
    other_columns: OtherColumns = "error"

    @property
    def is_source(self) -> IsSource:
        """Whether a file of some name is looked for."""
        return is_image if self.images else is_video

    def root_of(self, path: Path) -> Path:
        """Return the absolute folder that the paths of the list ``path`` are relative to."""
        return path.parent if self.root is None else self.root.absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One list being read.

    Attributes:
        options: how.
        videos: finds the files that it means.
        say: called with what the user should know of it, one sentence each.
    """

    options: ListOptions
    videos: VideoFinder
    say: Callable[[str], None]
