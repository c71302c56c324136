"""Files of VideoMAE say here what they said there."""

import pytest
import torch

from support.fixtures import expect_classified, network_of, read_fixture
from vfm.trainer.weights.imported import import_weights

SIZES = {"model.image_px": "img_size", "model.patch_px": "patch_size", "model.tubelet": "tubelet_size"}
PRETRAINING = SIZES | {
    "data.clip_len": "num_frames",
    "model.dim": "encoder_embed_dim",
    "model.depth": "encoder_depth",
    "model.num_heads": "encoder_num_heads",
    "model.decoder_dim": "decoder_embed_dim",
    "model.decoder_depth": "decoder_depth",
    "model.decoder_heads": "decoder_num_heads",
}
FINETUNING = SIZES | {
    "data.clip_len": "all_frames",
    "model.dim": "embed_dim",
    "model.depth": "depth",
    "model.num_heads": "num_heads",
}


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["videomae_pretrain_a"])
def test_pretraining_paints_what_it_painted_there(shared, name):
    fixture = read_fixture(shared, name)
    settings = fixture.settings(PRETRAINING)
    found = import_weights(fixture.file(), name="videomae-base", settings=settings)
    assert (found.project, found.recipe.task, found.left_out) == ("videomae", None, ())
    clips, is_hidden = fixture.tensors["input/videos"], fixture.tensors["input/mask"].bool()
    with torch.no_grad():
        fixture.expect("prediction", network_of(found)(clips, is_hidden))


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["videomae_finetune_a"])
def test_classifiers_say_what_they_said_there(shared, name):
    fixture = read_fixture(shared, name)
    settings = fixture.settings(FINETUNING)
    found = import_weights(fixture.file(), name="videomae-base-classify", settings=settings)
    assert (found.project, found.recipe.task, found.left_out) == ("videomae", "classify", ())
    expect_classified(fixture, found, clips=fixture.tensors["input/videos"])
