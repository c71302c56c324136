import numpy as np
import pytest
import torch

from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.stream import stack
from vfm.trainer.methods.simvtp import build as build_pretraining
from vfm.trainer.methods.simvtp.finetune import msrvtt, tiny_retrieve
from vfm.trainer.methods.simvtp.recipe import tiny
from vfm.trainer.recipes.classify import Augmentation
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.recipes.settings import override
from vfm.trainer.tasks.retrieve import build

COLUMNS = ("frames", "text.toy")
RECIPE = override(with_columns(tiny_retrieve(), COLUMNS), ["model.image_px=32", "model.text_dropout=0"])


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(columns=("text.toy",)), columns=COLUMNS)


def batch_of(task, dataset, indices):
    return stack([task.prepare(dataset, index, np.random.default_rng(index)) for index in indices])


def test_pairs_are_learned(dataset):
    task = build(RECIPE, dataset)
    batch = batch_of(task, dataset, [0, 1, 2, 3])
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(60):
        found = task(batch)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        losses.append(found["loss"].item())
    assert losses[-1] < 0.05 * losses[0]
    assert found["batch_accuracy"].item() == 1


def test_the_half_that_the_other_encoder_uses_does_not_learn(dataset):
    task = build(RECIPE, dataset)
    task(batch_of(task, dataset, [0, 1]))["loss"].backward()
    still = {name for name, parameter in task.named_parameters() if parameter.grad is None}
    frozen = {name for name, parameter in task.named_parameters() if not parameter.requires_grad}
    assert still == frozen
    assert "backbone.video_encoder.text_embeddings.word_embeddings.weight" in still
    assert "backbone.text_encoder.patch_embed.proj.weight" in still
    assert len(still) == 7


def test_both_encoders_start_from_the_pretrained_one(dataset):
    method = build_pretraining(override(with_columns(tiny(), COLUMNS), ["model.image_px=32"]), dataset)
    task = build(RECIPE, dataset)
    task.backbone.load_pretrained(method.state_dict())
    state = task.backbone.state_dict()
    for tower in ("video_encoder", "text_encoder"):
        for name, tensor in method.encoder.state_dict().items():
            assert name.startswith("norm.") or torch.equal(state[f"{tower}.{name}"], tensor)
        words = state[f"{tower}.text_embeddings.word_embeddings.weight"]
        assert torch.equal(words, method.text_embeddings.word_embeddings.weight)
        assert (state[f"{tower}.fc_norm.weight"] == 1).all()
    again = build(RECIPE, dataset)
    again.backbone.load_pretrained({name: 2 * tensor for name, tensor in task.state_dict().items()})
    assert (again.backbone.video_encoder.fc_norm.weight == 2).all()


def test_held_out_figures_are_of_all_pairs_at_once(dataset):
    task = build(RECIPE, dataset)
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(12, 5, generator=generator).double()
    noise = torch.randn(12, 5, generator=generator).double()
    found = task.held_out_figures({"video": video, "text": video + noise})
    similarity = torch.cosine_similarity((video + noise)[:, None], video[None], dim=2)
    order = similarity.argsort(dim=1, descending=True)
    places = (order == torch.arange(12)[:, None]).nonzero()[:, 1]
    for k in (1, 5, 10):
        assert found[f"t2v_r{k}"] == pytest.approx((places < k).double().mean().item())
    assert 0 < found["t2v_r1"] < found["t2v_r10"]
    losses = torch.nn.functional.cross_entropy
    wanted, logits = torch.arange(12), similarity / 0.05
    expected = losses(logits, wanted) + losses(logits.T, wanted)
    assert found["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_a_held_out_pair_leaves_nothing_to_chance(dataset):
    task = build(RECIPE, dataset).eval()
    one, other = (task.held_out_reader(dataset, 3, np.random.default_rng(seed)) for seed in (0, 1))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert one["ids"][:4].tolist() == [2, 6, 11, 3]  # the first of its two captions
    rows = task.held_out(stack([one, other]))
    assert rows["video"].shape == rows["text"].shape == (2, 96)


def test_several_clips_of_a_sample_have_its_one_caption(dataset):
    recipe = override(RECIPE, ["objective.augment.crop_area=0.5", "objective.augment.num_draws=2"])
    task = build(recipe, dataset)
    sample = task.prepare(dataset, 3, np.random.default_rng(0))
    assert sample["clip"].shape[0] == sample["ids"].shape[0] == 2
    assert np.array_equal(sample["ids"][0], sample["ids"][1])
    batch = batch_of(task, dataset, [0, 1])
    # Two clips of one sample are not held against each other: they have the same caption.
    assert torch.isfinite(task(batch)["loss"])


def test_numbers_are_those_of_the_released_script():
    recipe = msrvtt()
    run = recipe.optim.for_run(batch_size=64, updates_per_epoch=9000 // 64)
    assert run.lr == pytest.approx(7.5e-5)
    assert run.min_lr == pytest.approx(2.5e-7)
    assert (recipe.train.epochs, recipe.model.drop_path, recipe.data.sampling) == (100, 0.1, "dense")
    assert recipe.objective.augment == Augmentation(
        rand_augment="rand-m7-n4-mstd0.5-inc1", crop_area=0.08, flip=0.5, erase=0.25
    )
