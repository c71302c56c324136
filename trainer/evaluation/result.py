"""The result of an evaluation: what was said of each sample, and what follows from it."""

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vfm.shards.reading.dataset import Dataset
from vfm.shards.splits import VAL, canonical_split
from vfm.trainer.data.labels import majority_rate, sample_list_sha256
from vfm.trainer.evaluation.statistics import confusion_matrix, top_k_accuracy, wilson_interval
from vfm.trainer.recipes.requirements import Fit

Protocol = Literal["multiview", "knn", "linear", "attentive", "retrieval", "multiple-choice"]
Views = Literal["umt", "slowfast", "mmaction2"]
_MANY = 5  # of up to five classes one of the five best is always the right one


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What to evaluate by.

    Attributes:
        protocol: ``multiview`` (a classifier's own head), ``knn`` (neighbours in the train split),
            ``linear`` or ``attentive`` (a probe that learns from the train split), ``retrieval`` (videos by
            captions and captions by videos), or ``multiple-choice`` (the right one of a few sentences).
        num_clips: clips of each sample, spread over it.
        num_crops: squares of each clip, from one end of the long side to the other.
        split: which samples to count, under any name of a split; ``all`` counts every one.
        ema: whether the average of the weights is counted, in place of the weights.
        views: how UMT's encoders see frames; None as the recipe has it.
    """

    protocol: Protocol = "multiview"
    num_clips: int = 5
    num_crops: int = 1
    split: str = VAL
    ema: bool = False
    views: Views | None = None

    def __post_init__(self) -> None:
        """Call the split by its one name, so that reports of the same samples have the same name."""
        object.__setattr__(self, "split", canonical_split(self.split))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What was said of samples that have a class.

    Attributes:
        keys: of N samples.
        classes: the names of C classes.
        labels: the true class of each, int64 [N].
        scores: of each class, float32 [N, C] in 0..1, rows sum to 1.
    """

    keys: tuple[str, ...]
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Return the class with the highest score of each."""
        best: npt.NDArray[np.int64] = self.scores.argmax(axis=1)
        return best

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Return how many samples of each class (rows) were named as each class (columns)."""
        return confusion_matrix(self.predicted, self.labels, num_classes=len(self.classes))

    @property
    def worst(self) -> str | None:
        """Return the sample that got a wrong class with the highest score; None where none did."""
        is_wrong = self.predicted != self.labels
        return self.keys[int(np.argmax(self.scores.max(axis=1) * is_wrong))] if is_wrong.any() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """How a class fared.

    Attributes:
        label: its name.
        num_samples: of this class.
        accuracy: share of these that were named so, 0..1; None where there is no sample.
    """

    label: str
    num_samples: int
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateResult:
    """How the heads of one learning rate fared.

    Attributes:
        rate: the learning rate.
        left_out_accuracy: of the head that learned from four fifths, on the last fifth, 0..1.
        accuracy: of the head that learned from all, on the samples counted, 0..1.
    """

    rate: float
    left_out_accuracy: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Which head of a probe was counted, and what the others would have reached.

    Attributes:
        rate: the learning rate that did best on the samples left out.
        step: updates the probe has seen.
        num_left_out: samples left out to choose by.
        rates: of every learning rate.
    """

    rate: float
    step: int
    num_left_out: int
    rates: tuple[RateResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What every result of one run, or file of weights, under one protocol tells.

    Attributes:
        run: the run's folder, or the file or folder of weights.
        step: updates its checkpoint had seen; None where a file does not say.
        protocol: see `EvaluateOptions`.
        num_clips: clips of each sample.
        num_crops: squares of each clip.
        data: the dataset's folder.
        split: the split evaluated; ``all`` is every sample.
        ema: whether the average of the weights was.
        num_missing: sources of the split that gave no sample, so that nobody could be asked; None where the
            dataset's plan is lost.
        num_trained_on: samples counted that the run has learned from; None where nobody knows, see
            `vfm.trainer.evaluation.trained_on`.
        fit: how the clips of these samples are.
        sample_list_sha256: of the samples counted and what is right of each; results over equal lists can be
            compared.
    """

    run: str
    step: int | None
    protocol: str
    num_clips: int
    num_crops: int
    data: str
    split: str
    ema: bool
    num_missing: int | None
    num_trained_on: int | None
    fit: Fit
    sample_list_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values of all fields but those that are written `apart`."""
        return {
            each.name: _json_value(getattr(self, each.name))
            for each in fields(self)
            if "apart" not in each.metadata
        }


def fields_of(how: EvaluateOptions, *, path: Path, step: int | None, data: Path) -> dict[str, Any]:
    """Return the fields of a `Result` that tell which weights were evaluated on what, and how.

    Args:
        how: they were.
        path: of the weights.
        step: of these; None where a file does not say.
        data: the dataset's folder.
    """
    names = ("num_clips", "num_crops", "split", "ema")
    asked = {name: getattr(how, name) for name in names}
    return {**asked, "run": str(path), "step": step, "data": str(data)}


def apart() -> Any:
    """Return the field of a `Result` that has a row for each sample, in a file of its own."""
    return field(metadata={"apart": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Result):
    """How well classes are told apart.

    Attributes:
        protocol: see `EvaluateOptions`.
        views: see `EvaluateOptions`.
        accuracy: share of samples whose class had the highest score (top-1), 0..1.
        accuracy_interval: ends of its 95 % interval, by Wilson's score.
        top5_accuracy: share of samples whose class was among the five best; None with five classes or fewer.
        majority_rate: what naming the most frequent class of these samples would reach.
        chance_rate: what drawing a class at random would reach.
        num_samples: samples counted.
        num_unlabelled: samples of the split left out because they have no label.
        per_class: how each class fared, in the order of the classes.
        probe: how its head was chosen; None where there is no probe.
        predictions: what was said of each sample.
    """

    protocol: Protocol
    views: Views | None = None
    accuracy: float
    accuracy_interval: tuple[float, float]
    top5_accuracy: float | None
    majority_rate: float
    chance_rate: float
    num_samples: int
    num_unlabelled: int
    per_class: tuple[ClassResult, ...]
    probe: ProbeResult | None = None
    predictions: Predictions = apart()


def scored(scores_NC: Tensor, dataset: Dataset) -> dict[str, Any]:
    """Return the fields of an `Evaluation` that follow from class scores.

    Args:
        scores_NC: float32, of each sample of the dataset.
        dataset: the samples counted, all with a class.
    """
    found = Predictions(
        keys=tuple(dataset.keys),
        classes=dataset.classes,
        labels=dataset.class_indices,
        scores=scores_NC.numpy(),
    )
    labels, num_classes = found.labels, len(found.classes)
    accuracy = top_k_accuracy(found.scores, labels, k=1)
    return {
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(accuracy, num_samples=len(labels)),
        "top5_accuracy": top_k_accuracy(found.scores, labels, k=_MANY) if num_classes > _MANY else None,
        "majority_rate": majority_rate(labels),
        "chance_rate": 1 / num_classes,
        "num_samples": len(labels),
        "sample_list_sha256": sample_list_sha256(dataset),
        "per_class": _per_class(found),
        "predictions": found,
    }


def _per_class(found: Predictions) -> tuple[ClassResult, ...]:
    confusion = found.confusion
    totals, rights = confusion.sum(axis=1).tolist(), confusion.diagonal().tolist()
    return tuple(
        ClassResult(label=label, num_samples=total, accuracy=right / total if total else None)
        for label, total, right in zip(found.classes, totals, rights, strict=True)
    )


def _json_value(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: _json_value(getattr(value, each.name)) for each in fields(value)}
    return [_json_value(each) for each in value] if isinstance(value, tuple) else value
