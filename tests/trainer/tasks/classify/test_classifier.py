import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vfm.shards.columns.views import vimpac_views
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.clips import PixelReader
from vfm.trainer.data.stream import stack
from vfm.trainer.methods.videomae import finetune as pixels
from vfm.trainer.methods.vimpac import build as build_method
from vfm.trainer.methods.vimpac.finetune import RECIPES, small_classify, tiny_classify
from vfm.trainer.methods.vimpac.reader import CodeReader
from vfm.trainer.methods.vimpac.recipe import Objective
from vfm.trainer.recipes.classify import Augmentation, ClassifyConfig
from vfm.trainer.recipes.settings import compared, override
from vfm.trainer.tasks.classify import build
from vfm.trainer.tasks.classify.classifier import merge_views, view_loss
from vfm.trainer.tasks.classify.mixing import erased_clips


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(), columns=("vq.toy",))


def pixel_recipe():
    settings = ["data.clip_len=4", "data.stride=1", "model.image_px=16", "model.patch_px=8", "model.depth=2"]
    return override(pixels.tiny_classify(), settings)


def recipe(**objective):
    start = tiny_classify()
    model = replace(start.model, num_layers=1, dim=32, num_heads=2, dropout=0.0)
    data = replace(start.data, columns=("vq.toy",), clip_len=4)
    return replace(start, model=model, data=data, objective=ClassifyConfig(**objective))


def test_recipes_have_the_published_numbers():
    optim, train = small_classify().optim, small_classify().train
    assert (optim.lr, optim.betas, optim.weight_decay, optim.warmup) == (1e-4, (0.9, 0.999), 0.01, 0.1)
    assert (train.batch_size, train.epochs) == (128, 50)
    assert {make().task for make in RECIPES.values()} == {"classify"}


def test_an_untrained_classifier_knows_nothing(dataset):
    task = build(recipe(), dataset).eval()
    batch = stack([task.prepare(dataset, index, np.random.default_rng(0)) for index in range(4)])
    assert batch["codes"].shape == (4, 4, 4, 4)
    assert batch["label"].tolist() == dataset.class_indices[:4].tolist()
    assert (task.logits(batch) == 0.0).all()
    losses = task(batch)
    assert losses["loss"].item() == pytest.approx(np.log(2))
    assert set(task.state_dict()) >= {"cls_fc.weight", "cls_fc.bias", "backbone.cls_param"}


def test_evaluation_reads_spread_clips_and_nothing_by_chance(dataset):
    task = build(recipe(), dataset)
    spread = pickle.loads(pickle.dumps(task.spread(num_clips=3, num_crops=1)))
    first, second = (spread(dataset, 2, np.random.default_rng(seed)) for seed in (0, 1))
    stored = dataset.array(2, "vq.toy", "codes")[0]
    assert first["codes"].shape == (3, 4, 4, 4)
    for clip, start in zip(first["codes"], (0, 2, 4), strict=True):
        np.testing.assert_array_equal(clip, stored[start : start + 4])
    np.testing.assert_array_equal(first["codes"], second["codes"])
    with pytest.raises(
        UsageError, match=r"vq.toy does not hold codes of 3 crops, .*--views vimpac12 .*or use"
    ):
        task.spread(num_clips=3, num_crops=3)(dataset, 2, np.random.default_rng(0))


def test_a_test_reads_three_plain_views_the_crops_of_the_first_clip_first(toy_dataset):
    views = vimpac_views(32)
    order = [5, 0, 11, 2, 1, 7]  # wherever they are stored
    several = toy_dataset(views=tuple(views[i] for i in order))
    dataset = open_dataset(several, columns=("vq.toy",))
    task = build(recipe(), dataset)
    stored = dataset.array(2, "vq.toy", "codes")
    read = task.spread(num_clips=2, num_crops=3)(dataset, 2, np.random.default_rng(0))["codes"]
    assert read.shape == (6, 4, 4, 4)
    for place, (start, view) in enumerate([(s, v) for s in (0, 4) for v in (0, 1, 2)]):
        np.testing.assert_array_equal(read[place], stored[order.index(view), start : start + 4])
    middle = task.held_out_reader(dataset, 2, np.random.default_rng(0))["codes"]
    np.testing.assert_array_equal(middle, stored[1:2, :4])
    with pytest.raises(UsageError, match="2 crops of codes do not exist: use --crops 1 or 3"):
        task.spread(num_clips=2, num_crops=2)(dataset, 2, np.random.default_rng(0))


def drawn_views(dataset, which, *, num_draws=600):
    """Return how often each stored view is drawn; view k of the toy is the first plus k."""
    task = build(recipe(augment=Augmentation(stored_views=which)), dataset)
    rng = np.random.default_rng(0)
    stored = dataset.array(1, "vq.toy", "codes")
    counts = np.zeros(len(stored), int)
    for _ in range(num_draws):
        read = task.prepare(dataset, 1, rng)
        assert (read["codes"].shape, read["label"].tolist()) == ((1, 4, 4, 4), [1])
        found = [
            view
            for view, codes in enumerate(stored)
            if any((codes[start : start + 4] == read["codes"][0]).all() for start in range(5))
        ]
        assert len(found) == 1
        counts[found[0]] += 1
    return counts


def test_training_draws_one_stored_view_with_equal_chance(toy_dataset):
    dataset = open_dataset(toy_dataset(views=vimpac_views(32)), columns=("vq.toy",))
    every, plain = (drawn_views(dataset, which) for which in ("any", "unmirrored"))
    assert (np.abs(every - 50) < 4 * np.sqrt(50)).all()
    assert (np.abs(plain[:6] - 100) < 4 * np.sqrt(100)).all()
    assert not plain[6:].any()


def test_one_stored_view_takes_no_number_from_the_generator(dataset):
    read = [
        build(recipe(augment=Augmentation(stored_views=which)), dataset).prepare
        for which in ("first", "any", "unmirrored")
    ]
    rngs = [np.random.default_rng(3) for _ in read]
    for index in range(len(dataset)):
        first, *others = (one(dataset, index, rng)["codes"] for one, rng in zip(read, rngs, strict=True))
        for other in others:
            np.testing.assert_array_equal(other[0], first)
    assert len({str(rng.bit_generator.state) for rng in rngs}) == 1


def test_a_drawn_view_has_the_loss_of_its_codes(toy_dataset):
    dataset = open_dataset(toy_dataset(views=vimpac_views(32)), columns=("vq.toy",))
    task = build(recipe(augment=Augmentation(stored_views="any")), dataset).eval()
    torch.nn.init.normal_(task.cls_fc.weight)
    read = [task.prepare(dataset, index, np.random.default_rng(index)) for index in range(3)]
    codes, labels = (
        torch.from_numpy(np.concatenate([one[name] for one in read])) for name in ("codes", "label")
    )
    expected = torch.nn.functional.cross_entropy(task.logits({"codes": codes}), labels)
    torch.testing.assert_close(task(stack(read))["loss"], expected.detach(), check_stride=False)


def test_mirrored_views_alone_are_nothing_to_draw_without(toy_dataset):
    mirrored = (*vimpac_views(32)[6:8], vimpac_views(32)[0])
    reader = CodeReader(column="vq.toy", vocab_size=16, views=mirrored)
    assert [reader.drawable(which) for which in ("first", "unmirrored", "any")] == [[0], [2], [0, 1, 2]]
    with pytest.raises(UsageError, match="vq.toy holds mirrored views alone: set .*stored_views=any"):
        CodeReader(column="vq.toy", vocab_size=16, views=mirrored[:2]).drawable("unmirrored")


def test_codes_of_other_views_than_the_columns_are_never_learned(toy_dataset):
    dataset = open_dataset(toy_dataset(), columns=("vq.toy",))
    reader = CodeReader(column="vq.toy", vocab_size=16, views=vimpac_views(32))
    with pytest.raises(DamageError, match="Sample clip-000 of vq.toy holds 1 view where the column has 12"):
        reader(dataset, 0, np.arange(4))


def test_frames_have_no_stored_views(toy_dataset):
    frames = open_dataset(toy_dataset(), columns=("frames",))
    with pytest.raises(UsageError, match="stored_views is any, and videomae-tiny-classify reads frames"):
        build(override(pixel_recipe(), ["objective.augment.stored_views=any"]), frames)
    how = Augmentation(stored_views="unmirrored")
    with pytest.raises(UsageError, match="stored_views is unmirrored, and frames have no stored views"):
        PixelReader(view=vimpac_views(32)[0]).draw(
            frames, 0, np.arange(2), how=how, rng=np.random.default_rng(0)
        )


def test_the_recipe_of_something_something_differs_in_what_the_reference_changes():
    for name in ("vimpac-small-classify", "vimpac-large-half-classify"):
        plain, ssv2 = RECIPES[name](), RECIPES[f"{name}-ssv2"]()
        assert (plain.objective.augment.stored_views, plain.train.epochs) == ("any", 50)
        assert compared(plain, ssv2) == {
            "name": (name, f"{name}-ssv2"),
            "objective.augment.stored_views": ("any", "unmirrored"),
            "train.epochs": (50, 22),
        }


def test_views_are_merged_as_probabilities():
    sure = torch.tensor([[[9.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    # two of three views prefer class 1, but the first is surer
    assert merge_views(sure).argmax(1).tolist() == [0]
    torch.testing.assert_close(merge_views(sure).sum(1), torch.ones(1))
    expected = -torch.log_softmax(sure, -1)[0, :, 1].mean()
    torch.testing.assert_close(view_loss(sure, torch.tensor([1]))[0], expected)


@pytest.mark.needs("shared")
def test_views_are_merged_as_in_the_reference(shared):
    tensors = load_file(shared / "golden" / "umt_view_merge_a.safetensors")
    named = merge_views(tensors["input/logits"]).argmax(1)
    assert torch.equal(named, tensors["output/pred"])
    accuracy = 100 * (named == tensors["input/labels"]).double().mean()
    assert accuracy.item() == pytest.approx(tensors["output/top1"].item(), rel=1e-6)


def test_rows_of_views_belong_to_their_sample(dataset):
    task = build(recipe(), dataset).eval()
    torch.nn.init.normal_(task.cls_fc.weight)
    spread = task.spread(num_clips=2, num_crops=1)
    batch = stack([spread(dataset, index, np.random.default_rng(0)) for index in range(3)])
    logits = task.view_logits(batch)
    assert logits.shape == (3, 2, 2)
    for sample in range(3):
        alone = task.logits({"codes": batch["codes"][sample]})
        torch.testing.assert_close(logits[sample], alone)


CHANGES = (
    "objective.augment.rand_augment=rand-m7-n4-mstd0.5-inc1",
    "objective.augment.crop_area=0.08",
    "objective.augment.erase=1",
    "objective.augment.num_draws=2",
)


def test_a_sample_is_learned_from_as_often_as_it_is_drawn(toy_dataset):
    frames = open_dataset(toy_dataset(), columns=("frames",))
    changed = override(pixel_recipe(), CHANGES)
    task = build(changed, frames).eval()
    torch.nn.init.normal_(task.cls_fc.weight)
    read = [task.prepare(frames, index, np.random.default_rng(index)) for index in (0, 1, 2)]
    assert read[0]["clip"].shape == (2, 4, 16, 16, 3)
    assert not np.array_equal(*read[0]["clip"])
    assert [one["label"].tolist() for one in read] == [[0, 0], [1, 1], [0, 0]]
    batch = stack(read)
    torch.manual_seed(3)
    losses = task(batch)
    torch.manual_seed(3)
    clips = erased_clips(batch["clip"].flatten(0, 1).float() / 255, batch["erased"].flatten(0, 1))
    logits = task.logits({"clip": clips})
    expected = torch.nn.functional.cross_entropy(logits, batch["label"].flatten())
    torch.testing.assert_close(losses["loss"], expected)
    assert losses["accuracy"] == (logits.argmax(1) == batch["label"].flatten()).float().mean()


def test_mixed_batches_follow_from_the_seed_of_the_update(toy_dataset):
    frames = open_dataset(toy_dataset(), columns=("frames",))
    mixing = override(
        pixel_recipe(), ["objective.mixup=0.8", "objective.cutmix=1", "objective.label_smoothing=0.1"]
    )
    task = build(mixing, frames)
    torch.nn.init.normal_(task.cls_fc.weight)
    batch = stack([task.prepare(frames, index, np.random.default_rng(index)) for index in range(4)])
    losses = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        losses.append(task(batch)["loss"].item())
    assert losses[0] == losses[2] != losses[1]
    assert set(task(batch)) == {"loss"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["objective.mixup=0.8"], "reads vq.toy, and only frames can be cropped, mirrored or mixed"),
        (["objective.augment.crop_area=0.5"], "reads vq.toy, and only frames can be"),
        (["objective.augment.crop_area=1", "objective.augment.rand_augment=x"], "'x' is not a policy of"),
    ],
)
def test_changes_that_codes_cannot_take_are_refused(dataset, settings, told):
    with pytest.raises(UsageError, match=told):
        build(override(recipe(), settings), dataset)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (
            "augment.flip=0.5",
            "objective.augment.crop_area is none, but must be given where clips are changed",
        ),
        ("augment.crop_area=1.5", r"objective.augment.crop_area is 1.5, but must be above 0"),
        ("augment.num_draws=0", "objective.augment.num_draws is 0, but must be at least 1"),
        ("augment.erase=2", r"objective.augment.erase is 2.0, but must be in \[0, 1\]"),
        ("mixup=-1", "objective.mixup is -1.0, but must be 0 or more"),
    ],
)
def test_changes_out_of_range_are_refused(setting, told):
    with pytest.raises(UsageError, match=told):
        override(pixel_recipe(), [f"objective.{setting}"])


def test_learns_the_direction_of_four_samples(dataset):
    task = build(recipe(), dataset)
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    batch = stack([task.prepare(dataset, index, np.random.default_rng(0)) for index in range(4)])
    for _ in range(60):
        optimizer.zero_grad()
        losses = task(batch)
        losses["loss"].backward()
        optimizer.step()
    assert losses["accuracy"] == 1.0
    assert losses["loss"] < 0.05


def test_starts_from_pretrained_weights_of_another_clip_length(dataset):
    shorter = recipe()
    pretrained = build_method(
        replace(shorter, objective=Objective(), train=replace(shorter.train, drop_last=True)), dataset
    )
    task = build(replace(shorter, data=replace(shorter.data, clip_len=6)), dataset)
    task.backbone.load_pretrained(pretrained.state_dict())
    table = task.backbone.positional_embedding
    assert table.temporal_pos_embedding.shape == (6, 32)
    before = pretrained.backbone.positional_embedding
    torch.testing.assert_close(table.height_pos_embedding, before.height_pos_embedding)
    torch.testing.assert_close(task.backbone.embedding.weight, pretrained.backbone.embedding.weight)


def test_biases_and_norms_are_not_decayed(dataset):
    task = build(recipe(), dataset)
    decayed = {name for name, _ in task.named_parameters() if not task.no_weight_decay(name)}
    assert {"cls_fc.weight", "backbone.cls_param"} < decayed
    assert not {name for name in decayed if "bias" in name or name.endswith("ln_pre.weight")}


def test_layers_are_counted_from_the_output(dataset):
    task = build(recipe(), dataset)
    layers = {}
    for name, _ in task.named_parameters():
        layers.setdefault(task.layers_above(name), []).append(name)
    depth = len(task.backbone.transformer.resblocks)
    assert sorted(layers) == list(range(depth + 2))
    assert layers[0] == ["cls_fc.weight", "cls_fc.bias"]  # there is no norm behind the blocks
    assert {"backbone.cls_param", "backbone.embedding.weight"} < set(layers[depth + 1])
    for layer in range(1, depth + 1):
        block = f"backbone.transformer.resblocks.{depth - layer}."
        assert all(name.startswith(block) for name in layers[layer])


def test_unlabelled_samples_are_not_trained_on(toy_dataset):
    some = open_dataset(toy_dataset("some", unlabelled=(1, 4)), columns=("vq.toy",))
    with pytest.raises(UsageError, match="2 of 12 samples have no label"):
        build(recipe(), some)
    one = open_dataset(toy_dataset("one", classes=("left",)), columns=("vq.toy",))
    with pytest.raises(UsageError, match="at least two classes, and the dataset has 1"):
        build(recipe(), one)
