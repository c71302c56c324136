from dataclasses import replace

import numpy as np
import pytest
import torch

from support.learning import learn_by_heart
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.stream import stack
from vfm.trainer.methods.simvtp import build
from vfm.trainer.methods.simvtp.recipe import ModelConfig, Objective, tiny
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.recipes.settings import override

RECIPE = override(with_columns(tiny(), ("frames", "text.toy")), ["model.image_px=32", "model.text_dropout=0"])


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(columns=("text.toy",)), columns=("frames", "text.toy"))


def batch_of(method, dataset, indices):
    return stack([method.prepare(dataset, index, np.random.default_rng(index)) for index in indices])


def test_samples_are_clips_and_captions_with_what_is_hidden(dataset):
    sample = build(RECIPE, dataset).prepare(dataset, 3, np.random.default_rng(1))
    assert sample["clip"].shape == (4, 32, 32, 3)
    assert sample["is_hidden"].sum() == 2 * 12
    num_ids = int(sample["num_ids"])
    assert sample["ids"].shape == sample["labels"].shape == (32,)
    is_word = sample["ids"] > 4
    assert is_word[:num_ids].sum() == num_ids - 2
    assert set(sample["labels"][is_word]) <= {-100, *sample["ids"][is_word].tolist()}
    assert (sample["labels"][~is_word] == -100).all()


def test_four_losses_add_up_and_shorter_batches_say_the_same(dataset):
    method = build(RECIPE, dataset).eval()
    batch = batch_of(method, dataset, [0, 1, 2, 3])
    torch.manual_seed(0)
    found = method(batch)
    parts = ("pixel_loss", "mlm_loss", "vtc_loss", "vtm_loss")
    assert found["loss"].item() == pytest.approx(sum(found[name].item() for name in parts), rel=1e-6)
    assert 0.2 < found["pixel_loss"].item() < 3
    assert found["mlm_loss"].item() == pytest.approx(np.log(16), abs=1)
    assert found["vtm_loss"].item() == pytest.approx(np.log(2), abs=0.5)
    # Positions behind the longest caption of the batch are cut off before anything is computed.
    torch.manual_seed(0)
    shorter = {name: array[:, :4] if name in ("ids", "labels") else array for name, array in batch.items()}
    assert method(shorter)["loss"].item() == pytest.approx(found["loss"].item(), rel=1e-6)


def test_a_batch_without_a_hidden_word_has_no_loss_for_words(dataset):
    method = build(RECIPE, dataset)
    batch = batch_of(method, dataset, [0, 1])
    found = method({**batch, "labels": torch.full_like(batch["labels"], -100)})
    assert found["mlm_loss"].item() == 0
    found["loss"].backward()
    assert torch.isfinite(found["loss"])
    assert (method.text_cls.weight.grad == 0).all()


def test_a_batch_of_one_caption_has_no_negative(dataset):
    method = build(RECIPE, dataset)
    batch = batch_of(method, dataset, [0, 1, 2])
    alike = {**batch, "caption_id": torch.zeros_like(batch["caption_id"])}
    found = method(alike)
    assert found["vtc_loss"].item() == pytest.approx(0, abs=1e-6)
    assert 0 < found["vtm_loss"].item() < 3  # of the pairs themselves alone
    assert found["vtm_accuracy"].item() in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)


@pytest.mark.parametrize(
    "settings",
    # Captions of two words that are both hidden cannot be told apart, so fewer are hidden where they count.
    [["objective.matched_text=clean"], ["objective.negatives=similar", "objective.word_ratio=0.3"]],
)
def test_learns_four_videos_by_heart(dataset, settings):
    method = build(override(RECIPE, settings), dataset)
    batch = batch_of(method, dataset, [0, 1, 2, 3])
    first, last = learn_by_heart(method, batch, num_updates=120, lr=1e-3)
    assert last["mlm_loss"] < 0.1 * first["mlm_loss"]
    assert last["vtc_loss"] < 0.3 * first["vtc_loss"]
    assert last["pixel_loss"] < 0.5 * first["pixel_loss"]
    assert last["vtm_accuracy"] > 0.8


def test_every_parameter_learns(dataset):
    method = build(RECIPE, dataset)
    method(batch_of(method, dataset, [0, 1, 2]))["loss"].backward()
    assert [name for name, parameter in method.named_parameters() if parameter.grad is None] == []


def test_vectors_are_kept_out_of_weight_decay(dataset):
    method = build(RECIPE, dataset)
    spared = {name for name, _ in method.named_parameters() if method.no_weight_decay(name)}
    assert {
        "text_embeddings.LayerNorm.weight",
        "text_cls.bias",
        "mask_token",
        "encoder.norm.weight",
    } <= spared
    assert not {"text_embeddings.word_embeddings.weight", "text_cls.weight", "vtm_head.weight"} & spared


def test_weights_are_drawn_from_the_seed_alone(dataset):
    one = build(RECIPE, dataset).state_dict()
    torch.rand(3)
    again = build(RECIPE, dataset).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in one.items())
    words = one["text_embeddings.word_embeddings.weight"]
    assert (words[0] == 0).all()
    assert words[1:].std().item() == pytest.approx(0.02, rel=0.1)


def test_a_vocabulary_without_a_mask_is_refused(dataset):
    dataset.manifest.columns["text.toy"].options["mask_id"] = None
    with pytest.raises(UsageError, match=r"column text.toy has no id for a hidden word, such as \[MASK\]"):
        build(RECIPE, dataset)


def test_numbers_that_do_not_fit_are_refused(dataset):
    with pytest.raises(UsageError, match="objective.word_ratio is 1.0"):
        Objective(word_ratio=1.0)
    with pytest.raises(UsageError, match="objective.max_ids is 2"):
        Objective(max_ids=2)
    with pytest.raises(UsageError, match="objective.temperature is 0"):
        Objective(temperature=0)
    with pytest.raises(UsageError, match=r"model.text_dropout is 1"):
        ModelConfig(text_dropout=1)
    with pytest.raises(UsageError, match="reads one column of kind text, and data.columns"):
        build(with_columns(RECIPE, ("frames",)), dataset)
    with pytest.raises(UsageError, match="reads one column of kind frames"):
        build(with_columns(RECIPE, ("text.toy",)), dataset)


def test_clips_come_as_videomae_takes_them(dataset):
    # The whole clip is read where the stride leaves one way to do so.
    recipe = replace(RECIPE, data=replace(RECIPE.data, clip_len=8))
    clip = build(recipe, dataset).prepare(dataset, 0, np.random.default_rng(0))["clip"]
    assert clip.shape == (8, 32, 32, 3)
