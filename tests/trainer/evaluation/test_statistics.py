import numpy as np
import pytest

from vfm.trainer.evaluation.statistics import confusion_matrix, top_k_accuracy, wilson_interval


def test_top_k_by_hand() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]], np.float32)
    labels = np.array([0, 1, 0])  # ranks 1, 2 and 3
    assert [top_k_accuracy(scores, labels, k=k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_of_equal_scores_the_first_class_counts() -> None:
    scores = np.full((2, 4), 0.25, np.float32)
    assert top_k_accuracy(scores, np.array([0, 1]), k=1) == 0.5
    assert top_k_accuracy(scores, np.array([1, 2]), k=2) == 0.5


@pytest.mark.parametrize(
    ("num_right", "num_samples", "ends"),
    [
        (8, 10, (0.4902, 0.9433)),
        (0, 10, (0.0, 0.2775)),
        (10, 10, (0.7225, 1.0)),
        (500, 1000, (0.4691, 0.5309)),
    ],
)
def test_wilson_interval(num_right: int, num_samples: int, ends: tuple[float, float]) -> None:
    """The ends solve (p - rate)² = z² p (1 - p) / n, from which the score interval is made."""
    rate = num_right / num_samples
    found = wilson_interval(rate, num_samples=num_samples)
    assert found == pytest.approx(ends, abs=5e-5)
    for end in found:
        assert (end - rate) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / num_samples, abs=1e-6)


def test_confusion_matrix_by_hand() -> None:
    found = confusion_matrix(np.array([0, 1, 1, 2, 0]), np.array([0, 0, 1, 1, 0]), num_classes=4)
    assert found.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
