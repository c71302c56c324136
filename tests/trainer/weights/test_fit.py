import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.probe import probing
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.fit import compare, shapes_of


def test_what_differs_is_told_by_name():
    found = {
        name: torch.zeros(shape) for name, shape in {"a": (2,), "b": (3, 1), "c": (1,), "k": (9,)}.items()
    }
    misfit = compare(found, {"a": (2,), "b": (1, 3), "d": (4,), "e": (5,)}, spared=["k", "absent"])
    assert misfit.missing == ("d", "e")
    assert misfit.unused == ("c",)
    assert misfit.reshaped == (("b", (3, 1), (1, 3)),)
    assert misfit.num_names == 4
    assert misfit.told() == "missing: d, e; unused: c; of another shape: b (3, 1), not (1, 3)"
    assert misfit.told(limit=1).startswith("missing: d and 1 more; unused: c;")
    assert compare(found, {name: tuple(t.shape) for name, t in found.items()}).told() == ""


def test_a_classifier_has_as_many_rows_as_the_state_has_classes():
    shapes = shapes_of(load_recipe("maskfeat-mvit-tiny-classify"), {"cls_fc.weight": torch.empty(7, 0)})
    assert shapes["cls_fc.bias"] == (7,)
    assert shapes["cls_fc.weight"] == (7, shapes["backbone.norm.weight"][0])
    assert "mask_token" not in shapes


def test_the_channels_of_a_teacher_come_from_the_state():
    head = {"clip_decoder.0.head.weight": torch.empty(640, 0)}
    assert shapes_of(load_recipe("umt-tiny"), head)["clip_decoder.0.norm.weight"] == (640,)
    with pytest.raises(UsageError, match="have no clip_decoder"):
        shapes_of(load_recipe("umt-tiny"), {})


def test_the_codes_of_vimpac_come_from_the_state():
    table = {"backbone.embedding.weight": torch.empty(21, 0)}
    sides = {
        f"backbone.positional_embedding.{n}_pos_embedding": torch.empty(4, 0) for n in ("height", "width")
    }
    shapes = shapes_of(load_recipe("vimpac-tiny"), table | sides)
    assert shapes["mlm_head.bias"] == (21,)
    with pytest.raises(UsageError, match="have no backbone.embedding.weight, whose rows"):
        shapes_of(load_recipe("vimpac-tiny"), sides)


def test_probes_and_headless_classifiers_are_refused():
    with pytest.raises(UsageError, match="trains a probe"):
        shapes_of(probing(load_recipe("maskfeat-mvit-tiny"), "linear"), {})
    with pytest.raises(UsageError, match=r"have no cls_fc.weight, whose rows are the classes"):
        shapes_of(load_recipe("maskfeat-mvit-tiny-classify"), {})
