"""A run that goes on for longer than it was to: whether it can, and at which rate it does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.shards.io.sealed import write_sealed
from vfm.shards.wording import counted, listed
from vfm.trainer.engine.checkpoint import Checkpoint
from vfm.trainer.engine.checkpoint_state import STATE
from vfm.trainer.engine.updates.optim import lr_at, num_updates, updates_per_epoch
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import to_dict

EXTENDED = "extended"  # in a state: where the run was made longer, and how long it was to be before
LENGTH_KEYS = ("train.epochs", "train.max_steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A run as it stands, and the length that is asked for.

    Attributes:
        out: its folder.
        checkpoint: its newest.
        before: the recipe of that.
        after: the recipe that is asked for.
        num_samples: of the dataset.
    """

    out: Path
    checkpoint: Checkpoint
    before: Recipe
    after: Recipe
    num_samples: int

    @property
    def num_steps(self) -> int:
        """Updates that are asked for."""
        return num_updates(self.after.train, num_samples=self.num_samples)

    @property
    def is_longer(self) -> bool:
        """Whether they are more than the run was to have."""
        return self.num_steps > int(self.checkpoint.state["num_steps"])

    def apply(self, changed: list[str], *, say: Callable[[str], None]) -> None:
        """Give the newest checkpoint the recipe that is asked for, so that the run goes on under it.

        Its tensors stay as they are; `state.json` is replaced at once. So whatever happens from here on, the
        run is one of the new length. Where the settings are those of the run already, nothing is done.

        Args:
            changed: what differs from the run, as sentences name it.
            say: takes a sentence.

        Raises:
            UsageError: more than the length differs, or there would be nothing left to do.
        """
        state = self.checkpoint.state
        if others := [text for text in changed if not is_length(text)]:
            raise UsageError(
                f"--extend changes the length of a run alone, and {self.out} was trained with other settings "
                f"({listed(others, limit=4, separator='; ')}): repeat its settings, or start a new run from "
                f"its weights with --init {self.out} and another --out."
            )
        if self.num_steps <= self.checkpoint.step and (changed or not state.get(EXTENDED)):
            raise UsageError(
                f"{self.out} has done {counted(self.checkpoint.step, 'update')} and these settings ask for "
                f"{self.num_steps}, so that nothing is left to extend: give more --epochs or --steps."
            )
        if changed:
            write_sealed(self.checkpoint.path / STATE, {**state, **self._amended()})
            say(self._told())

    def _amended(self) -> dict[str, Any]:
        state = self.checkpoint.state
        here = {"step": self.checkpoint.step, "num_steps": state["num_steps"]}
        return {
            "recipe": to_dict(self.after),
            "num_steps": self.num_steps,
            EXTENDED: [*state.get(EXTENDED, []), here],
        }

    def _told(self) -> str:
        step, num_steps = self.checkpoint.step, int(self.checkpoint.state["num_steps"])
        last = self._rate(self.before, max(step - 1, 0), num_steps=num_steps)
        rate = self._rate(self.after, step, num_steps=self.num_steps)
        return (
            f"Extending {self.out} from step {step} of {num_steps} to {self.num_steps}: the learning rate, "
            f"last {last:.3g}, goes on at {rate:.3g}, as the schedule of {self.num_steps} has it there."
        )

    def _rate(self, recipe: Recipe, update: int, *, num_steps: int) -> float:
        config = recipe.optim.for_run(
            batch_size=recipe.train.batch_size,
            updates_per_epoch=updates_per_epoch(recipe.train, num_samples=self.num_samples),
        )
        return lr_at(update, num_updates=num_steps, config=config)


def is_length(changed: str) -> bool:
    """Return whether a difference, ``key: old -> new``, is one of how long a run is."""
    return changed.partition(":")[0] in LENGTH_KEYS


def nothing_to_extend(out: Path) -> UsageError:
    """Return what is said of a folder that holds no checkpoint."""
    return UsageError(f"{out} holds no checkpoint to extend: leave out --extend to start a run there.")
