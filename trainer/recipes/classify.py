"""The numbers of downstream tasks, apart from the tasks so that listing recipes needs no torch.

A task is a file ``trainer/tasks/<name>.py`` with ``build(recipe, dataset)`` that returns a module in the
shape of `vfm.trainer.method.Method`: the training loop cannot tell it from a pretraining method.
"""

from dataclasses import dataclass

from vfm.shards.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyConfig:
    """Classification of a whole sample.

    Attributes:
        last_dropout: probability that a feature is dropped before the classifying layer.
        label_smoothing: share of the target given to all classes alike.
    """

    last_dropout: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name in ("last_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"objective.{name} is {getattr(self, name)}, but must be in [0, 1).")
