"""Names of other projects become ours, and theirs again, for the states of the reference's own models."""

import importlib
import json

import pytest
import torch
from safetensors.torch import load_file

from vfm.trainer.weights.layout import Layout, Renamed


def layout_of(project: str, task: str | None) -> Layout:
    found = importlib.import_module(f"vfm.trainer.weights.layouts.{project}").LAYOUTS
    (chosen,) = (layout for layout in found if (layout.method, layout.task) == ("maskfeat", task))
    return chosen


@pytest.mark.needs("shared")
@pytest.mark.parametrize(
    ("fixture", "project", "task", "stages"),
    [
        ("maskfeat_pretrain_a", "slowfast", None, "pool_q_stride_pt"),
        ("maskfeat_finetune_a", "slowfast", "classify", "pool_q_stride_ft"),
        ("maskfeat_mmselfsup_pretrain_a", "mmselfsup", None, "downscale_pt"),
        ("maskfeat_mmaction2_finetune_a", "mmaction2", "classify", "downscale_ft"),
    ],
)
def test_names_are_ours_and_theirs_again(shared, fixture, project, task, stages):
    config = json.loads((shared / "golden" / f"{fixture}.json").read_text())["config"]
    pooled = config[stages]
    num_stages = sum(stride[-1] > 1 for stride in pooled) if isinstance(pooled[0], list) else len(pooled)
    tensors = load_file(shared / "golden" / f"{fixture}.safetensors")
    theirs = {k.removeprefix("param/"): t for k, t in tensors.items() if k.startswith("param/")}
    layout = layout_of(project, task)

    ours = layout.to_ours(theirs, stages=num_stages)
    again = layout.from_ours(ours, stages=num_stages)

    learned = {name for name in theirs if not name.startswith(("hogs.", "target_generator."))}
    assert set(again) == learned
    assert all(torch.equal(again[name], theirs[name]) for name in learned)
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
        renamed=(Renamed(theirs="a.norm{stages}.", ours="last."), Renamed(theirs="a.", ours="b.")),
        constants=("fixed",),
    )
    state = {name: torch.zeros(1) for name in ("a.norm2.w", "a.norm1.w", "other", "fixed.k")}

    assert sorted(layout.to_ours(state, stages=2)) == ["b.norm1.w", "last.w", "other"]
