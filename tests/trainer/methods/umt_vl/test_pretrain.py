"""UMT's second stage on a few clips and images: what it is given, what it learns, and what is refused."""

import numpy as np
import pytest
import torch

from support.learning import learn_by_heart
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.reading.mixture import Source
from vfm.trainer.data.augment import draw_clip
from vfm.trainer.data.stream import stack
from vfm.trainer.methods.umt.recipe import tiny as first_stage
from vfm.trainer.methods.umt_vl import build
from vfm.trainer.methods.umt_vl.finetune import MatchConfig
from vfm.trainer.methods.umt_vl.recipe import base, large, tiny
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import from_run
from vfm.trainer.runs.run import pretrain
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions
from vfm.video2token.teachers.frame_teacher import open_teacher

TEACHER, WORDS = "clip.test_vit", "text.words"
COLUMNS = ("frames", TEACHER, WORDS)
CAPTIONS = (("a dog runs!",), ("a slow dog", "dogs"), ("run slowly, dog.",))
TINY = (
    *("model.image_px=32", "model.dim=24", "model.depth=3", "model.num_heads=2", "model.num_levels=2"),
    *("model.text_dim=16", "model.text_heads=2", "model.text_depth=3", "model.fusion_layer=1"),
    *("model.proj_dim=8", "model.text_dropout=0", "objective.mask_ratio=0.5", "data.clip_len=4"),
    *("train.batch_size=4", "train.max_steps=6", "train.checkpoint_every=2", "train.precision=fp32"),
    "train.num_workers=0",
)


class Bench:
    """Datasets of videos and of images with captions and a teacher's column, and runs on them."""

    def __init__(self, stills, vocabulary, root, weights):
        self.root, self.weights, self.said = root, weights, []
        self.options = RunOptions(device="cpu", say=self.said.append, accept_data=True)
        self.videos = stills("videos", num_samples=12, num_frames=9, captions=CAPTIONS)
        self.images = stills("images", num_samples=9, num_frames=1, captions=CAPTIONS, images=True)
        for data in (self.videos, self.images):
            own = {"crop_px": 32, "levels": 3, "store": "fp32", "weights": str(weights)}
            tokenize(data, ["clip:test_vit"], TargetOptions(batch_size=4, own=own))
            tokenize(data, [f"text:{vocabulary}"], TargetOptions(batch_size=4))

    def recipe(self, *settings):
        return override(tiny(), [*TINY, f"data.columns={','.join(COLUMNS)}", "data.stride=1", *settings])

    def method(self, *settings, data=None):
        return build(self.recipe(*settings), open_dataset(data or self.videos, columns=COLUMNS))

    def batch(self, method, indices, *, data=None):
        dataset = open_dataset(data or self.videos, columns=COLUMNS)
        return stack([method.prepare(dataset, index, np.random.default_rng(index)) for index in indices])

    def pretrain(self, *settings, out="run", data=None, start=None):
        recipe = override(load_recipe("umt-vl-tiny"), [*TINY, *settings])
        where = {"data": data or self.videos, "out": self.root / out, "start": start}
        return pretrain(recipe, **where, options=self.options, open_teacher=open_teacher)

    def both(self):
        return [Source(data=self.videos), Source(data=self.images)]

    def newest(self, out="run"):
        return newest_checkpoint(self.root / out, options=self.options)


@pytest.fixture
def bench(stills, tiny_vocabulary, tiny_vit, tmp_path):
    return Bench(stills, tiny_vocabulary, tmp_path, tiny_vit)


def test_samples_are_clips_and_captions_with_what_is_hidden(bench):
    method = bench.method("objective.word_ratio=0.7")
    dataset = open_dataset(bench.videos, columns=COLUMNS)
    num_guessed, num_hidden, num_kept = 0, 0, 0
    for seed in range(300):
        sample = method.prepare(dataset, 0, np.random.default_rng(seed))
        assert sample["clip"].shape == (4, 32, 32, 3)
        assert len(sample["visible"]) == 8
        assert sample["features.npy"].shape == (8, 3, 64)
        ids, shown, labels = sample["ids"], sample["shown"], sample["labels"]
        num_ids = int(sample["num_ids"])
        is_guessed = labels != -100
        assert not is_guessed[0]
        assert not is_guessed[num_ids:].any()
        np.testing.assert_array_equal(labels[is_guessed], ids[is_guessed])
        np.testing.assert_array_equal(shown[~is_guessed], ids[~is_guessed])
        num_guessed += is_guessed.sum()
        num_hidden += (shown[is_guessed] == 4).sum()
        num_kept += (shown[is_guessed] == ids[is_guessed]).sum()
    assert num_guessed / (300 * (num_ids - 1)) == pytest.approx(0.7, abs=0.04)
    # One replaced word in thirteen is by chance the mask, or the word itself.
    assert num_hidden / num_guessed == pytest.approx(0.8 + 0.1 / 13, abs=0.03)
    assert num_kept / num_guessed == pytest.approx(0.1 + 0.1 / 13, abs=0.03)


def test_an_image_is_a_clip_of_one_frame_of_which_more_is_seen(bench):
    method = bench.method("objective.image_mask_ratio=0.25", data=bench.images)
    batch = bench.batch(method, range(4), data=bench.images)
    assert batch["clip"].shape == (4, 1, 32, 32, 3)
    assert batch["visible"].shape == (4, 3)
    losses = method.eval()(batch)
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["mlm_loss"].item() == pytest.approx(np.log(13), abs=1.5)


def test_four_losses_add_up_and_shorter_batches_say_the_same(bench):
    method = bench.method().eval()
    batch = bench.batch(method, range(3))  # three captions that all differ
    torch.manual_seed(0)
    found = method(batch)
    parts = ("uta_loss", "vtc_loss", "vtm_loss", "mlm_loss")
    assert found["loss"].item() == pytest.approx(sum(found[name].item() for name in parts), rel=1e-6)
    assert 0 < found["uta_loss"].item() < 4
    assert found["vtm_loss"].item() == pytest.approx(np.log(2), abs=0.5)
    torch.manual_seed(0)
    texts = ("ids", "shown", "labels")
    longest = int(batch["num_ids"].max())
    shorter = {name: array[:, :longest] if name in texts else array for name, array in batch.items()}
    assert method(shorter)["loss"].item() == pytest.approx(found["loss"].item(), rel=1e-6)


def test_equal_captions_are_both_right_and_never_held_against_each_other(bench):
    method = bench.method().eval()
    batch = bench.batch(method, range(4))  # the first and the last caption are the same
    assert batch["caption_id"][0] == batch["caption_id"][3]
    alike = {**batch, "caption_id": torch.zeros_like(batch["caption_id"])}
    found = method(alike)
    assert torch.isfinite(found["loss"])
    assert found["vtm_accuracy"].item() in (0, 0.25, 0.5, 0.75, 1)  # of the pairs themselves alone


def test_a_batch_without_a_hidden_word_has_no_loss_for_words(bench):
    method = bench.method()
    batch = bench.batch(method, range(3))
    found = method({**batch, "labels": torch.full_like(batch["labels"], -100)})
    assert found["mlm_loss"].item() == 0
    found["loss"].backward()
    assert (method.text_encoder.cls.predictions.bias.grad == 0).all()


@pytest.mark.parametrize("negatives", ["hard", "random"])
def test_a_batch_can_be_learned_by_heart(bench, negatives):
    method = bench.method(f"objective.negatives={negatives}")
    batch = bench.batch(method, range(3))
    torch.manual_seed(0)
    first, last = learn_by_heart(method, batch, num_updates=250, lr=3e-3)
    assert last["loss"].item() < 0.35 * first["loss"].item()
    assert last["vtm_accuracy"].item() > 0.9
    assert last["mlm_accuracy"].item() == 1


def test_the_temperature_stays_within_its_bounds(bench):
    method = bench.method()
    batch = bench.batch(method, range(3))
    for given, kept in ((0.9, 0.5), (1e-5, 0.001)):
        method.temp.data.fill_(given)
        method(batch)
        assert method.temp.item() == pytest.approx(kept)
    method.temp.data.fill_(0.9)
    method.eval()(batch)
    assert method.temp.item() == pytest.approx(0.9)
    assert not method.no_weight_decay("temp")


def test_a_run_on_videos_and_images_goes_on_as_if_it_had_not_stopped(bench):
    settings = ("train.keep_checkpoints=4", "objective.image_mask_ratio=0.25")
    bench.pretrain(*settings, data=bench.both())
    bench.pretrain(*settings, data=bench.both(), out="again")
    for step in ("step-000006", "step-000004"):
        for file in sorted((bench.root / "again/checkpoints" / step).iterdir(), reverse=True):
            file.unlink()
        (bench.root / "again/checkpoints" / step).rmdir()
    bench.pretrain(*settings, data=bench.both(), out="again")
    whole, resumed = bench.newest().model(), bench.newest("again").model()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_teacher_on_line_says_the_same_of_videos_and_images(bench):
    stored, online = (bench.method(f"objective.{given}").eval() for given in ("mask=tube", "mask=random"))
    assert stored.state_dict().keys() == online.state_dict().keys()
    weights = f"objective.online_weights={bench.weights}"
    recipe = bench.recipe("objective.teacher=online", weights, "objective.image_mask_ratio=0.25")
    for data, num_visible in ((bench.videos, 8), (bench.images, 3)):
        dataset = open_dataset(data, columns=COLUMNS)
        method = build(recipe, dataset, open_teacher=open_teacher).eval()
        samples = [method.prepare(dataset, index, np.random.default_rng(index)) for index in range(3)]
        visible, features = method.teaching(stack(samples))
        assert visible.shape == (3, num_visible)
        kept = bench.method("objective.image_mask_ratio=0.25", data=data)
        read = bench.batch(kept, range(3), data=data)
        assert torch.equal(read["visible"], visible)
        torch.testing.assert_close(features, read["features.npy"][:, :, -2:], atol=1e-4, rtol=1e-4)


def test_without_a_column_the_teacher_sees_crops_as_finetuning_does(bench):
    online = ("objective.teacher=online", "objective.online_model=test_vit")
    named = (*online, f"objective.online_weights={bench.weights}", f"data.columns=frames,{WORDS}")
    dataset = open_dataset(bench.videos, columns=("frames", WORDS))
    method = build(bench.recipe(*named), dataset, open_teacher=open_teacher)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frames = np.stack(dataset.frames(0, method.prepare.clips.sampling.random(9, rng=rng)))
        expected = draw_clip(frames, how=MatchConfig().augment, size_px=32, rng=rng)
        clip = method.prepare(dataset, 0, np.random.default_rng(seed))["clip"]
        np.testing.assert_array_equal(clip, expected)


def test_the_second_stage_starts_from_the_first(bench):
    columns = f"data.columns=frames,{TEACHER}"
    second_alone = ("model.text", "model.fusion", "model.proj")
    shared = [setting for setting in TINY if not setting.startswith(second_alone)]
    recipe = override(first_stage(), [*shared, columns])
    pretrain(recipe, data=bench.videos, out=bench.root / "first", options=bench.options)
    start = from_run(bench.root / "first", options=bench.options)
    bench.pretrain("train.max_steps=1", "optim.lr=1e-9", "optim.lr_floor=0", start=start)
    first, second = bench.newest("first").model(), bench.newest().model()
    for name, tensor in first.items():
        torch.testing.assert_close(second[f"vision_encoder.{name}"], tensor, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["model.fusion_layer=3"],
            r"model.fusion_layer is 3 and model.text_depth 3: the video has to come in",
        ),
        (["model.fusion_layer=0"], "model.fusion_layer is 0"),
        (["model.stretch_time=true"], "tell how a model is finetuned, and umt-vl-tiny pretrains one"),
        (["train.batch_size=1"], "train.batch_size is 1, and a caption is told from others"),
        (["model.num_levels=3", "model.level_interval=1.5"], "which takes 4 blocks, and model.depth is 3"),
        (["model.text_positions=8"], "objective.max_ids is 32 and model.text_positions 8"),
    ],
)
def test_recipes_that_contradict_themselves_are_refused(bench, settings, message):
    with pytest.raises(UsageError, match=message):
        bench.method(*settings)


def test_images_are_refused_where_clips_are_learned_from(bench):
    recipe = override(first_stage(), ["model.image_px=32", f"data.columns=frames,{TEACHER}"])
    with pytest.raises(UsageError, match="images holds images, and umt-tiny is made for .* give it videos"):
        pretrain(recipe, data=bench.images, out=bench.root / "run", options=bench.options)


def test_the_sizes_are_the_published_ones():
    for recipe, rate, batch in ((base(), 1e-4, 2048), (large(), 1e-4, 4096)):
        optim = recipe.optim.for_run(batch_size=batch, updates_per_epoch=100)
        assert (optim.lr, optim.lr_floor, optim.warmup) == (rate, pytest.approx(rate / 100), 100)
        assert recipe.train.batch_size == batch
