"""How a training ended."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from vfm.cli.display import output

if TYPE_CHECKING:
    from vfm.trainer.engine.loop import Outcome


def finish(outcome: "Outcome", *, out: Path, as_json: bool) -> int:
    """Tell how the run ended and return the exit code: 0 done, 128 + its number after a signal."""
    say = output.say if is_chief() else silent
    if as_json and is_chief():
        told = {"run": str(out), "step": outcome.step, "num_steps": outcome.num_steps}
        output.show_json({**told, "signal": outcome.signal, "last": outcome.record})
    if outcome.signal:
        name = signal.Signals(outcome.signal).name
        say(
            f"Stopped by {name} after step {outcome.step} of {outcome.num_steps}, which is saved: "
            "run the same command again to resume."
        )
        return 128 + outcome.signal
    was = "Trained" if outcome.record else "Already trained"
    say(f"{was} to the end, step {outcome.step}: {out}")
    return 0


def is_chief() -> bool:
    """Return whether this process talks: the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def silent(_sentence: str) -> None:
    """Say nothing: another rank talks."""
