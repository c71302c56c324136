"""UMT's first stage on a small column: what the student is given, what it learns, and what is refused."""

import json
import math
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional

from support.learning import learn_by_heart
from vfm.shards.codecs import scalar
from vfm.shards.columns.views import random_views
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.order import sample_rng
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.writing.drop import drop_column
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.data.stream import stack
from vfm.trainer.evaluation.evaluate import EvaluateOptions, evaluate
from vfm.trainer.methods.umt import build, build_backbone
from vfm.trainer.methods.umt.pretrain import Umt
from vfm.trainer.methods.umt.recipe import RECIPES, ModelConfig, Objective, base, large, tiny
from vfm.trainer.methods.umt.teaching import Teacher
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import from_run
from vfm.trainer.runs.run import pretrain
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions
from vfm.video2token.teachers.frame_teacher import open_teacher

COLUMN = "clip.test_vit"
TINY = (
    "model.image_px=32",
    "model.dim=24",
    "model.depth=3",
    "model.num_heads=2",
    "model.num_levels=2",
    "objective.mask_ratio=0.5",
    "data.clip_len=4",
    "train.batch_size=4",
    "train.max_steps=6",
    "train.checkpoint_every=2",
    "train.precision=fp32",
    "train.num_workers=0",
)


class Bench:
    """One dataset with frames and a teacher's column, and runs on it."""

    def __init__(self, data, root, weights):
        self.data, self.root, self.weights, self.said = data, root, weights, []
        self.options = RunOptions(device="cpu", say=self.said.append, accept_data=True)

    def tokenize(self, **own):
        given = {"crop_px": 32, "levels": 3, "store": "int8", "weights": str(self.weights), **own}
        tokenize(self.data, ["clip:test_vit"], TargetOptions(batch_size=4, own=given))

    def recipe(self, *settings):
        return override(tiny(), [*TINY, f"data.columns=frames,{COLUMN}", *settings])

    def method(self, *settings):
        recipe = self.recipe("data.stride=1", *settings)
        return build(recipe, self.dataset())

    def online(self, *settings):
        weights = f"objective.online_weights={self.weights}"
        recipe = self.recipe("objective.teacher=online", weights, *settings)
        dataset = open_dataset(self.data, columns=recipe.data.columns)
        return build(recipe, dataset, open_teacher=open_teacher)

    def dataset(self):
        return open_dataset(self.data, columns=("frames", COLUMN))

    def read(self, index, *settings, seed=0):
        """Return what is read of one sample, and the stored frames that it was drawn from."""
        rng = np.random.default_rng(seed)
        return self.method(*settings).prepare(self.dataset(), index, rng)

    def pretrain(self, *settings, out="run"):
        recipe = override(load_recipe("umt-tiny"), [*TINY, *settings])
        where = {"data": self.data, "out": self.root / out}
        return pretrain(recipe, **where, options=self.options, open_teacher=open_teacher)

    def newest(self, out="run"):
        return newest_checkpoint(self.root / out, options=self.options)


@pytest.fixture
def bench(stills, tiny_vit, tmp_path):
    made = Bench(stills(num_samples=12, num_frames=9), tmp_path, tiny_vit)
    made.tokenize()
    return made


@pytest.mark.parametrize("store", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("mask", ["attention", "tube", "random"])
def test_visible_tokens_come_with_what_the_teacher_says_of_them(bench, store, mask):
    if store != "int8":
        drop_column(bench.data, COLUMN)
        bench.tokenize(store=store)
    dataset, index = bench.dataset(), 0  # nine frames: two in each segment of a clip
    fields = ("features.npy", "scale.npy") if store == "int8" else ("features.npy",)
    stored = {}
    for field in fields:
        whole = dataset.array(index, COLUMN, field)
        stored[field] = whole.reshape(9, 4, *whole.shape[4:])
    frames = apply_view(np.stack(dataset.frames(index, range(9))), centre(32))
    seen = set()
    for seed in range(20):
        read = bench.read(index, f"objective.mask={mask}", seed=seed)
        assert set(read) == {"clip", "visible", *fields}
        times = [int(np.abs(frames - shown).sum((1, 2, 3)).argmin()) for shown in read["clip"].astype(int)]
        assert [time // 2 for time in times] == [0, 1, 2, 3]
        np.testing.assert_array_equal(read["clip"], frames[times])
        visible = read["visible"]
        assert len(visible) == 8
        assert (np.diff(visible) > 0).all()
        for field in fields:
            expected = np.stack([stored[field][times[token // 4], token % 4] for token in visible])
            np.testing.assert_array_equal(read[field], expected)
            assert read[field].dtype == stored[field].dtype
        slices = np.isin(np.arange(16), visible).reshape(4, 4)
        if mask != "random":
            assert (slices.sum(1) == 2).all()
        if mask == "tube":
            assert (slices == slices[0]).all()
        seen.add(visible.tobytes())
    assert len(seen) > 4


def test_one_of_the_stored_views_is_drawn_for_student_and_teacher_alike(stills, tiny_vit, tmp_path):
    bench = Bench(stills(num_samples=2, num_frames=9, size=(60, 50)), tmp_path, tiny_vit)
    bench.tokenize(views="random:3", store="fp32")
    dataset, drawn = bench.dataset(), []
    frames = np.stack(dataset.frames(0, range(9)))
    pictures = [apply_view(frames, view) for view in random_views(3, crop_px=32)]
    stored = dataset.array(0, COLUMN, "features").reshape(3, 9, 4, 3, 64)
    for seed in range(30):
        read = bench.read(0, seed=seed)
        first = read["clip"][0]
        places = [(v, t) for v in range(3) for t in range(2) if np.array_equal(pictures[v][t], first)]
        assert len(places) == 1
        view, time = places[0]
        token = int(read["visible"][0])
        np.testing.assert_array_equal(read["features.npy"][0], stored[view, time, token])
        drawn.append(view)
    assert set(drawn) == {0, 1, 2}


def test_patches_of_more_attention_are_seen_more_often(bench):
    dataset, index = bench.dataset(), 1  # one frame, shown four times
    weights = dataset.array(index, COLUMN, "attention")[0, 0].reshape(4).astype(np.float64)
    prepare = bench.method("objective.mask_ratio=0.75").prepare
    visible = [prepare(dataset, index, np.random.default_rng(seed))["visible"] for seed in range(1500)]
    cells = np.bincount(np.concatenate(visible) % 4, minlength=4)
    shares = cells / cells.sum()  # one of four is visible: in proportion to attention
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.03)


def test_masks_are_drawn_again_in_every_epoch(bench):
    dataset, prepare = bench.dataset(), bench.method().prepare
    masks = [
        prepare(dataset, 3, sample_rng(seed=0, epoch=epoch, key=dataset.keys[3]))["visible"].tobytes()
        for epoch in range(12)
    ]
    assert len(set(masks)) > 8


@pytest.mark.parametrize("distance", ["l2", "mse", "smooth_l1"])
def test_the_loss_is_the_distance_at_the_visible_tokens(bench, distance):
    method, dataset = bench.method(f"objective.distance={distance}").eval(), bench.dataset()
    batch = stack([method.prepare(dataset, index, np.random.default_rng(index)) for index in (7, 8, 11)])
    loss = method(batch)["loss"]
    clips = normalize(to_float(batch["clip"]))
    visible = batch["visible"]
    # Every patch through the convolution, then the visible ones alone.
    embedded = method.encoder.patch_embed(clips) + method.encoder.positions
    x = embedded.gather(1, visible[:, :, None].expand(-1, -1, 24))
    students = []
    for block in method.encoder.blocks:
        x = block(x)
        students.append(method.encoder.norm(x))
    members = {name: batch[name].numpy() for name in ("features.npy", "scale.npy")}
    teacher = functional.normalize(torch.from_numpy(scalar.decode(members)), dim=-1)
    total = []
    for level, head in enumerate(method.clip_decoder):
        out = head.norm(head.head(students[level + 1] + method.clip_positions[visible]))
        difference = functional.normalize(out, dim=-1) - teacher[:, :, level + 1]
        size = difference.abs()
        total += {
            "l2": [difference.square().sum(-1).mean()],
            "mse": [difference.square().mean()],
            "smooth_l1": [torch.where(size < 1, size.square() / 2, size - 0.5).mean()],
        }[distance]
    torch.testing.assert_close(loss, torch.stack(total).mean())


def test_it_learns_and_its_state_is_the_published_one(bench):
    first, last = bench.pretrain("train.max_steps=1", out="short"), bench.pretrain("train.max_steps=60")
    assert last.record["loss"] < 0.6 * first.record["loss"]
    state = bench.newest().model()
    assert "encoder.blocks.0.attn.q_bias" in state
    assert tuple(state["clip_decoder.1.head.weight"].shape) == (64, 24)
    assert {name.partition(".")[0] for name in state} == {"encoder", "clip_decoder"}
    columns = bench.newest().state["columns"]
    assert set(columns) == {"frames", COLUMN}
    assert columns[COLUMN]["options"]["weights_sha256"]


def test_learns_two_videos_by_heart(bench):
    method = bench.method("model.drop_path=0")
    dataset = bench.dataset()
    batch = stack([method.prepare(dataset, index, np.random.default_rng(index)) for index in range(2)])
    first, last = learn_by_heart(method, batch, num_updates=200, lr=2e-3)
    assert last["loss"] < 0.02 * first["loss"]


def test_product_codes_teach_nearly_the_same(bench, monkeypatch):
    monkeypatch.setattr("vfm.video2token.teachers.storage._MIN_TOKENS", 1)
    drop_column(bench.data, COLUMN)
    bench.tokenize(store="pq:32")
    coded = bench.method().eval()
    batch = stack([coded.prepare(bench.dataset(), i, np.random.default_rng(i)) for i in (0, 7, 9)])
    assert batch["pq.npy"].dtype == torch.uint8
    with_codes = coded(batch)["loss"]
    drop_column(bench.data, COLUMN)
    bench.tokenize(store="fp32")
    exact = bench.method().eval()
    batch = stack([exact.prepare(bench.dataset(), i, np.random.default_rng(i)) for i in (0, 7, 9)])
    torch.testing.assert_close(with_codes, exact(batch)["loss"], rtol=0.05, atol=0)
    assert coded.state_dict().keys() == exact.state_dict().keys()


ONLINE = "objective.teacher=online"


@pytest.mark.parametrize("mask", ["attention", "tube", "random"])
def test_a_teacher_on_line_teaches_the_same(stills, tiny_vit, tmp_path, mask):
    bench = Bench(stills(num_samples=4, num_frames=9, size=(60, 50)), tmp_path, tiny_vit)
    bench.tokenize(store="fp32", views="random:2")
    settings = (f"objective.mask={mask}", "data.stride=1")
    stored = bench.method(*settings).eval()
    online = bench.online(*settings).eval()
    online.load_state_dict(stored.state_dict(), strict=True)
    batches = [
        stack([m.prepare(bench.dataset(), i, np.random.default_rng(7 * i)) for i in range(4)])
        for m in (stored, online)
    ]
    assert torch.equal(batches[0]["clip"], batches[1]["clip"])
    (hidden, features), (same, computed) = (
        m.teaching(batch) for m, batch in zip((stored, online), batches, strict=True)
    )
    assert torch.equal(hidden, same)
    torch.testing.assert_close(features[:, :, -2:], computed, atol=1e-6, rtol=1e-5)
    losses = [m(batch)["loss"] for m, batch in zip((stored, online), batches, strict=True)]
    torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-6)
    assert not any("teaching" in name for name, _ in online.named_parameters())


def test_a_run_with_a_teacher_on_line_has_the_same_losses(bench):
    drop_column(bench.data, COLUMN)
    bench.tokenize(store="fp32")
    stored = bench.pretrain("train.log_every=1")
    online = bench.pretrain(
        "train.log_every=1", ONLINE, f"objective.online_weights={bench.weights}", out="online"
    )
    assert online.record["loss"] == pytest.approx(stored.record["loss"], rel=1e-5)
    logs = [(bench.root / run / "log.jsonl").read_text().splitlines() for run in ("run", "online")]
    losses = [[json.loads(line)["loss"] for line in log] for log in logs]
    assert len(losses[0]) == 6
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_without_a_column_the_teacher_sees_crops_as_published(bench):
    drop_column(bench.data, COLUMN)
    named = ("objective.online_model=test_vit", f"objective.online_weights={bench.weights}")
    alone = (ONLINE, "data.columns=frames")
    outcome = bench.pretrain(*alone, *named)
    assert outcome.step == 6
    with pytest.raises(UsageError, match="has to be named: add `--set objective.online_model=NAME`"):
        bench.pretrain(*alone, out="unnamed")
    method = bench.online("data.columns=frames", *named, "data.stride=1")
    dataset = open_dataset(bench.data)
    clips = [method.prepare(dataset, 0, np.random.default_rng(seed))["clip"] for seed in range(40)]
    middle = apply_view(np.stack(dataset.frames(0, [0, 1])), centre(32))
    assert not any(np.array_equal(clip[0], one) for clip in clips for one in middle)
    mirrored = [np.abs(clip[0].astype(int) - middle[0]).mean() for clip in clips]
    assert np.std(mirrored) > 1  # crops of several sizes, half of them mirrored


def other_weights(folder):
    """Return a file of the same teacher with other weights."""
    torch.manual_seed(5)
    state = {k: v.contiguous() for k, v in timm.create_model("test_vit").state_dict().items()}
    save_file(state, folder / "other.safetensors")
    return folder / "other.safetensors"


def test_a_run_goes_on_with_the_teacher_that_it_began_with(bench, tmp_path):
    named = (ONLINE, "data.columns=frames", "objective.online_model=test_vit")
    weights = tmp_path / "weights.safetensors"
    shutil.copy(bench.weights, weights)
    named += (f"objective.online_weights={weights}",)
    assert bench.pretrain(*named).step == 6
    teacher = open_teacher("test_vit", grid=2, levels=2, weights=str(bench.weights))
    told = json.loads((bench.root / "run" / "run.json").read_text())["method"]
    assert told == {"teacher_weights_sha256": teacher.weights_sha256}
    shutil.copy(other_weights(tmp_path), weights)
    with pytest.raises(UsageError, match=r"run with other settings \(teacher_weights_sha256\)"):
        bench.pretrain(*named)


def test_other_weights_on_line_than_in_the_column_are_refused(bench, tmp_path):
    other = f"objective.online_weights={other_weights(tmp_path)}"
    told = "has other weights than the one of column clip.test_vit: give the same file with"
    with pytest.raises(UsageError, match=told):
        bench.pretrain(ONLINE, other)
    with pytest.raises(UsageError, match=r"are for a teacher on line: add `--set objective.teacher=online`"):
        bench.pretrain("objective.online_model=test_vit")
    recipe = bench.recipe(ONLINE, "data.stride=1")
    with pytest.raises(UsageError, match="has to be made by somebody: give open_teacher"):
        build(recipe, bench.dataset())


def test_resumed_equals_uninterrupted(bench):
    bench.pretrain("model.drop_path=0.2")
    bench.pretrain("model.drop_path=0.2", out="again")
    for step in ("step-000006", "step-000004"):
        for file in sorted((bench.root / "again/checkpoints" / step).iterdir(), reverse=True):
            file.unlink()
        (bench.root / "again/checkpoints" / step).rmdir()
    bench.pretrain("model.drop_path=0.2", "train.keep_checkpoints=3", out="again")
    whole, resumed = bench.newest().model(), bench.newest("again").model()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_sizes_are_the_published_ones():
    with torch.device("meta"):
        for recipe, teacher_dim, expected in ((base(), 512, 88.01e6), (large(), 768, 307.81e6)):
            method = Umt(recipe, teacher=Teacher(dim=teacher_dim, teaching=None, prepare=None))
            assert sum(p.numel() for p in method.parameters()) == pytest.approx(expected, rel=1e-4)
            if recipe.name == "umt-base":
                assert len(method.state_dict()) == 184


def test_the_published_rates_follow_from_the_batch():
    recipe = base()
    assert recipe.optim.for_run(batch_size=2048, updates_per_epoch=10).lr == pytest.approx(1.2e-3)
    assert recipe.optim.for_run(batch_size=2048, updates_per_epoch=10).min_lr == pytest.approx(8e-5)
    assert set(RECIPES) == {"umt-tiny", "umt-base", "umt-large"}


def test_students_are_finetuned_and_looked_at_from_the_frames_alone(bench):
    bench.pretrain()
    start = from_run(bench.root / "run", options=bench.options)
    drop_column(bench.data, COLUMN)
    settings = ["data.split=train", "train.max_steps=2", "train.batch_size=4", "train.num_workers=0"]
    recipe = finetune_recipe("classify", start=start.recipe, settings=settings)
    assert (recipe.data.columns, recipe.data.sampling) == (("frames",), "sparse")
    finetune(recipe, start=start, data=bench.data, out=bench.root / "fine", options=bench.options)
    how = EvaluateOptions(protocol="knn", split="val", num_clips=3)
    done = evaluate(bench.root / "run", data=bench.data, how=how, options=bench.options)
    assert (done.num_clips, done.fit.seconds_apart) == (3, None)
    backbone = build_backbone(start.recipe, bench.data)
    backbone.load_pretrained(bench.newest().model())
    state = bench.newest().model()
    torch.testing.assert_close(backbone.blocks[2].mlp.fc1.weight, state["encoder.blocks.2.mlp.fc1.weight"])


def test_students_are_finetuned_on_other_clips_and_seen_as_by_mmaction2(bench):
    bench.pretrain()
    start = from_run(bench.root / "run", options=bench.options)
    settings = ["data.split=train", "train.max_steps=2", "train.batch_size=4", "train.num_workers=0"]
    settings += ["data.clip_len=6", "model.image_px=48"]
    recipe = finetune_recipe("classify", start=start.recipe, settings=settings)
    finetune(recipe, start=start, data=bench.data, out=bench.root / "fine", options=bench.options)
    told = "The encoder was trained on 4 frames of 32 px and is finetuned on 6 frames of 48 px"
    assert f"{told}: its table of positions is stretched." in bench.said
    stored = newest_checkpoint(bench.root / "fine", options=bench.options).model()["backbone.pos_embed"]
    torch.testing.assert_close(stored, build_backbone(recipe, bench.data).pos_embed)
    results = [
        evaluate(
            bench.root / "fine",
            data=bench.data,
            how=EvaluateOptions(num_clips=2, num_crops=3, views=views),
            options=bench.options,
        )
        for views in (None, "umt", "mmaction2")
    ]
    scores = [result.predictions.scores for result in results]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2], atol=1e-6)
    assert results[2].to_dict()["views"] == "mmaction2"


def test_a_dataset_without_a_teacher_is_told_the_command(bench):
    drop_column(bench.data, COLUMN)
    told = r"no column 'clip\.\*' .*: run `vfm tokenize DATA --target clip:TEACHER --crop 32` first"
    with pytest.raises(UsageError, match=told):
        bench.pretrain()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            ["model.patch_px=8"],
            r"has 2 x 2 tokens a frame and the student 4 x 4: compute .*--token 8`",
        ),
        (
            ["model.num_levels=4", "model.depth=4"],
            r"holds 3 levels .* compares 4: compute .*--levels 4",
        ),
        (
            ["model.depth=5", "model.level_interval=2"],
            "blocks of its teacher that are 1 apart .* 2 apart: compute it with --level-i",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_the_student_is_refused(bench, settings, told):
    with pytest.raises(UsageError, match=told):
        bench.pretrain(*settings)


def test_another_teacher_is_told_when_going_on(bench):
    bench.pretrain("train.max_steps=2")
    drop_column(bench.data, COLUMN)
    bench.tokenize(normalization="model")
    with pytest.raises(UsageError, match=rf"other settings \(column {COLUMN}, made with another mean"):
        bench.pretrain("train.max_steps=2")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Objective(mask_ratio=1.0), "mask_ratio is 1.0, but must be 0 or more and below 1: a part"),
        (lambda: Objective(mask_ratio=-0.1), "mask_ratio is -0.1"),
        (lambda: ModelConfig(num_levels=13), "takes 13 blocks, and model.depth is 12: use fewer"),
        (lambda: ModelConfig(level_interval=0.5), "at least 1 block apart"),
        (lambda: ModelConfig(image_px=225), "model.image_px is 225 and model.patch_px is 16"),
        (lambda: ModelConfig(drop_path=1.0), "model.drop_path is 1.0"),
        (lambda: replace(tiny().data, seconds_apart=0.5), "must be any where data.sampling is sparse"),
        (lambda: replace(tiny().data, stride=2), "data.stride is 2"),
    ],
)
def test_what_cannot_be_is_refused(make, told):
    with pytest.raises(UsageError, match=told):
        make()


def test_videos_of_too_few_frames_are_refused(bench):
    options = replace(bench.options, accept_data=False)
    recipe = override(load_recipe("umt-tiny"), [*TINY, "data.clip_len=9"])
    told = r"clips of 9 frames, from all over a video, of 32 px, and .* has videos so short that"
    with pytest.raises(UsageError, match=told):
        pretrain(recipe, data=bench.data, out=bench.root / "run", options=options)
    assert not (bench.root / "run").exists()


@pytest.mark.parametrize("value", [0.0, math.nan, -1.0])
def test_attention_that_is_not_above_zero_is_refused(bench, monkeypatch, value):
    dataset, prepare = bench.dataset(), bench.method().prepare
    read = type(dataset).array

    def broken(self, index, column, field):
        found = read(self, index, column, field)
        if field.startswith("attention"):
            found = found.copy()
            found[0, 1, 1, 0] = value
        return found

    monkeypatch.setattr(type(dataset), "array", broken)
    told = r"The teacher's attention in frame 1 of still-000 is not above zero everywhere, so no mask"
    with pytest.raises(DamageError, match=told):
        for seed in range(10):  # one of two frames is drawn first
            prepare(dataset, 0, np.random.default_rng(seed))


def test_a_flipped_byte_of_the_features_is_told(bench):
    tar = bench.data / COLUMN / "000000.tar"
    tar = tar if tar.exists() else next((bench.data / COLUMN).glob("*.tar"))
    with tarfile.open(tar) as opened:
        member = next(one for one in opened if one.name.startswith("still-001.features"))
    data = bytearray(tar.read_bytes())
    data[member.offset_data + member.size - 1] ^= 1
    tar.write_bytes(bytes(data))
    with pytest.raises(DamageError, match=r"still-001.features.npy of .* does not match"):
        bench.read(1)
