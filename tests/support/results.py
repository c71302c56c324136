"""What every result of an evaluation tells, with numbers of no run."""

from typing import Any

from vfm.trainer.recipes.requirements import Fit


def small_fields(*, num_missing: int) -> dict[str, Any]:
    """Return the fields of a `Result` that say nothing of what was found."""
    return {
        "run": "runs/small",
        "step": 7,
        "num_clips": 5,
        "num_crops": 1,
        "data": "data/small",
        "split": "val",
        "ema": False,
        "num_missing": num_missing,
        "num_trained_on": 0,
        "fit": Fit(stride=2, seconds_apart=0.25, repeated_frames=0.0, enlargement=1.0),
    }
