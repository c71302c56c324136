"""The run whose weights another run starts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.wording import listed
from vfm.trainer.engine.checkpoint import Checkpoint
from vfm.trainer.engine.checkpoint_state import EMA, MODEL
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import differences
from vfm.trainer.runs.folder import RunOptions, check_average, newest_checkpoint, recipe_of, timed


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialWeights:
    """What a run starts from.

    Attributes:
        recipe: of the run that trained them; where new ones are drawn, the recipe to draw them by.
        checkpoint: that has them; None draws new ones.
        is_average: whether it is the average of its weights that is meant.
    """

    recipe: Recipe
    checkpoint: Checkpoint | None = None
    is_average: bool = False

    @property
    def origin(self) -> dict[str, Any]:
        """What tells these weights from others."""
        if self.checkpoint is None:
            return {}
        file = self.checkpoint.state["files"][EMA if self.is_average else MODEL]
        return {"sha256": file["sha256"], "step": self.checkpoint.step}

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of the checkpoint, which there is."""
        assert self.checkpoint is not None, "new weights are drawn, not loaded"
        return self.checkpoint.average() if self.is_average else self.checkpoint.model()

    def check_apart(self, out: Path) -> None:
        """Refuse to start a run in ``out`` from that run itself.

        Raises:
            UsageError: the weights lie in that folder.
        """
        if self.checkpoint is not None and out.resolve() in self.checkpoint.path.resolve().parents:
            raise UsageError(
                f"--init names the run in --out itself, {out}: repeat the command that started it to go on "
                "with it, with --extend to train it for longer, or choose another --out."
            )

    def told(self, recipe: Recipe) -> str:
        """Return the sentence that a run by ``recipe`` begins with; empty where new weights are drawn.

        Settings of the network that leave every shape as it is, such as heads or the size of a frame, may
        differ; what the weights meant to the one is then not all that they mean to the other. The head of a
        finetuned run is never among them: its classes may be others.
        """
        if self.checkpoint is None:
            return ""
        changed = [text for text in differences(self.recipe, recipe) if text.startswith("model.")]
        others = f", with {listed(changed, limit=4, separator='; ')}" if changed else ""
        what = "the average of the weights" if self.is_average else "the weights"
        num_classes = len(self.checkpoint.state["classes"])
        head = f", but for its head of {num_classes} classes" if self.recipe.task is not None else ""
        return f"Starting from {what} of {self.checkpoint.path}{head}{others}."


def from_run(folder: Path, *, options: RunOptions, averaged: bool = False) -> InitialWeights:
    """Start from the newest sound checkpoint of a run: its weights, or the average of them.

    Raises:
        UsageError: the run has no checkpoint, or keeps no average.
    """
    checkpoint = newest_checkpoint(folder, options=options)
    if averaged:
        check_average(checkpoint, run_folder=folder)
    recipe = timed(recipe_of(checkpoint), checkpoint=checkpoint)
    return InitialWeights(recipe=recipe, checkpoint=checkpoint, is_average=averaged)


def check_pretrained(start: InitialWeights, *, recipe: Recipe) -> None:
    """Refuse weights that pretraining by ``recipe`` cannot go on with.

    Raises:
        UsageError: they were finetuned, which has no heads or decoder, or are of another method.
    """
    found = start.checkpoint
    if found is None:
        return
    if start.recipe.task is not None:
        raise UsageError(
            f"{found.path} was finetuned by {start.recipe.name}, without the heads that pretraining needs: "
            "give --init a pretrained run."
        )
    if start.recipe.method != recipe.method:
        raise UsageError(
            f"{found.path} was pretrained by {start.recipe.name}, whose network {recipe.name} does not have: "
            f"choose a recipe of method {start.recipe.method}, or a run of method {recipe.method} for --init."
        )
