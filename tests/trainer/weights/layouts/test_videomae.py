"""Files of VideoMAE say here what they said there."""

import pytest
import torch

from support.fixtures import (
    AUTOENCODER_SIZES,
    FINETUNED_SIZES,
    expect_classified,
    network_of,
    read_fixture,
)
from vfm.trainer.weights.imported import import_weights


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["videomae_pretrain_a"])
def test_pretraining_paints_what_it_painted_there(shared, name):
    fixture = read_fixture(shared, name)
    settings = fixture.settings(AUTOENCODER_SIZES)
    found = import_weights(fixture.file(), name="videomae-base", settings=settings)
    assert (found.project, found.recipe.task, found.left_out) == ("videomae", None, ())
    clips, is_hidden = fixture.tensors["input/videos"], fixture.tensors["input/mask"].bool()
    with torch.no_grad():
        fixture.expect("prediction", network_of(found)(clips, is_hidden))


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["videomae_finetune_a"])
def test_classifiers_say_what_they_said_there(shared, name):
    fixture = read_fixture(shared, name)
    settings = fixture.settings(FINETUNED_SIZES)
    found = import_weights(fixture.file(), name="videomae-base-classify", settings=settings)
    assert (found.project, found.recipe.task, found.left_out) == ("videomae", "classify", ())
    expect_classified(fixture, found, clips=fixture.tensors["input/videos"])
