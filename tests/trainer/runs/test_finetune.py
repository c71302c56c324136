import signal
from dataclasses import replace

import pytest
import torch

from vfm.shards.columns.views import random_views, vimpac_views
from vfm.shards.errors import UsageError
from vfm.shards.progress import NoProgress
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.convert import Conversion, convert
from vfm.trainer.runs.finetune import finetune, finetune_recipe, told_of_encoder
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import InitialWeights, from_path, from_run
from vfm.trainer.runs.run import pretrain

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "model.nce_proj_dim=8", "data.clip_len=3")
PRETRAIN = (*TINY, "train.batch_size=4", "train.max_steps=2")
FINETUNE = ("train.batch_size=4", "train.max_steps=3", "data.split=train", "optim.lr=0.01")
STILL = ("train.max_steps=1", "optim.warmup=1")  # one update whose rate is 0: the weights stay as they begin


class Stopping(NoProgress):
    """Asks to stop as soon as one update is done."""

    is_asked = False

    def advance(self, **_done):
        if not self.is_asked:  # a second signal would end the process
            self.is_asked = True
            signal.raise_signal(signal.SIGINT)


class Bench:
    """One dataset, one pretrained run, and a finetuner."""

    def __init__(self, data, root):
        self.data, self.root, self.said = data, root, []
        self.options = RunOptions(device="cpu", say=self.said.append)

    def pretrain(self, *settings):
        recipe = override(load_recipe("vimpac-tiny"), [*PRETRAIN, *settings])
        pretrain(recipe, data=self.data, out=self.root / "pre", options=self.options)
        return from_run(self.root / "pre", options=self.options)

    def finetune(self, start, *settings, out="fine", data=None):
        recipe = finetune_recipe("classify", start=start.recipe, settings=[*FINETUNE, *settings])
        data = data or self.data
        return finetune(recipe, start=start, data=data, out=self.root / out, options=self.options)

    def newest(self, name):
        return newest_checkpoint(self.root / name, options=self.options)


@pytest.fixture
def bench(toy_dataset, tmp_path):
    return Bench(toy_dataset(), tmp_path)


def test_recipe_is_the_tasks_numbers_with_the_encoders_model():
    encoder = override(load_recipe("vimpac-tiny"), ["model.dim=64", "data.clip_len=7", "data.column=vq.x"])
    recipe = finetune_recipe("classify", start=encoder, settings=["optim.lr=3e-4"])
    plain = load_recipe("vimpac-tiny-classify")
    assert recipe.model == encoder.model
    assert (recipe.data.columns, recipe.data.clip_len) == (("vq.x",), 7)
    assert recipe.optim == replace(plain.optim, lr=3e-4)
    assert (recipe.objective, recipe.train, recipe.task) == (plain.objective, plain.train, "classify")


def test_how_often_blocks_are_left_out_is_the_tasks_number():
    encoder = override(load_recipe("videomae-base"), ["model.depth=10", "data.clip_len=8"])
    recipe = finetune_recipe("classify", start=encoder, settings=[])
    assert recipe.model == replace(encoder.model, drop_path=0.1) != encoder.model
    assert (recipe.data.sampling, recipe.data.clip_len) == ("dense", 8)
    assert recipe.data.seconds_apart == encoder.data.seconds_apart
    whole = finetune_recipe("classify", start=encoder, settings=[], numbers="videomae-base-classify-ssv2")
    assert (whole.data.sampling, whole.data.seconds_apart, whole.data.clip_len) == ("ssv2", "any", 8)


def test_encoder_without_a_recipe_of_its_own_is_told_which_there_are():
    encoder = replace(load_recipe("vimpac-tiny"), name="mine")
    told = (
        "Recipe mine-classify does not exist.*--recipe .* or vimpac-small-classify .* or vimpac-tiny-classify"
    )
    with pytest.raises(UsageError, match=told):
        finetune_recipe("classify", start=encoder, settings=[])
    chosen = finetune_recipe("classify", start=encoder, settings=[], numbers="vimpac-tiny-classify")
    assert (chosen.name, chosen.model) == ("vimpac-tiny-classify", encoder.model)


def test_only_what_the_encoder_decides_against_a_recipe_is_told():
    encoder = override(load_recipe("umt-base"), ["data.stride=1"])  # as a run has it
    settings = ["data.split=train", "optim.lr=1e-3"]
    names = ("umt-base-classify-k400", "umt-base-classify-mit-384", "umt-large-classify")
    told = []
    for name in names:
        recipe = finetune_recipe("classify", start=encoder, settings=settings, numbers=name)
        told.append(told_of_encoder(recipe, numbers=name, settings=settings))
    assert told[:2] == [None, None]
    assert told[2] == (
        "As the encoder has it, not as umt-large-classify says: model.dim: 1024 -> 768; "
        "model.depth: 24 -> 12; model.num_heads: 16 -> 12."
    )


def test_unknown_task():
    with pytest.raises(UsageError, match="Unknown task 'segment': choose one of attentive, classify, linear"):
        finetune_recipe("segment", start=load_recipe("vimpac-tiny"), settings=[])


def test_method_without_a_recipe_for_the_task():
    with pytest.raises(UsageError, match="Recipe vimpac-tiny-classify does not exist; .*vfm recipes"):
        finetune_recipe("classify", start=replace(load_recipe("vimpac-tiny"), method="other"), settings=[])


@pytest.mark.parametrize(
    ("encoder", "numbers", "told"),
    [
        (
            "umt-base",
            None,
            r"umt-vl-base DATA --init RUN` \(or with umt-vl-large, umt-vl-tiny\), and finetune",
        ),
        ("umt-tiny", "umt-vl-tiny-retrieve", r"umt-vl-tiny DATA --init RUN` \(or with umt-vl-base, umt-vl-l"),
        (
            "videomae-base",
            None,
            r"simvtp-base DATA --init RUN` \(or with simvtp-tiny\), and finetune that run",
        ),
    ],
)
def test_what_reads_no_captions_is_told_what_to_pretrain_first(encoder, numbers, told):
    start = load_recipe(encoder)
    told = (
        f"{encoder} has not learned what it takes to retrieve: pretrain from it first, `vfm pretrain {told}"
    )
    with pytest.raises(UsageError, match=told):
        finetune_recipe("retrieve", start=start, settings=[], numbers=numbers)


def test_starts_from_the_pretrained_encoder(bench):
    start = bench.pretrain()
    # One update whose rate is 0 (warm-up), so the weights are still those it started from.
    bench.finetune(start, "train.max_steps=1", "optim.warmup=1")
    weights, taught = start.checkpoint.model(), bench.newest("fine").model()
    backbone = {name for name in weights if name.startswith("backbone.")}
    assert backbone == {name for name in taught if not name.startswith("cls_fc.")}
    assert all(torch.equal(weights[name], taught[name]) for name in backbone)
    assert not taught["cls_fc.weight"].any()


def test_the_head_of_a_finetuned_run_is_left_behind_aloud(bench):
    bench.finetune(bench.pretrain())
    start = from_run(bench.root / "fine", options=bench.options)
    bench.finetune(start, "train.max_steps=1", "optim.lr=1e-12", out="again")
    assert (
        f"Starting from the weights of {start.checkpoint.path}, but for its head of 2 classes." in bench.said
    )
    before, after = start.checkpoint.model(), bench.newest("again").model()
    assert torch.allclose(before["backbone.cls_param"], after["backbone.cls_param"], atol=1e-6)
    assert not torch.allclose(before["cls_fc.weight"], after["cls_fc.weight"], atol=1e-3)


def test_from_scratch_draws_new_weights(bench):
    start = bench.pretrain()
    bench.finetune(InitialWeights(recipe=start.recipe), "train.max_steps=1", "optim.warmup=1", out="scratch")
    name = "backbone.embedding.weight"
    assert not torch.equal(bench.newest("scratch").model()[name], start.checkpoint.model()[name])
    assert bench.newest("scratch").state["origin"] == {}


def test_positions_stretch_to_another_clip_length(bench):
    start = bench.pretrain()
    bench.finetune(start, "data.clip_len=5")
    told = "The encoder was trained on 3 frames of 32 px and is finetuned on 5 frames of 32 px"
    assert f"{told}: its tables of positions are stretched." in bench.said
    table = bench.newest("fine").model()["backbone.positional_embedding.temporal_pos_embedding"]
    assert table.shape == (5, 16)


def test_resumes_and_is_finished(bench):
    start = bench.pretrain()
    assert bench.finetune(start).step == 3
    assert bench.finetune(start).record == {}


def test_one_stored_view_is_said_and_learned_from_as_before(bench):
    start = bench.pretrain()
    bench.finetune(start, "objective.augment.stored_views=any", out="any")
    assert (
        bench.said.count(
            "vimpac-tiny-classify draws one of 12 stored views whenever a sample is read, and there is one: "
            "`vfm tokenize DATA --target vq:CODEBOOK --views vimpac12 --name NEW` makes them."
        )
        == 1
    )
    bench.said.clear()
    bench.finetune(start, out="first")
    assert not [said for said in bench.said if "stored views" in said]
    one, other = (bench.newest(name).model() for name in ("any", "first"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_twelve_stored_views_are_learned_from(bench, toy_dataset):
    start = bench.pretrain()
    data = toy_dataset("twelve", views=vimpac_views(32))
    for name in ("any", "unmirrored", "first"):
        bench.finetune(start, f"objective.augment.stored_views={name}", out=name, data=data)
    assert [said for said in bench.said if "stored views" in said] == [
        "Of the 12 stored views of a sample the first is learned from: --set "
        "objective.augment.stored_views=any draws one whenever a sample is read, unmirrored one of those "
        "that are not mirrored."
    ]
    drawn, plain, first = (bench.newest(n).model()["cls_fc.bias"] for n in ("any", "unmirrored", "first"))
    assert not torch.equal(drawn, plain)
    assert not torch.equal(plain, first)
    bench.finetune(start, out="middle")
    bench.finetune(start, "objective.augment.stored_views=any", out="again", data=data)
    assert torch.equal(bench.newest("again").model()["cls_fc.bias"], drawn)
    assert torch.equal(bench.newest("middle").model()["cls_fc.bias"], first)


def test_a_column_without_the_middle_is_refused_before_anything_is_trained(bench, toy_dataset):
    start = bench.pretrain()
    data = toy_dataset("random", views=random_views(2, crop_px=32))
    with pytest.raises(UsageError, match=r"vq.toy does not hold codes of the middle square, .*vimpac12"):
        bench.finetune(start, data=data)
    assert not (bench.root / "fine").exists()


def test_other_weights_to_start_from_are_refused(bench):
    start = bench.pretrain()
    bench.finetune(start)
    with pytest.raises(UsageError, match=r"other settings \(the weights it starts from\)"):
        bench.finetune(InitialWeights(recipe=start.recipe))


def test_only_labelled_samples_of_the_split_are_learned(toy_dataset, tmp_path):
    bench = Bench(toy_dataset(unlabelled=(0, 4)), tmp_path)
    bench.finetune(bench.pretrain(), "train.max_steps=none", "train.epochs=1", "train.batch_size=7")
    assert "1 of 8 samples have no label and are left out." in bench.said
    assert bench.newest("fine").state["place"] == {"seed": 0, "epoch": 1, "samples_seen": 0}


def test_no_labels(toy_dataset, tmp_path):
    bench = Bench(toy_dataset(classes=()), tmp_path)
    with pytest.raises(UsageError, match="has no labels here"):
        bench.finetune(bench.pretrain())


def test_one_class_is_nothing_to_tell_apart(toy_dataset, tmp_path):
    bench = Bench(toy_dataset(classes=("left",)), tmp_path)
    with pytest.raises(UsageError, match="Classification needs at least two classes, and the dataset has 1"):
        bench.finetune(bench.pretrain())


def test_codes_of_another_codebook_are_refused(bench, toy_dataset):
    start = bench.pretrain()
    other = toy_dataset("other", codebook="another")
    with pytest.raises(UsageError, match=r"Column vq.toy of .*other differs .* in codebook"):
        bench.finetune(start, data=other)


def test_clips_of_the_same_shape_are_not_talked_of(bench):
    bench.finetune(bench.pretrain())
    bench.finetune(InitialWeights(recipe=load_recipe("vimpac-tiny")), "data.clip_len=3", out="scratch")
    assert not [told for told in bench.said if "was trained on" in told]


def test_codes_of_another_crop_are_told_of(bench, toy_dataset):
    bench.finetune(bench.pretrain(), data=toy_dataset("other", crop_px=64))
    assert any("on 3 frames of 32 px and is finetuned on 3 frames of 64 px: " in told for told in bench.said)


def test_an_encoder_of_frames_is_finetuned_on_more_and_smaller_ones(bench):
    settings = ["train.batch_size=4", "train.max_steps=1", "model.image_px=32", "data.columns=frames"]
    recipe = override(load_recipe("videomae-tiny"), settings)
    pretrain(recipe, data=bench.data, out=bench.root / "pixels", options=bench.options)
    start = from_run(bench.root / "pixels", options=bench.options)
    bench.finetune(start, "data.clip_len=6", "model.image_px=16")
    told = "The encoder was trained on 4 frames of 32 px and is finetuned on 6 frames of 16 px"
    assert f"{told}: its table of positions is computed anew." in bench.said
    recipe = newest_checkpoint(bench.root / "fine", options=bench.options).state["recipe"]
    assert (recipe["data"]["clip_len"], recipe["model"]["image_px"]) == (6, 16)


@pytest.mark.parametrize("other", [{"crop_px": 64}, {"crop_px": 64, "enlargement": 2.0}])
def test_another_crop_of_the_same_codebook_is_taken(bench, toy_dataset, other):
    assert bench.finetune(bench.pretrain(), data=toy_dataset("other", **other)).step == 3


def test_split_that_is_not_there(bench):
    with pytest.raises(
        UsageError,
        match=r"no sample of split 'test': choose one of these: train \(8\), val \(4\), all \(12\)\.",
    ):
        bench.finetune(bench.pretrain(), "data.split=test")


@pytest.fixture
def classifier(bench):
    bench.finetune(bench.pretrain(), "optim.lr=0.01", out="first")
    return replace(from_run(bench.root / "first", options=bench.options), keeps_head=True)


@pytest.mark.parametrize("is_file", [False, True])
def test_with_its_head_every_weight_is_that_of_the_classifier(bench, classifier, is_file):
    start = classifier
    if is_file:
        file = bench.root / "first.safetensors"
        convert(bench.root / "first", file, how=Conversion(), options=bench.options)
        start = replace(from_path(file, options=bench.options), keeps_head=True)
    bench.finetune(start, *STILL)
    before, after = classifier.weights(), bench.newest("fine").model()
    assert before["cls_fc.weight"].abs().sum() > 0
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    told = f"Starting from the weights of {start.path}, and keeping its head of 2 classes."
    assert told in bench.said


def test_a_stopped_run_with_a_kept_head_goes_on_to_the_same_weights(bench, classifier, monkeypatch):
    bench.finetune(classifier, "optim.lr=0.01", out="whole")
    stopped = replace(bench.options, progress=Stopping())
    monkeypatch.setattr(bench, "options", stopped)
    assert bench.finetune(classifier, "optim.lr=0.01").signal == signal.SIGINT
    monkeypatch.undo()
    assert bench.newest("fine").step < 3
    assert bench.finetune(classifier, "optim.lr=0.01").step == 3
    one, other = (bench.newest(out).model() for out in ("whole", "fine"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    bench.finetune(replace(classifier, keeps_head=False), "optim.lr=0.01", out="new")
    assert not torch.equal(bench.newest("new").model()["cls_fc.weight"], one["cls_fc.weight"])


def test_a_kept_head_tells_a_run_from_another(bench, classifier):
    bench.finetune(classifier, out="kept")
    assert bench.newest("kept").state["origin"]["keeps_head"]
    assert "keeps_head" not in bench.newest("first").state["origin"]
    assert bench.finetune(classifier, out="kept").record == {}
    other = replace(classifier, keeps_head=False)
    bench.finetune(other, out="new")
    for start, out in ((other, "kept"), (classifier, "new")):
        with pytest.raises(UsageError, match=r"holds a run with other settings \(--keep-head\): repeat"):
            bench.finetune(start, out=out)


def test_heads_that_cannot_be_kept(bench, classifier, toy_dataset):
    def refused(start, message, *, task="classify", **change):
        data = toy_dataset(f"data-{len(list(bench.root.iterdir()))}", **change)
        recipe = finetune_recipe(task, start=start.recipe, settings=["data.split=train"])
        with pytest.raises(UsageError, match=message):
            finetune(recipe, start=start, data=data, out=bench.root / "none", options=bench.options)
        assert not (bench.root / "none").exists()

    refused(classifier, "in another order, class 0 is left .*: leave out", classes=("right", "left"))
    refused(
        classifier,
        r"tells left, right apart and .* has the classes left, right, up: leave out --keep-head, or",
        classes=("left", "right", "up"),
    )
    refused(classifier, "A linear probe begins with heads of its own: leave out", task="linear")
    pretrained = replace(from_run(bench.root / "pre", options=bench.options), keeps_head=True)
    refused(pretrained, "step-000002 is no classifier whose head could be kept: leave out --keep-head")
    file = bench.root / "first.safetensors"
    convert(bench.root / "first", file, how=Conversion(), options=bench.options)
    found = from_path(file, options=bench.options)
    nameless = replace(found, file=replace(found.file, classes=()), keeps_head=True)
    refused(nameless, "first.safetensors has a head of 2 classes and does not say which they are: `vfm c")
