from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from vfm.trainer.evaluation.report import confusion_picture, predictions_table
from vfm.trainer.evaluation.result import Predictions


def predictions(scores: list[list[float]], labels: list[int]) -> Predictions:
    return Predictions(
        keys=tuple(f"k{i}" for i in range(len(labels))),
        classes=("jump", "run", "wait"),
        labels=np.array(labels),
        scores=np.array(scores, np.float32),
    )


def test_a_row_for_each_sample() -> None:
    found = predictions([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]], [0, 1])
    assert predictions_table(found).to_pylist() == [
        {"key": "k0", "label": "jump", "predicted": "jump", "score": 0.5, "scores": [0.5, 0.25, 0.25]},
        {"key": "k1", "label": "run", "predicted": "wait", "score": 0.75, "scores": [0.125, 0.125, 0.75]},
    ]


def test_the_worst_is_the_surest_mistake() -> None:
    found = predictions([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7]], [0, 1, 0])
    assert found.worst == "k2"
    assert predictions([[0.9, 0.1, 0.0]], [0]).worst is None


@pytest.mark.parametrize("num_classes", [2, 30, 400])
def test_confusion_is_darkest_where_all_of_a_class_are_named_so(num_classes: int) -> None:
    confusion = np.eye(num_classes, dtype=np.int64) * 3
    classes = tuple(f"class {i}" for i in range(num_classes))
    with Image.open(BytesIO(confusion_picture(confusion, classes))) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    dark, light = (8, 48, 107), (247, 251, 255)  # ends of the colour map
    shares = [(pixels == color).all(axis=1).mean() for color in (dark, light)]
    assert 0 < shares[0] < shares[1] or num_classes == 2
    assert shares[0] > 0.2 / num_classes
