"""Files of other projects are recognised, and fit strictly."""

import pytest
import torch

from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.exported import layout_for
from vfm.trainer.weights.files import WeightsFile
from vfm.trainer.weights.imported import import_weights

TINY = load_recipe("maskfeat-mvit-tiny")


def file_of(tensors, path, **metadata):
    return WeightsFile(path=path / "file.pth", tensors=dict(tensors), metadata=metadata)


def written(recipe, project, path, **changed):
    """Return a file of a project, and our state in it."""
    state = random_state(recipe)
    tensors = layout_for(project, recipe).to_theirs(state, recipe)
    return file_of({**tensors, **changed}, path), state


@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("maskfeat-mvit-tiny", "slowfast"),
        ("maskfeat-mvit-tiny", "mmselfsup"),
        ("maskfeat-mvit-tiny-classify", "slowfast"),
        ("maskfeat-mvit-s-classify-mmaction2", "mmaction2"),
    ],
)
def test_the_project_and_the_recipe_are_found_out(name, project, tmp_path):
    file, state = written(load_recipe(name), project, tmp_path)
    found = import_weights(file)
    assert (found.project, found.recipe.name) == (project, name)
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[key], tensor) for key, tensor in state.items())
    assert f"as {project} saves it, with the network of recipe {name}" in found.told


def test_recipes_are_trained_as_the_project_trains(tmp_path):
    file, _ = written(TINY, "mmselfsup", tmp_path)
    assert import_weights(file).recipe.objective.hog == "mmselfsup"
    assert import_weights(file, settings=["objective.hog=maskfeat"]).recipe == TINY
    assert import_weights(written(TINY, "slowfast", tmp_path)[0]).recipe == TINY


def test_numbers_of_half_the_width_become_float32(tmp_path):
    file, _ = written(TINY, "slowfast", tmp_path)
    half = file_of({name: tensor.half() for name, tensor in file.tensors.items()}, tmp_path)
    found = import_weights(half)
    assert {tensor.dtype for tensor in found.state.values()} == {torch.float32}
    assert torch.equal(found.state["cls_token"], file.tensors["cls_token"].half().float())


def test_files_of_ours_say_what_they_are(tmp_path):
    recipe = override(TINY, ["model.dim=8", "train.seed=5"])
    state = random_state(recipe)
    file = file_of(state, tmp_path, **AboutWeights(recipe=recipe, made_from="slowfast").to_metadata())
    found = import_weights(file)
    assert (found.project, found.recipe, found.left_out) == ("vfm", recipe, ())
    assert import_weights(file, project="vfm").recipe == recipe
    with pytest.raises(UsageError, match="says of which recipe it is: leave out --recipe and --set"):
        import_weights(file, name="maskfeat-mvit-s")
    del file.tensors["cls_token"]
    with pytest.raises(UsageError, match=r"does not fit its own recipe .* \(missing: cls_token\)"):
        import_weights(file)


def test_every_name_that_does_not_fit_is_told(tmp_path):
    file, _ = written(TINY, "slowfast", tmp_path, extra=torch.ones(1), odd=torch.ones(1))
    del file.tensors["blocks.0.norm1.bias"], file.tensors["blocks.0.norm1.weight"]
    file.tensors["mask_token"] = torch.ones(3)
    dim = TINY.model.dim
    told = (
        "missing: blocks.0.norm1.bias, blocks.0.norm1.weight; unused: extra, odd; "
        rf"of another shape: mask_token \(3,\), not \(1, 1, {dim}\)"
    )
    with pytest.raises(UsageError, match=rf"is not of the network of recipe maskfeat-mvit-tiny \({told}\)"):
        import_weights(file, name="maskfeat-mvit-tiny")
    with pytest.raises(UsageError, match=rf"no recipe's network; the nearest is maskfeat-mvit-tiny \({told}"):
        import_weights(file)


def test_a_file_of_no_known_layout_names_the_nearest(tmp_path):
    file, _ = written(TINY, "slowfast", tmp_path)
    del file.tensors["pred_head.projections.0.weight"]
    told = "the nearest is slowfast, pretraining of method maskfeat, of which it lacks pred_head.projections"
    with pytest.raises(UsageError, match=told):
        import_weights(file)
    with pytest.raises(UsageError, match="the nearest is slowfast, "):
        import_weights(file_of({"x": torch.ones(1)}, tmp_path), project="slowfast")
    with pytest.raises(UsageError, match="not a file of caffe that .*: choose huggingface, mmaction2, mm"):
        import_weights(file, project="caffe")


def test_a_recipe_of_another_task_is_refused(tmp_path):
    file, _ = written(TINY, "slowfast", tmp_path)
    with pytest.raises(
        UsageError, match="holds pretraining by maskfeat, and maskfeat-mvit-tiny-classify is no"
    ):
        import_weights(file, name="maskfeat-mvit-tiny-classify")


def test_a_checkpoint_with_other_strides_is_refused(tmp_path):
    file, _ = written(TINY, "slowfast", tmp_path)
    with pytest.raises(UsageError, match=r"rel_pos_h \(\d+, \d+\), not \(\d+, \d+\)"):
        import_weights(file, name="maskfeat-mvit-tiny", settings=["model.kv_stride=2"])
