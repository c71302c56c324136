"""Files of ours say what they are, and one that says something else is told."""

import json
from pathlib import Path

import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.settings import override
from vfm.trainer.recipes.values import OtherVersionError
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.about import KEY, AboutWeights, about, check_classes
from vfm.trainer.weights.files import WeightsFile

SAID = AboutWeights(
    recipe=override(load_recipe("umt-tiny-classify"), ["model.dim=96", "train.seed=5"]),
    made_from="umt",
    columns={"frames": {"options": {"fps": "2"}, "tars_sha256": "x"}},
    classes=("a", "b"),
)


def file_of(metadata=None, options=None):
    return WeightsFile(path=Path("x"), tensors={}, metadata=metadata or {}, options=options or {})


def test_what_is_said_is_read_from_metadata_and_from_options():
    read = AboutWeights(
        recipe=SAID.recipe,
        made_from="umt",
        columns={"frames": {"options": {"fps": "2"}}},  # hashes of tars are of one dataset
        classes=("a", "b"),
    )
    assert about(file_of(SAID.to_metadata())) == read
    assert about(file_of(options=json.loads(json.dumps({KEY: SAID.to_dict()})))) == read
    assert about(file_of({"format": "pt"}, {"model_type": "videomae"})) is None


def test_other_versions_are_told():
    for format_ in (0, 2, "1", None):
        with pytest.raises(UsageError, match="was written by another version of vfm .format"):
            about(file_of(options={KEY: {**SAID.to_dict(), "format": format_}}))
    later = {**SAID.to_dict(), "recipe": {**SAID.to_dict()["recipe"], "method": "newer"}}
    with pytest.raises(OtherVersionError, match="written by another version of vfm"):
        about(file_of(options={KEY: later}))


def test_what_is_damaged_is_told():
    said = SAID.to_dict()
    for wrong in (
        {},
        1,
        [],
        {**said, "columns": []},
        {**said, "columns": {"vq.x": 1}},
        {**said, "classes": 1},
        {key: value for key, value in said.items() if key != "made_from"},
    ):
        with pytest.raises(UsageError, match="x does not say of which recipe it is"):
            about(file_of(options={KEY: wrong}))
    for text in ("{", "", "null"):
        with pytest.raises(UsageError, match="x does not say of which recipe it is"):
            about(file_of({KEY: text}))


def test_names_of_classes_are_one_for_each_row():
    head = {"cls_fc.weight": torch.zeros(2, 3)}
    check_classes(("a", "b"), head, path=Path("x"))
    check_classes((), head, path=Path("x"))
    check_classes((), {}, path=Path("x"))
    for classes, state, told in [
        (("a",), head, "names 1 different classes, and the head of the weights has 2"),
        (("a", "a"), head, "names 1 different"),
        (("a",), {}, "has 0"),
    ]:
        with pytest.raises(UsageError, match=told):
            check_classes(classes, state, path=Path("x"))
