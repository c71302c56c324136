"""What a run finds, while it trains, of samples that it does not learn from."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

LOSS = "val_loss"
_SCORES = ("val_accuracy", "val_t2v_r1")  # what a run is judged by, before its loss, the higher the better
_PATIENCE = 3  # validations in a row without a lower loss, before anything is said


class Measure(Protocol):
    """Measures what learns on held-out samples."""

    def __call__(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Return figures by name, ``val_loss`` among them; None where any rank was asked to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """When and how a run is measured.

    Attributes:
        every: updates from one time to the next; the last update is always followed by one.
        measure: does it; every rank calls it at the same point.
    """

    every: int
    measure: Measure


@dataclass(slots=True, kw_only=True)
class Standing:
    """What the validations of a run have found so far; part of its checkpoints.

    Attributes:
        is_due: whether one was broken off, and is to be done before anything else.
        best: the highest accuracy or recall on held-out samples; where nothing is counted, the lowest loss,
            negated.
        best_step: updates done then.
        lowest: the lowest loss on held-out samples.
        lowest_step: updates done then.
        lowest_train: mean training loss in the updates before that validation.
        num_since: validations since then.
        train_sum: sum of the training losses of all updates since the last validation.
        train_updates: how many they are.
        is_told: whether it was said that samples are learned by heart.
    """

    is_due: bool = False
    best: float | None = None
    best_step: int = 0
    lowest: float | None = None
    lowest_step: int = 0
    lowest_train: float = 0.0
    num_since: int = 0
    train_sum: float = 0.0
    train_updates: int = 0
    is_told: bool = False

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """Return the standing of `state`; a new one where it is empty."""
        return cls(**state)

    def state(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    def learn(self, loss: float, *, num_updates: int) -> None:
        """Take the mean training loss of some updates."""
        self.train_sum += loss * num_updates
        self.train_updates += num_updates

    def add(self, found: dict[str, float], *, step: int) -> tuple[bool, str]:
        """Take the figures of a validation.

        Returns:
            Whether they are the best so far, and a sentence where samples are learned by heart, said once:
            the loss on held-out samples has not fallen in three validations, and that in training has.
        """
        loss = found[LOSS]
        score = next((found[name] for name in _SCORES if name in found), -loss)
        train_loss = self.train_sum / max(self.train_updates, 1)
        self.train_sum, self.train_updates = 0.0, 0
        self.num_since += 1
        if self.lowest is None or loss < self.lowest:
            self.lowest, self.lowest_step, self.lowest_train, self.num_since = loss, step, train_loss, 0
        told = self._doubt(loss, train_loss=train_loss)
        is_best = self.best is None or score > self.best
        if is_best:
            self.best, self.best_step = score, step
        return is_best, told

    def _doubt(self, loss: float, *, train_loss: float) -> str:
        if self.is_told or self.num_since < _PATIENCE or train_loss >= self.lowest_train:
            return ""
        self.is_told = True
        return (
            f"The loss on held-out samples has not fallen since step {self.lowest_step} "
            f"({self.lowest:.3g} then, {loss:.3g} now) while that in training has "
            f"({self.lowest_train:.3g} then, {train_loss:.3g} now): samples are learned by heart. "
            "The best weights so far are kept in the folder best of the run."
        )
