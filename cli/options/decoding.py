"""Options of commands that decode videos, and what they mean together."""

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vfm.cli.options.shared import Decorator, decoder, together

if TYPE_CHECKING:
    from vfm.video2token.options import ExtractOptions

_AT_LEAST_1 = click.IntRange(min=1)
_OF_VIDEOS = {  # options that say nothing of an image
    "fps": "--fps",
    "num_frames": "--num-frames",
    "sampling": "--sampling",
    "decoder": "--decoder",
    "max_frames": "--max-frames",
    "decode_all": "--decode-all",
    "whole_videos": "--whole-videos",
    "first_s": "--first",
    "signals": "--signals",
    "drop_static": "--drop-static",
    "drop_duplicates": "--drop-duplicates",
    "split_scenes": "--split-scenes",
}


def _rate(value: str) -> float:
    """Return a rate in frames per second, 0.0 for ``native``."""
    if value == "native":
        return 0.0
    try:
        rate = float(value)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 1000:
        raise click.BadParameter(f"{value!r} is neither a number from 0.001 to 1000 nor 'native'.")
    return rate


def options() -> Decorator:
    """Return all the options that say which frames are taken and what a video may cost, as one decorator."""
    return together(_frames(), _pictures(), _limits())


def _frames() -> Decorator:
    """Return the options that say which frames are taken."""
    return together(
        click.option(
            "--images",
            is_flag=True,
            help="Take images (JPEG, PNG, WebP, BMP) and not videos; each becomes a sample of one frame.",
        ),
        click.option(
            "--fps",
            type=_rate,
            metavar="FPS|native",
            help="Frames per second of video, at regular ticks; `native` keeps every frame.",
        ),
        click.option(
            "--num-frames",
            type=_AT_LEAST_1,
            help="Instead of --fps: this many frames of every video, spread evenly over it.",
        ),
        click.option(
            "--sampling",
            type=click.Choice(["grid", "ffmpeg-fps-filter"]),
            default="grid",
            show_default=True,
            help="The frame shown at each tick, or what FFmpeg's filter `fps` gives.",
        ),
    )


def _pictures() -> Decorator:
    """Return the options that say how frames are decoded and stored."""
    return together(
        click.option(
            "--size",
            "size_px",
            type=click.IntRange(16, 4096),
            default=128,
            show_default=True,
            help="Length of the frames' short side in pixels.",
        ),
        click.option(
            "--quality",
            type=click.IntRange(1, 100),
            default=90,
            show_default=True,
            help="Quality of the stored JPEGs.",
        ),
        decoder(),
    )


def _limits() -> Decorator:
    """Return the options that say what a video may cost."""
    return together(
        click.option(
            "--max-frames",
            type=_AT_LEAST_1,
            default=36_000,
            show_default=True,
            help="Reject a video that gives more frames.",
        ),
        click.option(
            "--timeout",
            "timeout_s",
            type=click.FloatRange(0, min_open=True),
            default=600.0,
            show_default=True,
            help="Reject a video that takes more seconds to decode.",
        ),
        click.option(
            "--memory",
            "memory_mib",
            type=click.IntRange(min=512),
            default=4096,
            show_default=True,
            help="Reject a video that takes more MiB of address space.",
        ),
        click.option(
            "--decode-all",
            is_flag=True,
            help="Decode every packet; the frames are the same, and it takes longer.",
        ),
    )


def extract_options(given: dict[str, Any]) -> "ExtractOptions":
    """Return what the options ask for.

    Raises:
        click.UsageError: they contradict each other.
    """
    from vfm.video2token.options import IMAGE_DECODER, ExtractOptions

    cost = {"timeout_s": given["timeout_s"], "memory_bytes": given["memory_mib"] << 20}
    picture = {name: given[name] for name in ("size_px", "quality")}
    if given["images"]:
        _refuse_of_videos()
        return ExtractOptions(sampling="uniform", num_frames=1, decoder=IMAGE_DECODER, **picture, **cost)
    return ExtractOptions(
        fps=given["fps"] or None,
        sampling=_sampling(given),
        selective=not given["decode_all"],
        **{name: given[name] for name in ("num_frames", "max_frames", "decoder")},
        **picture,
        **cost,
    )


def _refuse_of_videos() -> None:
    context = click.get_current_context()
    for name, option in _OF_VIDEOS.items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} is of videos, and an image is one frame: leave it out.")


def _sampling(given: dict[str, Any]) -> str:
    """Return the rule that the options ask for."""
    if (given["fps"] is None) == (given["num_frames"] is None):
        raise click.UsageError("Give either --fps or --num-frames, or --images for images.")
    if not given["fps"] and given["sampling"] != "grid":
        raise click.UsageError(f"--sampling {given['sampling']} needs --fps with a number.")
    if given["num_frames"] is not None:
        return "uniform"
    return given["sampling"] if given["fps"] else "native"
