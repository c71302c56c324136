"""Files of MaskFeat, of PySlowFast and of MMAction2, say here what they said there."""

import pytest
import torch

from support.fixtures import classified, network_of, read_fixture
from support.mvit import settings_of, sizes_of, sizes_of_mmlab
from vfm.trainer.weights.imported import import_weights


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["maskfeat_pretrain_a"])
def test_pretraining_predicts_what_it_predicted_there(shared, name):
    fixture = read_fixture(shared, name)
    settings = settings_of(sizes_of(fixture.config, strides="pool_q_stride_pt"))
    found = import_weights(fixture.file(), name="maskfeat-mvit-tiny", settings=settings)
    assert (found.project, found.recipe.task) == ("slowfast", None)
    assert found.left_out == tuple(sorted(n for n in fixture.file().tensors if n.startswith("hogs.")))
    with torch.no_grad():
        told = network_of(found).predict(fixture.tensors["input/video"], fixture.tensors["input/mask"].bool())
    fixture.expect("pred_masked", told)


@pytest.mark.needs("shared")
@pytest.mark.parametrize(
    ("name", "project", "pooled"),
    [
        ("maskfeat_finetune_a", "slowfast", "pool_q_stride_ft"),
        ("maskfeat_mmaction2_finetune_a", "mmaction2", "downscale_ft"),
    ],
)
def test_classifiers_say_what_they_said_there(shared, name, project, pooled):
    fixture = read_fixture(shared, name)
    of = fixture.config
    sizes = sizes_of(of, strides=pooled) if project == "slowfast" else sizes_of_mmlab(of, pooled=pooled)
    found = import_weights(fixture.file(), name="maskfeat-mvit-tiny-classify", settings=settings_of(sizes))
    assert found.project == project
    assert found.recipe.model.pooling == {"slowfast": "mean", "mmaction2": "class"}[project]
    network = network_of(found)
    with torch.no_grad():
        tokens = network.encode(network.patch_embed(fixture.tensors["input/video"]))
        pooled = tokens[:, 1:].mean(1) if network.pooling == "mean" else tokens[:, 0]
        fixture.expect("logits", classified(found, network.norm(pooled)))
