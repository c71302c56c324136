import pytest
import torch

from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.exported import export_weights, layout_for
from vfm.trainer.weights.files import WeightsFile
from vfm.trainer.weights.imported import import_weights

TINY, CLASSIFY = load_recipe("maskfeat-mvit-tiny"), load_recipe("maskfeat-mvit-tiny-classify")


def test_weights_come_back_bit_for_bit_with_the_constants_beside_them(tmp_path):
    state = random_state(TINY)
    theirs = export_weights(state, TINY, layout=layout_for("mmselfsup", TINY))
    assert theirs["target_generator.gaussian_kernel"].shape == (16, 16)
    norm = f"backbone.norm{len(TINY.model.pools_at)}.weight"
    assert torch.equal(theirs[norm], state["pred_head.transforms.0.0.weight"])
    again = import_weights(WeightsFile(path=tmp_path, tensors=theirs)).state
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_what_would_compute_otherwise_there_is_refused():
    told = "mmaction2 computes with model.pooling=class and these weights were trained with mean: they"
    with pytest.raises(UsageError, match=told):
        layout_for("mmaction2", CLASSIFY)
    as_there = override(CLASSIFY, ["model.pooling=class", "model.views=mmaction2"])
    assert layout_for("mmaction2", as_there).container == "state_dict"
    with pytest.raises(UsageError, match="slowfast computes with model.pooling=mean"):
        layout_for("slowfast", as_there)


def test_projects_without_such_a_network_are_refused():
    with pytest.raises(
        UsageError, match="mmselfsup has no names for a classifier .*: projects that do are mma"
    ):
        layout_for("mmselfsup", CLASSIFY)
    with pytest.raises(UsageError, match="slowfast has no names for pretraining of method vimpac: .* vimpac"):
        layout_for("slowfast", load_recipe("vimpac-tiny"))


def test_weights_of_another_network_are_refused():
    state = random_state(TINY)
    del state["cls_token"]
    with pytest.raises(UsageError, match="not of the network of recipe maskfeat-mvit-tiny: missing: cls_"):
        export_weights(state, TINY, layout=layout_for("slowfast", TINY))
