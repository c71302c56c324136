"""What can be told of class scores beside the true classes."""

import math

import numpy as np
import numpy.typing as npt

_NORMAL_95 = 1.959963984540054  # how many standard deviations hold 95 % of a normal distribution


def top_k_accuracy(scores_NC: npt.NDArray[np.float32], labels_N: npt.NDArray[np.int64], *, k: int) -> float:
    """Return the share of samples whose class is among the ``k`` with the highest scores.

    Where scores are equal the class that comes first counts as the higher, as in ``argmax``.
    """
    best = np.argsort(-scores_NC, axis=1, kind="stable")[:, :k]
    return float((best == labels_N[:, None]).any(axis=1).mean())


def wilson_interval(rate: float, *, num_samples: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share, by Wilson's score (JASA 22, 1927).

    It stays within 0..1 and holds for few samples too. It knows nothing of samples that resemble each other,
    such as segments of one video: then the truth is less certain.

    Args:
        rate: the share, 0..1.
        num_samples: of how many it is the share, 1 or more.
    """
    z2 = _NORMAL_95**2
    middle = (rate + z2 / (2 * num_samples)) / (1 + z2 / num_samples)
    half = math.sqrt(rate * (1 - rate) / num_samples + z2 / (4 * num_samples**2))
    half *= _NORMAL_95 / (1 + z2 / num_samples)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def confusion_matrix(
    predicted_N: npt.NDArray[np.int64], labels_N: npt.NDArray[np.int64], *, num_classes: int
) -> npt.NDArray[np.int64]:
    """Return how many samples of each class (rows) were named as each class (columns)."""
    flat = np.bincount(labels_N * num_classes + predicted_N, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)
