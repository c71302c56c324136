from dataclasses import replace

import numpy as np
import pytest
import torch

from support.learning import learn_by_heart
from vfm.shards.errors import UsageError
from vfm.shards.pixels.views import centre
from vfm.shards.reading.clip_frames import read_frames
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.clips import PixelReader, multi_scale_crop
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.data.stream import stack
from vfm.trainer.methods.videomae import build, build_backbone, build_clip_reader
from vfm.trainer.methods.videomae.finetune import tiny_classify
from vfm.trainer.methods.videomae.recipe import RECIPES, Objective, base, tiny
from vfm.trainer.recipes.encoder import AutoencoderSizes
from vfm.trainer.runs.finetune import build_task

LINEAR = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(), columns=("frames",))


def test_a_crop_is_a_square_of_the_frames_at_one_place():
    ramp = np.arange(48 * 64, dtype=np.float64).reshape(48, 64) / (48 * 64) * 200
    frames = np.repeat(np.stack([ramp, ramp + 40]).astype(np.uint8)[..., None], 3, axis=3)
    seen = set()
    for seed in range(200):
        crop = multi_scale_crop(frames, target_px=32, rng=np.random.default_rng(seed))
        assert crop.shape == (2, 32, 32, 3)
        # Both frames are cut at one place: they differ by the same 40 everywhere.
        assert abs(crop[1].astype(int) - crop[0] - 40).max() <= 1
        seen.add((int(crop[0, 0, 0, 0]), int(crop[0, -1, -1, 0])))
    tops = [top for top, _ in seen]
    assert min(tops) == 0
    assert len(seen) > 30


def test_a_crop_of_the_wanted_size_is_not_resized():
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (1, 33, 33, 3), dtype=np.uint8)
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    cuts = {frames[:, top : top + 32, left : left + 32].tobytes() for top, left in places}
    # All scales are within 12 px of 32, so that every crop is 32 px wide; its room of 1 px has no quarters.
    crop = multi_scale_crop(frames, target_px=32, rng=rng, snap_px=12)
    assert crop.tobytes() in cuts


def test_frames_that_come_again_are_the_same_frames(dataset):
    frames = read_frames(dataset, 2, [3, 0, 3, 3])
    assert frames.shape == (4, 32, 32, 3)
    assert np.array_equal(frames[0], dataset.frames(2, [3])[0])
    assert np.array_equal(frames[1], dataset.frames(2, [0])[0])
    assert np.array_equal(frames[0], frames[3])


def test_a_clip_past_the_end_shows_the_last_frame(dataset):
    clip = PixelReader(view=centre(16))(dataset, 0, np.array([6, 7, -1, -1]))["clip"]
    assert clip.shape == (4, 16, 16, 3)
    assert np.array_equal(clip[1], clip[3])
    assert not np.array_equal(clip[0], clip[1])


def test_pixels_are_brought_to_the_mean_of_imagenet():
    clips = torch.full((1, 2, 4, 4, 3), 255, dtype=torch.uint8)
    floats = to_float(clips)
    assert floats.shape == (1, 3, 2, 4, 4)
    assert (floats == 1).all()
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert normalize(floats)[0, :, 1, 2, 3].tolist() == pytest.approx(expected, rel=1e-6)


def test_samples_are_clips_and_masks(dataset):
    method = build(tiny(), dataset)
    sample = method.prepare(dataset, 3, np.random.default_rng(0))
    assert sample["clip"].shape == (4, 64, 64, 3)
    assert sample["clip"].dtype == np.uint8
    assert sample["is_hidden"].shape == (2 * 64,)
    assert sample["is_hidden"].sum() == 2 * 48


def test_loss_is_the_error_of_what_is_hidden(dataset):
    method = build(tiny(), dataset).eval()
    batch = stack([method.prepare(dataset, index, np.random.default_rng(index)) for index in range(2)])
    loss = method(batch)["loss"].item()
    # The targets have variance 1 (in the unbiased count) wherever a tubelet is not flat.
    assert 0.2 < loss < 3.0
    flipped = dict(batch, is_hidden=~batch["is_hidden"])
    assert method(flipped)["loss"].item() != loss


def test_learns_two_videos_by_heart(dataset):
    recipe = tiny()
    recipe = replace(recipe, model=replace(recipe.model, image_px=32))
    method = build(recipe, dataset)
    batch = stack([method.prepare(dataset, index, np.random.default_rng(index)) for index in range(2)])
    first, last = learn_by_heart(method, batch, num_updates=200, lr=1e-3)
    assert last["loss"] < 0.05 * first["loss"]


def test_a_finetuned_encoder_starts_from_the_pretrained_one_with_a_new_norm(dataset):
    method = build(tiny(), dataset)
    backbone = build_backbone(tiny_classify(), dataset)
    backbone.load_pretrained(method.state_dict())
    state = backbone.state_dict()
    for name, tensor in method.encoder.state_dict().items():
        assert name.startswith("norm.") or torch.equal(state[name], tensor)
    assert (state["fc_norm.weight"] == 1).all()
    reader = build_clip_reader(tiny_classify(), dataset)
    clip = stack([reader(dataset, 0, np.arange(4))])
    assert backbone.features(clip).shape == (1, 96)
    again = build_backbone(tiny_classify(), dataset)
    again.load_pretrained({f"backbone.{name}": 2 * tensor for name, tensor in state.items()})
    assert (again.state_dict()["fc_norm.weight"] == 2).all()


def test_an_encoder_of_another_size_is_refused(dataset):
    other = replace(tiny(), model=replace(tiny().model, dim=48))
    with pytest.raises(UsageError, match=r"blocks\.0\.attn\.proj\.bias is \(48,\) there and \(96,\) here"):
        build_backbone(tiny(), dataset).load_pretrained(build(other, dataset).state_dict())
    with pytest.raises(UsageError, match="is absent there and"):
        build_backbone(tiny(), dataset).load_pretrained({})


def test_numbers_that_do_not_fit_are_refused(dataset):
    with pytest.raises(UsageError, match="model.image_px is 100 and model.patch_px is 16"):
        AutoencoderSizes(image_px=100)
    with pytest.raises(UsageError, match="objective.mask_ratio is 1.5"):
        Objective(mask_ratio=1.5)
    odd = replace(tiny(), data=replace(tiny().data, clip_len=5))
    with pytest.raises(UsageError, match="data.clip_len is 5 and model.tubelet 2"):
        build(odd, dataset)


def test_first_weights_of_pretraining_are_those_of_the_reference(dataset):
    state = build(tiny(), dataset).state_dict()
    to_decoder = state["encoder_to_decoder.weight"]  # [48, 96], drawn as torch draws a linear layer
    assert to_decoder.abs().max() <= 96**-0.5
    assert to_decoder.std().item() == pytest.approx(96**-0.5 / 3**0.5, rel=0.03)
    assert state["encoder.blocks.0.mlp.fc1.weight"].abs().max() <= (6 / (96 + 384)) ** 0.5
    assert not state["encoder.blocks.0.mlp.fc1.bias"].any()
    assert state["mask_token"].abs().max() <= 0.02


def test_first_weights_of_finetuning_are_those_of_the_reference(toy_dataset):
    recipe = tiny_classify()
    recipe = replace(recipe, data=replace(recipe.data, columns=("frames",)))
    task = build_task(recipe, open_dataset(toy_dataset(), columns=("frames",)))
    state = task.state_dict()
    linear = [state[f"backbone.blocks.{i}.{name}.weight"] for i in range(4) for name in LINEAR]
    assert torch.cat([weight.flatten() for weight in linear]).std().item() == pytest.approx(0.02, rel=0.01)
    assert all(weight.abs().max() > 0.06 for weight in linear)  # no uniform distribution of that deviation
    assert 0 < state["cls_fc.weight"].abs().max() < 1e-4
    assert not state["cls_fc.bias"].any()
    conv = state["backbone.patch_embed.proj.weight"]
    assert conv.abs().max() <= conv[0].numel() ** -0.5


def test_the_base_recipe_has_the_published_numbers():
    recipe = base()
    optim = recipe.optim.for_run(batch_size=recipe.train.batch_size, updates_per_epoch=117.5)
    assert (optim.lr, optim.min_lr) == (pytest.approx(1.2e-3), pytest.approx(8e-5))
    assert (optim.betas, optim.weight_decay, optim.clip_norm) == ((0.9, 0.95), 0.05, None)
    assert (recipe.train.epochs, recipe.train.batch_size, optim.warmup) == (1600, 2048, 40 * 117.5)
    assert (recipe.data.clip_len, recipe.data.stride, recipe.objective.mask_ratio) == (16, None, 0.9)
    assert recipe.data.seconds_apart == pytest.approx(4 / 30)
    assert sorted(RECIPES) == [f"videomae-{size}" for size in ("base", "huge", "large", "small", "tiny")]


def test_what_is_not_decayed(dataset):
    method = build(tiny(), dataset)
    spared = {name for name, _ in method.named_parameters() if method.no_weight_decay(name)}
    vectors = {name for name, parameter in method.named_parameters() if parameter.ndim == 1}
    assert spared == vectors | {"mask_token"}
