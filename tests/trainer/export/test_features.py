"""Features of a dataset are those of its clips, whatever it was opened with and wherever the model stood."""

import numpy as np
import pytest
import torch

from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer import methods
from vfm.trainer.export.features import EmbedOptions, features_of
from vfm.trainer.export.model import Origin, model_of
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe


def drawn(name, *settings, origin=None):
    recipe = override(load_recipe(name), settings)
    state = {key: 0.1 * tensor for key, tensor in random_state(recipe).items()}
    return model_of(recipe, state, origin=origin)


def options(**changes):
    return EmbedOptions(say=lambda _sentence: None, accept_data=True, **changes)


def test_features_are_those_of_the_clips_in_order(toy_dataset):
    model = drawn("videomae-tiny-classify")
    dataset = open_dataset(toy_dataset(), columns=()).select([3, 0, 5])
    found = features_of(model, dataset, how=options(num_clips=2))
    assert (found.dtype, found.shape) == (np.float32, (3, model.num_features))
    reader = methods.load("videomae").build_clip_reader(model.recipe, None)
    whole = open_dataset(dataset.data)
    for row, index in enumerate([3, 0, 5]):
        clips = [np.arange(4), np.arange(4, 8)]  # the first and the last of 8 frames
        views = reader.spread(whole, index, clips, num_crops=1)["clip"]
        with torch.no_grad():
            wanted = model.backbone.features({"clip": torch.from_numpy(views)}).mean(0)
        np.testing.assert_allclose(found[row], wanted, rtol=1e-5, atol=1e-6)


def test_a_model_is_left_as_it_was(toy_dataset):
    model = drawn("videomae-tiny").train()
    dataset = open_dataset(toy_dataset())
    found = features_of(model, dataset, how=options())
    assert model.training
    np.testing.assert_array_equal(features_of(model.eval(), dataset, how=options()), found)
    assert not model.training


def test_codes_are_read_where_the_model_reads_codes(toy_dataset):
    dataset = open_dataset(toy_dataset())
    column = dataset.manifest.columns["vq.toy"]
    learned = {"vq.toy": {"options": column.options}}
    state = {
        "backbone.embedding.weight": torch.empty(16 + 5, 0),
        "backbone.positional_embedding.height_pos_embedding": torch.empty(4, 0),
        "backbone.positional_embedding.width_pos_embedding": torch.empty(4, 0),
    }
    recipe = load_recipe("vimpac-tiny")
    backbone = methods.load("vimpac").build_encoder(recipe, state)
    backbone.initialize(torch.Generator().manual_seed(0))
    state = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    model = model_of(recipe, state, origin=Origin(path=dataset.data, columns=learned))
    found = features_of(model, dataset, how=options(num_clips=1))
    codes = dataset.with_columns(["vq.toy"]).array(0, "vq.toy", "codes")[0, :4].astype(np.int64)
    with torch.no_grad():
        wanted = model(torch.from_numpy(codes)[None])[0]
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-6)
    other = {"vq.toy": {"options": {**column.options, "codebook_sha256": "other"}}}
    model = model_of(recipe, state, origin=Origin(path=dataset.data, columns=other))
    with pytest.raises(UsageError, match="differs from the one that .* was trained on in codebook_sha256"):
        features_of(model, dataset, how=options())


def test_frames_that_are_not_as_needed_are_refused(toy_dataset):
    model = drawn("videomae-tiny", "data.seconds_apart=7")
    dataset = open_dataset(toy_dataset())
    with pytest.raises(UsageError, match="is made for clips of 4 frames, 7 s apart"):
        features_of(model, dataset, how=EmbedOptions(say=print))
