from pathlib import Path

import pytest

from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.class_names import check_same_classes
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.weights.imported import ImportedWeights

MANY = tuple(f"c{i:02d}" for i in range(12))
TEN = ", ".join(MANY[:10])


@pytest.mark.parametrize(
    ("taught", "wanted", "told"),
    [
        (MANY, MANY, None),
        (
            (),
            MANY,
            "x.pth has a head of 12 classes and does not say which they are: `vfm convert x.pth OUT "
            "--classes NAMES.txt` adds their names, one a line in the order of the head.",
        ),
        (
            MANY,
            (*MANY[:10], "c11", "c10"),
            "x.pth has the classes of DATA in another order, class 10 is c10 there and c11 here: use it on a "
            "dataset with its order.",
        ),
        (
            MANY,
            (*MANY[:11], "z"),
            f"x.pth tells {TEN} and 2 more apart and DATA has the classes {TEN} and 2 more; class 11 is c11 "
            "there and z here: use it on a dataset with its classes.",
        ),
        (
            MANY,
            MANY[:11],
            f"x.pth tells {TEN} and 2 more apart and DATA has the classes {TEN} and 1 more; class 11 is c11 "
            "there and none here: use it on a dataset with its classes.",
        ),
    ],
)
def test_classes_are_those_of_the_dataset_in_its_order(toy_dataset, taught, wanted, told):
    dataset = open_dataset(toy_dataset(classes=wanted), columns=("vq.toy",))
    recipe = load_recipe("videomae-tiny-classify")
    state = random_state(recipe, num_classes=12)
    file = ImportedWeights(path=Path("x.pth"), project="vfm", recipe=recipe, state=state, classes=taught)
    start = InitialWeights(recipe=recipe, file=file)
    if told is None:
        check_same_classes(start, dataset, named=Path("x.pth"), use="use it")
        return
    with pytest.raises(UsageError) as error:
        check_same_classes(start, dataset, named=Path("x.pth"), use="use it")
    assert str(error.value) == told.replace("DATA", str(dataset.data))
