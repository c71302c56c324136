"""Files of UMT, of its repository and of MMAction2, say here what they said there."""

import pytest
import torch

from support.fixtures import classified, expect_classified, network_of, read_fixture
from vfm.trainer.models.vit import split_mask
from vfm.trainer.weights.imported import import_weights

SIZES = {
    "data.clip_len": "num_frames",
    "model.image_px": "img_size",
    "model.patch_px": "patch_size",
    "model.dim": "embed_dim",
    "model.depth": "depth",
    "model.num_heads": "num_heads",
}
LEVELS = {"model.num_levels": "clip_return_layer", "model.level_interval": "clip_student_return_interval"}


@pytest.mark.needs("shared")
@pytest.mark.parametrize(
    ("name", "prefix", "mask", "output"),
    [
        ("umt_student_a", "param/", "input/mask", "aligned"),
        ("umt_pretrain_step_a", "param/student.", "output/mask", "student"),
    ],
)
def test_a_student_says_of_visible_tokens_what_it_said_there(shared, name, prefix, mask, output):
    fixture = read_fixture(shared, name)
    settings = fixture.settings(SIZES | LEVELS)
    found = import_weights(fixture.file(prefix=prefix), name="umt-base", settings=settings)
    assert (found.project, found.recipe.task, found.left_out) == ("umt", None, ())
    visible, _ = split_mask(fixture.tensors[mask].bool())
    with torch.no_grad():
        fixture.expect(output, network_of(found).align(fixture.tensors["input/video"], visible))


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["umt_finetune_fixedpos_a", "umt_finetune_interp_a"])
def test_classifiers_say_what_they_said_there(shared, name):
    """The reference takes any encoder to be pretrained on 8 x 14 x 14 tokens."""
    fixture = read_fixture(shared, name)
    settings = [*fixture.settings(SIZES), "model.num_levels=1", "model.pretrained_grid=8,14,14"]
    found = import_weights(fixture.file(), name="umt-base-classify", settings=settings)
    assert (found.project, found.recipe.task, found.left_out) == ("umt", "classify", ())
    expect_classified(fixture, found, clips=fixture.tensors["input/video"])


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["umt_mmaction2_a"])
def test_the_port_sees_frames_as_there_and_says_the_same(shared, name):
    fixture = read_fixture(shared, name)
    settings = [*fixture.settings(SIZES), "model.num_levels=1", "model.pretrained_grid=8,14,14"]
    found = import_weights(fixture.file(), name="umt-base-classify", settings=settings)
    assert (found.project, found.recipe.model.views) == ("mmaction2", "mmaction2")
    frames = fixture.tensors["input/frames"].permute(0, 1, 3, 4, 5, 2).flatten(0, 1)
    with torch.no_grad():
        fixture.expect("logits", classified(found, network_of(found).features({"clip": frames})))
