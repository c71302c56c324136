"""Names of other projects become ours, and theirs again, for the states of the reference's own models."""

import json

import pytest
import torch
from safetensors.torch import load_file

from support.mvit import sizes_of, sizes_of_mmlab
from support.weights import random_state
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe, recipe_names
from vfm.trainer.weights import layouts
from vfm.trainer.weights.files import WeightsFile
from vfm.trainer.weights.imported import import_weights
from vfm.trainer.weights.layout import Layout, Renamed


def layout_of(project, task):
    (chosen,) = (
        layout
        for layout in layouts.load_all()
        if (layout.name, layout.method, layout.task) == (project, "maskfeat", task)
    )
    return chosen


@pytest.mark.needs("shared")
@pytest.mark.parametrize(
    ("fixture", "project", "task", "pooled"),
    [
        ("maskfeat_pretrain_a", "slowfast", None, "pool_q_stride_pt"),
        ("maskfeat_finetune_a", "slowfast", "classify", "pool_q_stride_ft"),
        ("maskfeat_mmselfsup_pretrain_a", "mmselfsup", None, "downscale_pt"),
        ("maskfeat_mmaction2_finetune_a", "mmaction2", "classify", "downscale_ft"),
    ],
)
def test_names_are_ours_and_theirs_again(shared, fixture, project, task, pooled):
    config = json.loads((shared / "golden" / f"{fixture}.json").read_text())["config"]
    sizes = (
        sizes_of(config, strides=pooled) if project == "slowfast" else sizes_of_mmlab(config, pooled=pooled)
    )
    tensors = load_file(shared / "golden" / f"{fixture}.safetensors")
    theirs = {k.removeprefix("param/"): t for k, t in tensors.items() if k.startswith("param/")}
    layout = layout_of(project, task)
    pools_at = ",".join(map(str, sizes.pools_at))
    recipe = override(
        load_recipe(f"maskfeat-mvit-tiny{'-classify' if task else ''}"), [f"model.pools_at={pools_at}"]
    )

    ours = layout.to_ours(theirs, recipe)
    constants = layout.constants(recipe)
    again = layout.to_theirs(
        {name: tensor for name, tensor in ours.items() if not name.startswith(("hogs.", "target_"))}, recipe
    )

    assert set(layout.marks) <= theirs.keys()
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[name], theirs[name]) for name in theirs.keys() - constants.keys())
    for name, constant in constants.items():
        torch.testing.assert_close(constant, theirs[name], atol=1e-9, rtol=1e-5)
    prefix = "backbone." if task else ""
    assert f"{prefix}patch_embed.proj.weight" in ours
    assert ("cls_fc.weight" if task else "pred_head.projections.0.weight") in ours
    assert (f"{prefix}norm.weight" if task else "pred_head.transforms.0.0.weight") in ours


def test_the_first_beginning_that_fits_counts_and_others_are_kept():
    layout = Layout(
        name="x",
        method="maskfeat",
        task=None,
        container="model",
        marks=(),
        renamed=lambda _recipe: (
            Renamed(theirs="a.norm2.", ours="last."),
            Renamed(theirs="a.", ours="b."),
        ),
        constants=lambda _recipe: {"fixed": torch.ones(2)},
    )
    state = {name: torch.zeros(1) for name in ("a.norm2.w", "a.norm1.w", "other")}
    recipe = load_recipe("maskfeat-mvit-tiny")

    ours = layout.to_ours(state, recipe)
    assert sorted(ours) == ["b.norm1.w", "last.w", "other"]
    assert sorted(layout.to_theirs(ours, recipe)) == ["a.norm1.w", "a.norm2.w", "fixed", "other"]


@pytest.mark.parametrize(
    "layout", layouts.load_all(), ids=lambda layout: f"{layout.name}-{layout.method}-{layout.task}"
)
def test_files_of_every_layout_are_told_from_all_others(layout, tmp_path):
    names = [name for name in recipe_names() if name.endswith(("-tiny", "-tiny-classify", "-tiny-retrieve"))]
    recipes = [
        override(recipe, layout.settings) for recipe in map(load_recipe, names) if fits(recipe, layout)
    ]
    state = random_state(recipes[0])
    theirs = layout.to_theirs(state, recipes[0])
    found = import_weights(WeightsFile(path=tmp_path, tensors=theirs))
    assert (found.project, found.recipe) == (layout.name, recipes[0])
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[name], tensor) for name, tensor in state.items())


def fits(recipe, layout):
    return (recipe.method, recipe.task) == (layout.method, layout.task)


def test_every_project_has_a_layout():
    assert {layout.name for layout in layouts.load_all()} == set(layouts.names())
