"""Options of commands that compute targets, and what they mean together."""

from typing import TYPE_CHECKING, Any

import click

from vfm.cli.options.shared import Decorator, together

if TYPE_CHECKING:
    from vfm.video2token.target import TargetOptions

_COMMON = ("name", "batch_size", "device")
_OWN = ("crop_px", "store", "weights")  # of some kinds only, which refuse those that they do not have


def options() -> Decorator:
    """Return the options that say how targets are computed, as one decorator."""
    return together(
        click.option(
            "--crop",
            "crop_px",
            type=click.IntRange(min=1),
            metavar="PX",
            help="Short side of the frames is resized to this and the middle square taken.  "
            "[default: what the target was made for]",
        ),
        click.option(
            "--store",
            metavar="TYPE",
            help="How values are kept, for targets that leave the choice: hog takes uint8 or fp16.  "
            "[default: the target's own]",
        ),
        click.option(
            "--weights",
            metavar="PATH",
            help="Folder of the network's weights, for vq:dalle: encoder.pkl, and decoder.pkl to look at "
            "codes.",
        ),
        click.option(
            "--device", default="cpu", show_default=True, help="Where to compute targets, such as cuda."
        ),
    )


def target_options(given: dict[str, Any]) -> "TargetOptions":
    """Return what the options ask for; of those that only some kinds have, what the user has set."""
    from vfm.video2token.target import TargetOptions

    common = {name: given[name] for name in _COMMON if name in given}
    return TargetOptions(own={name: given[name] for name in _OWN if given[name] is not None}, **common)
