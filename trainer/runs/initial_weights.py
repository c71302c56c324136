"""The weights that a run starts from: those of another run, or of a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.io.hashing import sha256_file
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import listed
from vfm.trainer import methods
from vfm.trainer.engine.checkpoint import Checkpoint
from vfm.trainer.engine.checkpoint_state import EMA, MODEL
from vfm.trainer.recipes.columns import TEXT, column_of_kind, learns_classes, reads_captions
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import differences, flatten
from vfm.trainer.recipes.values import written
from vfm.trainer.runs.folder import (
    RunOptions,
    check_average,
    check_columns,
    newest_checkpoint,
    recipe_of,
    timed,
)
from vfm.trainer.video_text.model import VideoTextPackage
from vfm.trainer.weights.bert import PretrainedBert
from vfm.trainer.weights.files import PICKLES, SAFETENSORS, read_weights, weights_in
from vfm.trainer.weights.fit import HEAD
from vfm.trainer.weights.imported import ImportedWeights, import_weights

STARTS_FROM = "STARTS_FROM"  # in the package of a method: others whose pretraining it goes on with


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialWeights:
    """What a run starts from.

    Attributes:
        recipe: of the run that trained them; where new ones are drawn, the recipe to draw them by.
        checkpoint: that has them.
        is_average: whether it is the average of its weights that is meant.
        file: that has them; where neither has, new ones are drawn.
        keeps_head: whether finetuning begins with the head of a classifier too.
        bert: what captions are read with at first, in place of what these weights have for it.
    """

    recipe: Recipe
    checkpoint: Checkpoint | None = None
    is_average: bool = False
    file: ImportedWeights | None = None
    keeps_head: bool = False
    bert: PretrainedBert | None = None

    @property
    def path(self) -> Path | None:
        """The checkpoint or the file; None where new weights are drawn."""
        found = self.checkpoint or self.file
        return None if found is None else found.path

    @property
    def step(self) -> int | None:
        """Updates that a run has seen; None where a file has the weights, or new ones are drawn."""
        return None if self.checkpoint is None else self.checkpoint.step

    @property
    def origin(self) -> dict[str, Any]:
        """What tells these weights from others."""
        head: dict[str, Any] = {"keeps_head": True} if self.keeps_head else {}
        head |= {} if self.bert is None else {"words_sha256": self.bert.sha256}
        if self.file is not None:
            return {"sha256": sha256_file(self.file.path), **head}
        if self.checkpoint is None:
            return head
        file = self.checkpoint.state["files"][EMA if self.is_average else MODEL]
        return {"sha256": file["sha256"], "step": self.checkpoint.step, **head}

    @property
    def columns(self) -> Mapping[str, Any]:
        """What they were trained on, as `columns_of` gives it; empty where a file does not say."""
        if self.file is not None:
            return self.file.columns
        return {} if self.checkpoint is None else self.checkpoint.state["columns"]

    @property
    def is_encoder(self) -> bool:
        """Whether it is the encoder of clips alone, of a pretraining or a retriever."""
        return self.file is not None and self.file.is_encoder

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the head; empty where none are known."""
        if self.file is not None:
            return self.file.classes
        has_names = self.checkpoint is not None and self.has_head
        return tuple(self.checkpoint.state["classes"]) if self.checkpoint and has_names else ()

    @property
    def has_head(self) -> bool:
        """Whether classes have been learned."""
        return learns_classes(self.recipe) and not self.is_encoder

    @property
    def num_classes(self) -> int:
        """How many classes the head has, where there is one."""
        if self.checkpoint is not None:
            return len(self.checkpoint.state["classes"])
        return len(self.weights()[f"{HEAD}weight"])

    def check_columns(self, recipe: Recipe, dataset: Dataset, *, say: Callable[[str], None]) -> None:
        """Refuse a dataset with other columns than they were trained on; say where this is not known.

        Raises:
            UsageError: codes or captions are of other words, or these weights know no words.
        """
        if self.path is None or self.recipe.method != recipe.method:  # the latter reads frames alone
            return
        if self.file is not None and reads_captions(recipe):
            _check_words(self.file, recipe=recipe, dataset=dataset)
        if self.columns:
            check_columns(self.columns, path=self.path, recipe=recipe, dataset=dataset)
        elif stored := [name for name in recipe.data.columns if name != FRAMES]:
            say(
                f"{self.path} does not say what it was trained on beside frames; it is taken for granted "
                f"that {listed(stored, limit=4)} is the same."
            )

    def weights(self) -> dict[str, Tensor]:
        """Return the weights, which are not new."""
        if self.file is not None:
            return self.file.state
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
        classifier is among them only where it is kept: its classes may be others.
        """
        bert = "" if self.bert is None else f"what {recipe.name} has of the BERT {self.bert.path}"
        if self.path is None:
            return f"Starting from {bert}." if bert else ""
        # Of networks of two methods, what only one of them has is no change.
        both = flatten(self.recipe).keys() & flatten(recipe).keys()
        is_other = self.recipe.method != recipe.method
        changed = [
            text
            for text in differences(self.recipe, recipe)
            if text.startswith("model.") and (not is_other or text.partition(":")[0] in both)
        ]
        others = f", with {listed(changed, limit=4, separator='; ')}" if changed else ""
        what = "the average of the weights" if self.is_average else "the weights"
        kept = "and keeping its" if self.keeps_head else "but for its"
        head = f", {kept} head of {self.num_classes} classes" if self.has_head else ""
        return f"Starting from {what} of {self.path}{head}{others}{f' and {bert}' if bert else ''}."


def _check_words(file: ImportedWeights, *, recipe: Recipe, dataset: Dataset) -> None:
    """Refuse to read captions with the weights of a file that know no words, or another number of words."""
    if file.is_encoder:
        raise UsageError(
            f"{file.path} is an encoder of clips alone, which knows no words: give the run or the file that "
            "it was exported from."
        )
    package = cast("VideoTextPackage", methods.load(file.recipe.method))
    num_words, column = package.vocab_size_in(file.state), column_of_kind(recipe, TEXT)
    if num_words != (vocab_size := dataset.manifest.columns[column].options["vocab_size"]):
        raise UsageError(
            f"{file.path} knows {num_words} words, and column {column} of {dataset} has ids of a vocabulary "
            f"of {vocab_size}: make the column with the vocabulary that the weights were trained with."
        )


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


def from_path(path: Path, *, options: RunOptions, averaged: bool = False) -> InitialWeights:
    """Start from a run, or from a file or folder of weights that `vfm convert` wrote or takes.

    Raises:
        UsageError: see `from_run` and `vfm.trainer.weights.imported.import_weights`.
    """
    if not path.exists() and path.suffix in (SAFETENSORS, *PICKLES):
        raise UsageError(f"{path} does not exist: name a run, or a file or folder of weights.")
    if not path.is_file() and weights_in(path) is None:
        return from_run(path, options=options, averaged=averaged)
    if averaged:
        raise UsageError(f"{path} has one set of weights: leave out --ema.")
    found = import_weights(read_weights(path))
    options.say(found.told)
    return InitialWeights(recipe=found.recipe, file=found)


def check_strides(start: InitialWeights, *, recipe: Recipe) -> None:
    """Refuse weights of a network with other strides, whose tables of positions could be resized.

    Raises:
        UsageError: a stride differs, apart from those that finetuning changes on purpose.
    """
    own = getattr(recipe.model, "OF_TRAINING", ()) if recipe.task is not None else ()
    for name in getattr(recipe.model, "STRIDES", ()):
        before, after = getattr(start.recipe.model, name), getattr(recipe.model, name)
        if start.path is not None and name not in own and before != after:
            raise UsageError(
                f"{start.path} was trained with model.{name}={written(before)}, and {recipe.name} has "
                f"{written(after)}, with which its tokens are of other places: set model.{name} as it was."
            )


def check_pretrained(start: InitialWeights, *, recipe: Recipe) -> None:
    """Refuse weights that pretraining by ``recipe`` cannot go on with.

    Raises:
        UsageError: they were finetuned, which has no heads or decoder, or are of another method.
    """
    if start.path is None:
        return
    if start.recipe.task is not None:
        raise UsageError(
            f"{start.path} was finetuned by {start.recipe.name}, without the heads that pretraining needs: "
            "give --init a pretrained run."
        )
    if start.is_encoder:
        raise UsageError(
            f"{start.path} is an encoder alone, without the heads that pretraining needs: give --init the "
            "run that it was exported from."
        )
    if start.recipe.method not in (recipe.method, *getattr(methods.load(recipe.method), STARTS_FROM, ())):
        raise UsageError(
            f"{start.path} was pretrained by {start.recipe.name}, whose network {recipe.name} does not have: "
            f"choose a recipe of method {start.recipe.method}, or a run of method {recipe.method} for --init."
        )
    check_strides(start, recipe=recipe)
