"""MaskFeat on a small dataset: what is read, what is learned, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from support.learning import learn_by_heart
from vfm.shards.errors import UsageError
from vfm.shards.pixels.hog.compute import hog
from vfm.shards.pixels.hog.storage import from_stored, to_stored
from vfm.shards.pixels.spread_crops import slowfast_crops, three_crops
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.normalize import SLOWFAST, normalize, to_float
from vfm.trainer.data.stream import stack
from vfm.trainer.evaluation.views import seen_as
from vfm.trainer.methods.maskfeat import build, build_backbone, build_clip_reader
from vfm.trainer.methods.maskfeat.backbone import mvit_config
from vfm.trainer.methods.maskfeat.finetune import tiny_classify
from vfm.trainer.methods.maskfeat.pretrain import MaskedMvit, spread_cells, to_values
from vfm.trainer.methods.maskfeat.recipe import RECIPES, ModelConfig, Objective, large, small, tiny
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import build_task, finetune_recipe
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

SMALL = ("model.image_px=64", "model.dim=8", "data.clip_len=4", "data.stride=1")
STORED = ("data.columns=frames,hog", "objective.crop_area=none", "objective.flip=0")


class Bench:
    """A dataset of frames, and methods on it."""

    def __init__(self, data):
        self.data = data

    def tokenize(self, target="hog", *, name=None, **own):
        tokenize(self.data, [target], TargetOptions(name=name, own={"crop_px": 64, **own}), accept_data=True)

    def recipe(self, *settings):
        return override(tiny(), [*SMALL, *settings])

    def dataset(self, *columns):
        return open_dataset(self.data, columns=("frames", *columns))

    def method(self, *settings):
        recipe = self.recipe(*settings)
        return build(recipe, self.dataset(*recipe.data.columns[1:]))

    def read(self, index, *settings, seed=0):
        recipe = self.recipe(*settings)
        dataset = self.dataset(*recipe.data.columns[1:])
        return build(recipe, dataset).prepare(dataset, index, np.random.default_rng(seed))


@pytest.fixture
def bench(toy_dataset):
    return Bench(toy_dataset())


def test_samples_are_clips_masks_and_the_hog_of_every_second_frame(bench):
    sample = bench.read(3)
    assert sample["clip"].shape == (4, 64, 64, 3)
    assert sample["clip"].dtype == np.uint8
    assert sample["is_hidden"].shape == (2, 2, 2)
    assert sample["is_hidden"].dtype == np.bool_
    assert sample["hog"].shape == (2 * 4 * 4, 108)
    expected = hog(sample["clip"][[0, 2]]).reshape(-1, 108)
    np.testing.assert_array_equal(sample["hog"], expected)


def test_crops_and_mirroring_are_drawn_before_hog_is_made(bench):
    seen = {bench.read(0, seed=seed)["clip"].tobytes() for seed in range(8)}
    assert len(seen) == 8
    kept = {
        bench.read(0, "objective.crop_area=none", "objective.flip=0", seed=seed)["clip"].tobytes()
        for seed in range(8)
    }
    assert len(kept) < 8  # only the start of the clip is drawn


def test_stored_hog_is_that_of_the_same_view_bit_for_bit(bench):
    bench.tokenize(store="fp32")
    stored, online = bench.read(2, *STORED), bench.read(2, "objective.crop_area=none", "objective.flip=0")
    np.testing.assert_array_equal(stored["clip"][0], online["clip"][0])
    assert stored["hog"].dtype == np.float32
    np.testing.assert_array_equal(stored["hog"], hog(stored["clip"][::2]).reshape(-1, 108))


def test_losses_with_stored_and_with_online_hog_are_equal(bench):
    bench.tokenize(store="fp32")
    losses = []
    for settings in (STORED, ("objective.crop_area=none", "objective.flip=0")):
        recipe = bench.recipe(*settings, "objective.mask=frames", "objective.mask_ratio=0.5", "data.stride=2")
        dataset = bench.dataset(*recipe.data.columns[1:])
        method = build(recipe, dataset)
        batch = stack([method.prepare(dataset, 0, np.random.default_rng(4)) for _ in range(2)])
        is_hidden = torch.zeros_like(batch["is_hidden"])
        is_hidden[:, 0] = True
        # Views are drawn of stored columns, so that what is drawn afterwards differs: the clip is not.
        assert np.array_equal(batch["clip"][0], batch["clip"][1])
        losses.append(method({**batch, "is_hidden": is_hidden})["loss"].item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize("store", ["uint8", "fp16", "fp32"])
def test_stored_values_are_read_back(store):
    values = np.random.default_rng(0).random((5, 7), dtype=np.float32)
    stored = to_stored(values, store)
    np.testing.assert_array_equal(to_values(torch.from_numpy(stored)).numpy(), from_stored(stored))


def test_the_loss_is_the_error_at_hidden_tokens_alone(bench):
    method = bench.method().eval()
    batch = stack([bench.read(index, seed=index) for index in range(3)])
    with torch.no_grad():
        loss = method(batch)["loss"]
        hidden = spread_cells(batch["is_hidden"], to=(2, 4, 4))
        noisy = {**batch, "hog": torch.where(hidden[..., None], batch["hog"], torch.rand(3, 32, 108))}
        assert torch.equal(method(noisy)["loss"], loss)
        assert method(batch)["mask_ratio"].item() == pytest.approx(hidden.float().mean().item())
        shifted = {**batch, "hog": batch["hog"] + 1.0}
        assert not torch.equal(method(shifted)["loss"], loss)


def test_hidden_pixels_are_not_seen(bench):
    method = bench.method("model.kv_stride=1").eval()
    clips, is_hidden = torch.randn(1, 3, 4, 64, 64), torch.ones(1, 2, 2, 2, dtype=torch.bool)
    with torch.no_grad():
        assert torch.equal(method.predict(clips, is_hidden), method.predict(clips.flip(4), is_hidden))
        is_hidden[:, 0] = False
        assert not torch.equal(method.predict(clips, is_hidden), method.predict(clips.flip(4), is_hidden))


def test_a_batch_in_which_nothing_is_hidden_has_no_loss(bench):
    method = bench.method()
    batch = stack([bench.read(0)])
    loss = method({**batch, "is_hidden": torch.zeros_like(batch["is_hidden"])})["loss"]
    loss.backward()
    assert loss.item() == 0.0


def test_learns_two_videos_by_heart(bench):
    method = bench.method("model.dim=16")
    batch = stack([bench.read(index, seed=index) for index in range(2)])
    first, last = learn_by_heart(method, batch, num_updates=80, lr=2e-3)
    assert last["loss"] < 0.05 * first["loss"]


def test_a_finetuned_encoder_starts_from_the_pretrained_one_with_more_poolings(bench):
    method = bench.method()
    recipe = finetune_recipe("classify", start=bench.recipe(), settings=[])
    assert recipe.model.pools_at == (1, 2, 4)
    backbone = build_backbone(recipe, bench.dataset())
    backbone.load_pretrained(method.state_dict())
    state, start = backbone.state_dict(), method.state_dict()
    changed = {name for name in state if name not in start or not torch.equal(state[name], start[name])}
    # Behind a pooling that pretraining leaves out there would be more; the last block is the one that pools.
    assert changed == {"norm.weight", "norm.bias"}
    again = build_backbone(recipe, bench.dataset())
    again.load_pretrained({f"backbone.{name}": 2 * tensor for name, tensor in state.items()})
    assert (again.state_dict()["norm.weight"] == 2).all()
    clip = stack([build_clip_reader(recipe, bench.dataset())(bench.dataset(), 0, np.arange(4))])
    assert backbone.features(clip).shape == (1, 64)
    assert backbone.tokens(clip).shape == (1, 2 * 2 * 2, 64)


def test_tables_of_a_larger_frame_are_resized_between_neighbours(bench):
    method = bench.method()
    larger = bench.method("model.image_px=128")
    larger.load_pretrained(method.state_dict())
    small_table, table = (m.state_dict()["blocks.0.attn.rel_pos_h"] for m in (method, larger))
    assert (len(small_table), len(table)) == (31, 63)
    torch.testing.assert_close(table[31], small_table[15])
    torch.testing.assert_close(table[0], small_table[0])
    torch.testing.assert_close(table[-1], small_table[-1])


def test_an_encoder_of_other_sizes_is_refused(bench):
    method = bench.method()
    with pytest.raises(UsageError, match=r"blocks\.0\.attn\.norm_k\.bias is \(8,\) there and \(16,\) here"):
        bench.method("model.dim=16").load_pretrained(method.state_dict())
    with pytest.raises(UsageError, match=r"blocks\.1\.mlp\.fc2\.bias is \(32,\) there and \(16,\)"):
        bench.method("model.grows_at=1,3,4").load_pretrained(method.state_dict())


@pytest.mark.parametrize(
    ("made", "settings", "message"),
    [
        ({"target": "hog:mmselfsup", "name": ""}, (), "window_px 16 where 0 is meant"),
        ({"crop_px": 32}, (), "frames of 32 px where 64 px are meant"),
        ({}, ("model.pools_at=1",), "token_px 16 where 8 is meant"),
        ({}, ("objective.hog=skimage",), "gradient sobel where central is meant"),
    ],
)
def test_a_column_of_another_hog_is_refused(bench, made, settings, message):
    made = dict(made)
    target = made.pop("target", "hog")
    made.pop("name", None)
    bench.tokenize(target, name="x", **made)
    with pytest.raises(UsageError, match=message):
        bench.method("data.columns=frames,hog.x", *settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.image_px=100",), "model.image_px is 100, but must be a multiple of 32"),
        (("model.image_px=0",), "model.image_px is 0, but must be a multiple of 32"),
        (("data.clip_len=5",), "data.clip_len is 5, but must be a multiple of 2"),
        (("model.image_px=32",), "a frame of 32 px has one cell of 32 px"),
        (("objective.mask_ratio=0.01",), "of the 8 parts that a mask of kind cube has here none or all"),
        (("objective.mask_ratio=1.5",), "objective.mask_ratio is 1.5"),
        (("model.pools_at=1,2,3,4",), "model.pools_at has 4 poolings, which make tokens of 64 px"),
        (("model.image_px=96", "model.pools_at=1,2,3,4"), "a frame of 96 px has no whole number of tokens"),
        (("model.grows_at=0,2",), "model.grows_at is 0,2, but must be numbers of blocks"),
        (("model.num_heads=3",), "model.dim is 8 and model.num_heads is 3"),
        (("objective.crop_area=none",), "objective.flip is 0.5, and nothing is drawn"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(bench, settings, message):
    with pytest.raises(UsageError, match=message):
        bench.method(*settings)


def test_what_is_not_decayed(bench):
    method = bench.method()
    spared = {name for name, _ in method.named_parameters() if method.no_weight_decay(name)}
    assert spared == {name for name, parameter in method.named_parameters() if parameter.ndim == 1}


def test_layers_are_counted_from_the_output(toy_dataset):
    recipe = override(tiny_classify(), SMALL)
    task = build_task(recipe, open_dataset(toy_dataset(), columns=("frames",)))
    above = {name: task.layers_above(name) for name, _ in task.named_parameters()}
    assert above["backbone.cls_token"] == above["backbone.patch_embed.proj.weight"] == 6
    assert (
        above["backbone.blocks.0.attn.rel_pos_h"],
        above["backbone.blocks.4.proj.weight"]
        if "backbone.blocks.4.proj.weight" in above
        else above["backbone.blocks.4.norm1.weight"],
    ) == (5, 1)
    assert above["backbone.norm.weight"] == above["cls_fc.weight"] == 0


def test_first_weights_are_those_of_the_reference(bench):
    state = bench.method().state_dict()
    assert not state["pred_head.projections.0.bias"].any()
    assert not state["pred_head.transforms.0.0.bias"].any()
    assert (state["blocks.0.norm1.bias"] == 0.02).all()
    assert 0 < state["mask_token"].abs().max() < 0.1


def test_recipes_have_the_published_numbers():
    assert sorted(RECIPES) == [f"maskfeat-mvit-{size}" for size in ("l", "s", "tiny")]
    for recipe in (small(), large()):
        optim = recipe.optim.for_run(batch_size=recipe.train.batch_size, updates_per_epoch=100)
        assert (optim.lr, optim.min_lr, optim.warmup_start) == pytest.approx((1.6e-3, 1.6e-5, 1.6e-5))
        assert (optim.betas, optim.weight_decay, optim.clip_norm) == ((0.9, 0.999), 0.05, 0.02)
        assert (recipe.train.epochs, optim.warmup, recipe.data.clip_len) == (300, 1000, 16)
        assert (recipe.objective.mask, recipe.objective.mask_ratio) == ("cube", 0.4)
        assert (recipe.objective.crop_area, recipe.objective.flip) == (0.5, 0.5)
        assert recipe.data.seconds_apart == pytest.approx(4 / 30)


@pytest.mark.parametrize(("make", "millions"), [(small, 36.25), (large, 217.2)])
def test_networks_have_as_many_parameters_as_published(make, millions):
    recipe = make()
    recipe = replace(recipe, data=replace(recipe.data, stride=4))
    with torch.device("meta"):
        network = MaskedMvit(mvit_config(recipe), num_outputs=108)
    counted = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert round(counted, 2 if millions < 50 else 1) == millions


def test_sizes_that_no_network_has_are_refused():
    with pytest.raises(UsageError, match="model.depth is 0, but must be at least 1"):
        ModelConfig(depth=0, grows_at=(), pools_at=())
    with pytest.raises(UsageError, match="objective.mask is square, but must be one of cube, tube, frames"):
        Objective(mask="square")


@pytest.mark.parametrize(
    ("views", "cut", "sampling"),
    [("slowfast", slowfast_crops, "linspace"), ("mmaction2", three_crops, "looped")],
)
def test_a_test_sees_a_video_as_asked(bench, views, cut, sampling):
    recipe = seen_as(override(tiny_classify(), SMALL), views)
    assert recipe.data.sampling == sampling
    dataset = bench.dataset()
    times = np.array([0, 2, 4, 6])
    found = build_clip_reader(recipe, dataset).spread(dataset, 0, [times], num_crops=1)["clip"]
    frames = np.stack(dataset.frames(0, times.tolist()))
    np.testing.assert_array_equal(found, cut(frames, crop_px=64, num_crops=1))
    with pytest.raises(UsageError, match="as --views umt says: choose one of slowfast, mmaction2"):
        seen_as(recipe, "umt")


def test_the_class_token_is_classified_as_by_mmaction2(bench):
    recipe = load_recipe("maskfeat-mvit-s-classify-mmaction2")
    assert (recipe.model.pooling, recipe.model.views, recipe.data.sampling) == (
        "class",
        "mmaction2",
        "looped",
    )
    clip = {"clip": torch.randint(256, (1, 4, 64, 64, 3), dtype=torch.uint8)}
    ways = {}
    for pooling in ("mean", "class"):
        backbone = build_backbone(
            override(tiny_classify(), [*SMALL, f"model.pooling={pooling}"]), bench.dataset()
        )
        with torch.no_grad():
            ways[pooling] = backbone.features(clip)
            tokens = backbone.encode(backbone.patch_embed(normalize(to_float(clip["clip"]), by=SLOWFAST)))
            expected = tokens[:, 0] if pooling == "class" else tokens[:, 1:].mean(1)
            torch.testing.assert_close(ways[pooling], backbone.norm(expected))
    assert not torch.allclose(ways["mean"], ways["class"])


@pytest.mark.parametrize(
    ("name", "epochs_and_warmup", "num_draws", "drop_path", "layer_decay", "min_lr"),
    [
        ("maskfeat-mvit-s-classify", (100, 20), 2, 0.1, 0.75, 1.6e-5),
        ("maskfeat-mvit-s-classify-mmaction2", (100, 20), 2, 0.1, 0.75, 1.6e-5),
        ("maskfeat-mvit-l-classify", (75, 5), 1, 0.2, 0.875, 1.6e-4),
    ],
)
def test_finetuning_has_the_published_numbers(
    name, epochs_and_warmup, num_draws, drop_path, layer_decay, min_lr
):
    recipe = load_recipe(name)
    optim = recipe.optim.for_run(batch_size=recipe.train.batch_size, updates_per_epoch=10)
    assert (optim.lr, optim.min_lr) == pytest.approx((9.6e-3, min_lr))
    assert (optim.weight_decay, optim.clip_norm, optim.layer_decay) == (0.05, 5.0, layer_decay)
    assert (recipe.train.epochs, optim.warmup / 10) == epochs_and_warmup
    augment = recipe.objective.augment
    assert (augment.rand_augment, augment.crop_area, augment.erase) == ("rand-m7-mstd0.5-inc1", 0.08, 0.25)
    assert (augment.num_draws, augment.flip, recipe.model.drop_path) == (num_draws, 0.5, drop_path)
    mixed = recipe.objective
    assert (mixed.mixup, mixed.cutmix, mixed.label_smoothing) == (0.8, 1.0, 0.1)
    assert recipe.model.pools_at == recipe.model.grows_at
