"""Options of commands that compute targets, and what they mean together."""

from typing import TYPE_CHECKING, Any

import click

from vfm.cli.options.shared import Decorator, together

if TYPE_CHECKING:
    from vfm.video2token.target import TargetOptions

_COMMON = ("name", "batch_size", "device")
_OWN = (
    "crop_px",
    "token_px",
    "views",
    "levels",
    "level_interval",
    "normalization",
    "precision",
    "store",
    "weights",
)  # of some kinds only, which refuse those that they do not have


def options() -> Decorator:
    """Return the options that say how targets are computed, as one decorator."""
    return together(
        _teacher_options(),
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
            help="How values are kept, for targets that leave the choice: hog takes uint8, fp16 or fp32, "
            "clip fp32, fp16, int8, pq:BYTES (product codes of so many bytes a token and level) or pq, the "
            "fewest bytes that are true enough.  [default: the target's own]",
        ),
        click.option(
            "--weights",
            metavar="PATH",
            help="Weights of the network. For vq:dalle a folder with encoder.pkl, and decoder.pkl to look at "
            "codes; for clip a file of timm, OpenAI's CLIP or open_clip.  [default: clip downloads timm's]",
        ),
        click.option(
            "--device", default="cpu", show_default=True, help="Where to compute targets, such as cuda."
        ),
    )


def _teacher_options() -> Decorator:
    """Return the options that only targets with a teacher have, as one decorator."""
    return together(
        click.option(
            "--token",
            "token_px",
            type=click.IntRange(min=1),
            metavar="PX",
            help="Side of the student's patches, for clip: the teacher sees frames at a size that gives as "
            "many tokens.  [default: 16]",
        ),
        click.option(
            "--views",
            metavar="center|random:K|resized:K|vimpac12|FILE",
            help="What of each frame is seen, for vq and clip: the middle; K crops of several sizes, half of "
            "them mirrored, or K as UMT's second stage draws them, of half the area or more; the 12 crops "
            "that VIMPAC is finetuned on (three places, two sizes, mirrored or not; frames a quarter "
            "larger than --crop); or a JSON list of views. Training draws one of them every time, VIMPAC's "
            "pretraining takes the first.  [default: center]",
        ),
        click.option(
            "--levels",
            type=click.IntRange(min=1),
            metavar="N",
            help="Of how many blocks of the teacher features are kept, for clip, the last one among them.  "
            "[default: 6]",
        ),
        click.option(
            "--level-interval",
            type=click.FloatRange(min=1),
            metavar="N",
            help="Blocks from one of them to the next, for clip.  [default: 1]",
        ),
        click.option(
            "--normalization",
            "normalization",
            type=click.Choice(["imagenet", "model"]),
            help="Constants that the teacher's pixels are normalized by, for clip: ImageNet's, as in UMT, or "
            "those it was trained with.  [default: imagenet]",
        ),
        click.option(
            "--precision",
            type=click.Choice(["fp32", "bf16", "fp16"]),
            help="Of the teacher's products, for clip.  [default: fp32]",
        ),
    )


def target_options(given: dict[str, Any]) -> "TargetOptions":
    """Return what the options ask for; of those that only some kinds have, what the user has set."""
    from vfm.video2token.target import TargetOptions

    common = {name: given[name] for name in _COMMON if name in given}
    return TargetOptions(own={name: given[name] for name in _OWN if given[name] is not None}, **common)
