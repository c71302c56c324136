"""UMT's encoder as it is finetuned and tested, by the recipe that finetuning makes of one of pretraining."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from support.fixtures import read_fixture
from vfm.shards.errors import UsageError
from vfm.shards.pixels.spread_crops import three_crops
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.methods.umt import build, build_backbone
from vfm.trainer.models.positions import sinusoid_table
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import build_task, finetune_recipe
from vfm.trainer.tasks.classify.classifier import merge_views

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SMALL = ("model.dim=24", "model.depth=2", "model.num_heads=2", "model.num_levels=1")


@pytest.fixture
def golden(shared):
    """Return a function that reads the configuration and the tensors of a fixture."""

    def read(name):
        fixture = read_fixture(shared, name)
        return fixture.config, fixture.file().tensors, fixture.tensors

    return read


def finetuned(*settings, name="umt-base"):
    return finetune_recipe("classify", start=load_recipe(name), settings=settings)


def classifier_of(config, *settings):
    """Return the classifier of a fixture's sizes, which starts from a published encoder."""
    sizes = {
        "image_px": "img_size",
        "patch_px": "patch_size",
        "dim": "embed_dim",
        "depth": "depth",
        "num_heads": "num_heads",
    }
    settings = [*settings, *(f"model.{key}={config[name]}" for key, name in sizes.items())]
    recipe = finetuned(*settings, "model.num_levels=1", f"data.clip_len={config['num_frames']}")
    classes = tuple(map(str, range(config["num_classes"])))
    dataset = SimpleNamespace(classes=classes, class_indices=np.arange(len(classes)))
    return build_task(recipe, dataset).eval()


def table_of(recipe):
    return build_backbone(recipe, None).pos_embed


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["umt_finetune_fixedpos_a", "umt_finetune_interp_a"])
def test_the_finetuned_form_is_that_of_the_reference(golden, name):
    config, params, tensors = golden(name)
    task = classifier_of(config)
    torch.testing.assert_close(task.backbone.pos_embed, tensors["output/pos_embed_table"], **CLOSE)
    official = {"cls_fc.": "head.", "backbone.": ""}
    keys = {
        key: key.replace(*next(pair for pair in official.items() if key.startswith(pair[0])))
        for key in task.state_dict()
    }
    assert sorted(keys.values()) == sorted(params)
    # The stored table is not the one that is computed: the stored one has to win.
    task.load_state_dict({key: params[name] for key, name in keys.items()})
    features = task.backbone(tensors["input/video"])
    torch.testing.assert_close(features, tensors["output/features"], **CLOSE)
    torch.testing.assert_close(task.cls_fc(features), tensors["output/logits"], **CLOSE)


@pytest.mark.needs("shared")
def test_tests_of_mmaction2_see_what_they_see_there(golden):
    config, params, tensors = golden("umt_mmaction2_a")
    task = classifier_of(config, "model.views=mmaction2")
    task.load_state_dict({key.replace("cls_head.fc_cls.", "cls_fc."): t for key, t in params.items()})
    frames = tensors["input/frames"]
    assert frames.shape[:2] == (config["batch"], config["views"])
    batch = {"clip": frames.permute(0, 1, 3, 4, 5, 2)}
    seen = task.backbone.inputs({"clip": batch["clip"].flatten(0, 1)})
    torch.testing.assert_close(seen, tensors["output/normalised"].flatten(0, 1), **CLOSE)
    logits = task.view_logits(batch)
    torch.testing.assert_close(logits.flatten(0, 1), tensors["output/logits"], **CLOSE)
    torch.testing.assert_close(merge_views(logits), tensors["output/probs"], **CLOSE)
    ours = classifier_of(config).backbone.inputs({"clip": batch["clip"].flatten(0, 1)})
    assert (ours - seen).abs().max() > 0.05


def test_squares_of_a_test_are_those_of_mmaction2(stills):
    dataset = open_dataset(stills(num_samples=1, num_frames=4, size=(61, 50)), columns=("frames",))
    recipe = finetuned(*SMALL, "model.image_px=32", "data.clip_len=4", "model.views=mmaction2")
    from vfm.trainer.methods.umt import build_clip_reader

    found = build_clip_reader(recipe, dataset).spread(dataset, 0, [np.arange(4)], num_crops=3)["clip"]
    frames = np.stack(dataset.frames(0, range(4)))
    np.testing.assert_array_equal(found, three_crops(frames, crop_px=32, num_crops=3))


def test_positions_of_other_clips_are_the_pretrained_ones_stretched():
    published = sinusoid_table(8 * 14 * 14, 24)
    assert torch.equal(table_of(finetuned(*SMALL))[0], published)
    longer = table_of(finetuned(*SMALL, "data.clip_len=16"))[0]
    field = published.view(8, 14 * 14, 24).permute(1, 2, 0)
    wanted = functional.interpolate(field, 16, mode="linear").permute(2, 0, 1).reshape(-1, 24)
    torch.testing.assert_close(longer, wanted)
    larger = table_of(finetuned(*SMALL, "model.image_px=384"))[0]
    planes = published.view(8, 14, 14, 24).permute(0, 3, 1, 2)
    wanted = functional.interpolate(planes, (24, 24), mode="bicubic").permute(0, 2, 3, 1).reshape(-1, 24)
    torch.testing.assert_close(larger, wanted)


def test_patches_of_14_px_begin_with_16_rows():
    start = override(load_recipe("umt-base"), ["model.patch_px=14"])
    recipe = finetune_recipe("classify", start=start, settings=SMALL)
    assert recipe.model.pretrained_grid == (8, 16, 16)
    backbone = build_backbone(recipe, None)
    assert torch.equal(backbone.pos_embed[0], sinusoid_table(2048, 24))
    assert "pos_embed" in backbone.state_dict()  # as in the published code, where 1568 alone are a constant


def test_an_encoder_of_other_clips_than_the_published_starts_from_its_own():
    """The published code takes all to be of 8 x 14 x 14; where it is not so, positions would change."""
    tiny = load_recipe("umt-tiny")
    assert torch.equal(table_of(tiny), table_of(finetuned(name="umt-tiny")))
    again = finetuned("data.clip_len=16", name="umt-tiny")
    once_more = finetune_recipe("classify", start=again, settings=["model.image_px=96"])
    assert once_more.model.pretrained_grid == (8, 10, 10)
    assert once_more.data.clip_len == 16


def test_a_stored_table_wins_and_is_stretched_to_other_clips():
    start = finetuned(*SMALL, "data.clip_len=16", "model.image_px=96")
    state = build_backbone(start, None).state_dict()
    state["pos_embed"] = torch.linspace(0, 1, state["pos_embed"].numel()).view(1, 16 * 36, 24)
    state = {f"backbone.{name}": tensor for name, tensor in state.items()}
    same = build_backbone(start, None)
    same.load_pretrained(state, start=start)
    assert torch.equal(same.pos_embed, state["backbone.pos_embed"])
    other = finetune_recipe("classify", start=start, settings=["data.clip_len=4", "model.image_px=64"])
    stretched = build_backbone(other, None)
    stretched.load_pretrained(state, start=start)
    lines = state["backbone.pos_embed"].view(16, 36, 24).permute(1, 2, 0)
    planes = functional.interpolate(lines, 4, mode="linear").permute(2, 1, 0).reshape(4, 24, 6, 6)
    wanted = functional.interpolate(planes, (4, 4), mode="bicubic").permute(0, 2, 3, 1).reshape(1, -1, 24)
    torch.testing.assert_close(stretched.pos_embed, wanted)
    constant = build_backbone(finetuned(*SMALL), None)
    computed = constant.pos_embed.clone()
    constant.load_pretrained(state, start=start)
    assert torch.equal(constant.pos_embed, computed)


def test_a_table_of_other_clips_needs_their_recipe():
    start = finetuned(*SMALL, "data.clip_len=16")
    other = build_backbone(finetuned(*SMALL, "data.clip_len=4"), None)
    with pytest.raises(UsageError, match=r"pos_embed is \(1, 3136, 24\) there and \(1, 784, 24\) here"):
        other.load_pretrained(build_backbone(start, None).state_dict())


def test_recipes_of_larger_clips_bring_their_shape():
    start = override(load_recipe("umt-large"), ["model.depth=12"])
    longer = finetune_recipe("classify", start=start, settings=[], numbers="umt-large-classify-k400-f16")
    assert (longer.data.clip_len, longer.model.image_px, longer.model.depth) == (16, 224, 12)
    assert longer.model.pretrained_grid == (8, 14, 14)
    assert longer.optim.for_run(batch_size=128, updates_per_epoch=1).lr == 1e-5  # drawn twice: 256 clips
    mit = load_recipe("umt-base-classify-mit")
    larger = finetune_recipe("classify", start=mit, settings=[], numbers="umt-base-classify-mit-384")
    assert (larger.data.clip_len, larger.model.image_px) == (8, 384)
    assert replace(larger.model, image_px=224, pretrained_grid=None) == mit.model
    assert (larger.optim.lr, larger.optim.weight_decay, larger.train.epochs) == (1e-5, 0.1, 4)
    changed = finetune_recipe(
        "classify", start=mit, settings=["model.image_px=448"], numbers="umt-base-classify-mit-384"
    )
    assert changed.model.image_px == 448


@pytest.mark.parametrize("setting", ["model.pretrained_grid=8,14,14", "model.views=mmaction2"])
def test_numbers_of_finetuning_do_not_pretrain(setting, toy_dataset):
    dataset = open_dataset(toy_dataset(), columns=("frames",))
    recipe = override(load_recipe("umt-tiny"), [setting])
    recipe = replace(recipe, data=replace(recipe.data, columns=("frames",)))
    with pytest.raises(UsageError, match="tells how an encoder is finetuned and tested"):
        build(recipe, dataset)


def test_a_grid_without_a_row():
    with pytest.raises(UsageError, match="model.pretrained_grid is 8,0,14, but must be three numbers"):
        override(load_recipe("umt-base"), ["model.pretrained_grid=8,0,14"])
