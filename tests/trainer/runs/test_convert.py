"""Weights of runs leave and come back; runs start from files as from runs."""

import json
from dataclasses import replace

import pytest
import torch

from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.convert import Conversion, Converted, convert
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import InitialWeights, from_path
from vfm.trainer.runs.run import pretrain
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.exported import layout_for
from vfm.trainer.weights.files import read_weights, write_weights

# Clips as the recipe is made for, so that files are of its network without settings.
STEPS = ("train.batch_size=2", "train.max_steps=1", "data.stride=1", "train.seed=3")


class Bench:
    """A dataset, and runs and files that start from each other."""

    def __init__(self, data, root):
        self.data, self.root, self.said = data, root, []
        self.options = RunOptions(device="cpu", say=self.said.append, accept_data=True)

    def pretrain(self, *settings, out, init=None):
        recipe = override(load_recipe("maskfeat-mvit-tiny"), [*STEPS, *settings])
        start = None if init is None else from_path(self.root / init, options=self.options)
        return pretrain(recipe, start=start, data=self.data, out=self.root / out, options=self.options)

    def finetune(self, *settings, out, init):
        start = from_path(self.root / init, options=self.options)
        recipe = finetune_recipe("classify", start=start.recipe, settings=[*STEPS, *settings])
        return finetune(recipe, start=start, data=self.data, out=self.root / out, options=self.options)

    def convert(self, path, out, **how):
        return convert(self.root / path, self.root / out, how=Conversion(**how), options=self.options)

    def weights(self, run):
        return newest_checkpoint(self.root / run, options=self.options).model()


@pytest.fixture
def bench(toy_dataset, tmp_path):
    made = Bench(toy_dataset(), tmp_path)
    made.pretrain(out="run")
    return made


def test_a_run_leaves_and_another_starts_from_what_left(bench):
    done = bench.convert("run", "left.pyth", target="slowfast")
    weights = bench.weights("run")
    assert done == Converted(
        file=str(bench.root / "left.pyth"),
        recipe="maskfeat-mvit-tiny",
        method="maskfeat",
        task=None,
        source="vfm",
        target="slowfast",
        num_tensors=len(weights) + 2,
        num_parameters=sum(tensor.numel() for tensor in weights.values()) + 54,
        is_encoder=False,
    )
    stored = torch.load(bench.root / "left.pyth", weights_only=True)["model_state"]
    assert all(torch.equal(stored[name], tensor) for name, tensor in weights.items())

    bench.convert("left.pyth", "back.safetensors")
    back = read_weights(bench.root / "back.safetensors").tensors
    assert back.keys() == weights.keys()
    losses = [
        bench.finetune(out=f"from-{init}", init=init).record["loss"]
        for init in ("run", "left.pyth", "back.safetensors")
    ]
    assert losses[0] == losses[1] == losses[2]
    told = f"Starting from the weights of {bench.root / 'back.safetensors'}"
    assert any(sentence.startswith(told) for sentence in bench.said)
    assert any("left.pyth is pretraining of method maskfeat as slowfast saves it" in s for s in bench.said)


def test_pretraining_goes_on_from_a_file(bench):
    bench.convert("run", "run.safetensors")
    still = (
        "optim.warmup=1",
        "optim.warmup_start=0",
    )  # the rate of the only update is 0: the weights stay as they begin
    bench.pretrain(*still, out="second", init="run.safetensors")
    before, after = bench.weights("run"), bench.weights("second")
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    origin = json.loads((bench.root / "second/run.json").read_text())["origin"]
    assert origin.keys() == {"sha256"}
    bench.said.clear()
    assert bench.pretrain(*still, out="second", init="run.safetensors").record == {}
    with pytest.raises(UsageError, match="other settings .the weights it starts from"):
        bench.pretrain(*still, out="second", init="run")


def test_a_finetuned_file_gives_its_encoder(bench):
    recipe = load_recipe("maskfeat-mvit-tiny-classify")
    layout, state = layout_for("slowfast", recipe), random_state(recipe, num_classes=9)
    write_weights(
        bench.root / "x.pyth", layout.to_theirs(state, recipe), container="model_state", metadata={}
    )
    bench.finetune(out="fine", init="x.pyth")
    assert any(s.endswith("x.pyth, but for its head of 9 classes.") for s in bench.said)
    with pytest.raises(UsageError, match="x.pyth was finetuned by maskfeat-mvit-tiny-classify, without"):
        bench.pretrain(out="second", init="x.pyth")


def written_as(path, recipe, *, project, num_classes=3, classes=()):
    """Write drawn weights of a recipe as our own file, and return them."""
    state = random_state(recipe, num_classes=num_classes)
    said = AboutWeights(recipe=recipe, made_from=project, classes=classes)
    write_weights(path, state, container="", metadata=said.to_metadata())
    return state


def test_projects_with_folders_get_one_and_give_it_back(bench):
    recipe = load_recipe("videomae-tiny-classify")
    state = written_as(bench.root / "ours.safetensors", recipe, project="vfm", classes=("a", "b", "c"))
    bench.convert("ours.safetensors", "folder", target="huggingface")
    assert sorted(path.name for path in (bench.root / "folder").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    config = json.loads((bench.root / "folder/config.json").read_text())
    assert (config["id2label"], config["num_attention_heads"]) == ({"0": "a", "1": "b", "2": "c"}, 3)
    for given in ("folder", "folder/model.safetensors"):
        start = from_path(bench.root / given, options=bench.options)
        assert (start.recipe, start.classes) == (recipe, ("a", "b", "c"))
        assert all(torch.equal(start.weights()[name], tensor) for name, tensor in state.items())
    bench.convert("folder", "first.safetensors", num_classes=2)
    first = from_path(bench.root / "first.safetensors", options=bench.options)
    assert first.classes == ("a", "b")
    assert torch.equal(first.weights()["cls_fc.weight"], state["cls_fc.weight"][:2])
    assert torch.equal(first.weights()["cls_fc.bias"], state["cls_fc.bias"][:2])
    for arguments, how, told in [
        (
            ("folder", "again.safetensors"),
            {"num_classes": 4},
            "has a head of 3 classes, of which the first 4 cannot",
        ),
        (("run", "again"), {"num_classes": 1, "target": "slowfast"}, "does not end with"),
        (("ours.safetensors", "folder"), {"target": "huggingface"}, "exists and is not written over"),
        (("ours.safetensors", "x.bin"), {"target": "huggingface"}, "keeps weights in a folder with config.j"),
    ]:
        with pytest.raises(UsageError, match=told):
            bench.convert(*arguments, **how)
    assert not (bench.root / "again").exists()


def test_vimpac_has_its_own_number_of_heads(bench):
    recipe = load_recipe("vimpac-tiny")
    written_as(bench.root / "ours.safetensors", recipe, project="vfm")
    with pytest.raises(UsageError, match="vimpac computes with 1 heads for model.dim=64 .* trained with 2"):
        bench.convert("ours.safetensors", "snap", target="vimpac")
    assert not (bench.root / "snap").exists()
    wide = override(recipe, ["model.dim=128"])
    state = written_as(bench.root / "wide.safetensors", wide, project="vfm")
    bench.convert("wide.safetensors", "snap", target="vimpac")
    start = from_path(bench.root / "snap", options=bench.options)
    assert (start.recipe.model.dim, start.recipe.model.frame_px, start.recipe.model.heads) == (128, 32, 2)
    assert all(torch.equal(start.weights()[name], tensor) for name, tensor in state.items())


def test_names_of_classes_that_are_not_as_many_as_the_head_are_refused(bench):
    recipe = load_recipe("videomae-tiny-classify")
    written_as(bench.root / "ours.safetensors", recipe, project="vfm", classes=("a", "a", "b"))
    with pytest.raises(UsageError, match="names 2 different classes, and the head of the weights has 3"):
        from_path(bench.root / "ours.safetensors", options=bench.options)


def test_names_of_classes_are_given_once(bench):
    recipe = load_recipe("videomae-tiny-classify")
    written_as(bench.root / "bare.safetensors", recipe, project="vfm")
    names = ("run", "walk", "jump")
    bench.convert("bare.safetensors", "named.safetensors", classes=names)
    named = from_path(bench.root / "named.safetensors", options=bench.options)
    assert (named.classes, named.num_classes) == (names, 3)
    bare = from_path(bench.root / "bare.safetensors", options=bench.options)
    assert bare.classes == ()
    assert all(torch.equal(named.weights()[name], tensor) for name, tensor in bare.weights().items())
    bench.convert("named.safetensors", "again.safetensors", classes=names)
    bench.convert("named.safetensors", "two.safetensors", classes=names[:2], num_classes=2)
    assert from_path(bench.root / "two.safetensors", options=bench.options).classes == names[:2]
    bench.convert("bare.safetensors", "folder", classes=names, target="huggingface")
    assert from_path(bench.root / "folder", options=bench.options).classes == names
    for path, how, told in [
        (
            "bare",
            {"classes": names[:2]},
            "--classes has 2 names for a head of 3 classes in .*: give one.*-classes 2",
        ),
        (
            "bare",
            {"classes": (*names, "sit")},
            r"4 names for a head of 3 classes in .*: give one for each\.$",
        ),
        ("named", {"classes": ("run", "jump", "walk")}, "class 1 is walk there and jump in --classes: leave"),
        ("bare", {"classes": names, "target": "videomae"}, "videomae keeps no names of classes: leave out"),
    ]:
        out = "x.pth" if "target" in how else "x.safetensors"
        with pytest.raises(UsageError, match=told):
            bench.convert(f"{path}.safetensors", out, **how)
        assert not (bench.root / out).exists()
    with pytest.raises(UsageError, match="step-000001 has no head whose classes could be named: leave out"):
        bench.convert("run", "x.safetensors", classes=names)


def test_what_contradicts_itself_is_one_sentence(bench):
    bench.convert("run", "run.safetensors")
    for arguments, how, told in [
        (("run", "x.npz"), {}, "does not end with"),
        (("run", "run.safetensors"), {}, "exists and is not written over"),
        (("run", "x.pth"), {}, "would be a pickle, and our own weights are kept as .safetensors"),
        (("run", "x.pth"), {"source": "slowfast", "target": "slowfast"}, "is a run, which has its recipe"),
        (
            ("run", "x.pth"),
            {"target": "mmaction2"},
            "mmaction2 has no names for pretraining",
        ),
        (("run.safetensors", "x.safetensors"), {"averaged": True}, "one set of weights: leave out --ema"),
        (("run", "x.safetensors"), {"averaged": True}, "keeps no average of its weights"),
        (("absent", "x.safetensors"), {}, "cannot be read"),
    ]:
        with pytest.raises(UsageError, match=told):
            bench.convert(*arguments, **how)
    with pytest.raises(UsageError, match="one set of weights: leave out --ema"):
        from_path(bench.root / "run.safetensors", options=bench.options, averaged=True)
    assert not (bench.root / "x.pth").exists()


def test_weights_of_other_strides_are_refused(bench):
    told = r"was trained with model.kv_stride=\d, and maskfeat-mvit-tiny has 2, with which its tokens"
    with pytest.raises(UsageError, match=told):
        bench.pretrain("model.kv_stride=2", out="second", init="run")
    with pytest.raises(
        UsageError, match=r"was trained with model.pools_at=1,2, and maskfeat-mvit-tiny has 2,3"
    ):
        bench.pretrain("model.pools_at=2,3", out="second", init="run")
    with pytest.raises(UsageError, match=r"maskfeat-mvit-tiny-classify has 2, with which its tokens"):
        bench.finetune("model.kv_stride=2", out="fine", init="run")
    bench.finetune(out="fine", init="run")  # which pools once more than pretraining


def test_files_keep_to_the_codebook_of_their_run(toy_dataset, tmp_path):
    options = RunOptions(device="cpu", say=(said := []).append)
    small = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "data.clip_len=3")
    recipe = override(load_recipe("vimpac-tiny"), [*small, "train.batch_size=4", "train.max_steps=1"])
    data, file = toy_dataset(), tmp_path / "run.safetensors"
    pretrain(recipe, data=data, out=tmp_path / "run", options=options)
    convert(tmp_path / "run", file, how=Conversion(), options=options)
    start = from_path(file, options=options)

    pretrain(recipe, start=start, data=data, out=tmp_path / "second", options=options)
    other = toy_dataset("other", codebook="another")
    with pytest.raises(UsageError, match=r"from the one that .*run.safetensors was trained on in codebook"):
        pretrain(recipe, start=start, data=other, out=tmp_path / "third", options=options)
    assert not any("taken for granted" in sentence for sentence in said)
    unknown = replace(start, file=replace(start.file, columns={}))
    pretrain(recipe, start=unknown, data=other, out=tmp_path / "fourth", options=options)
    assert any(sentence.endswith("taken for granted that vq.toy is the same.") for sentence in said)


@pytest.fixture
def captioned(toy_dataset, tmp_path):
    return Bench(toy_dataset(columns=("text.toy",)), tmp_path)


CAPTIONED = (*STEPS, "model.text_mean=all", "data.split=all")


def published(name, path, *, num_words):
    """Write a file of SimVTP that knows so many words."""
    recipe = override(load_recipe(name), ["model.text_mean=all"])
    state = {
        key: t.new_zeros(num_words, *t.shape[1:]) if "word_emb" in key or key.startswith("text_cls.") else t
        for key, t in random_state(recipe).items()
    }
    theirs = layout_for("simvtp", recipe).to_theirs(state, recipe)
    write_weights(path, theirs, container="model", metadata={})


@pytest.mark.parametrize(
    ("init", "name"),
    [
        ("simvtp-tiny", "simvtp-tiny"),
        ("simvtp-tiny", "simvtp-tiny-retrieve"),
        ("simvtp-tiny-retrieve", "simvtp-tiny-retrieve"),
    ],
)
def test_runs_start_from_weights_that_know_their_words_and_no_others(captioned, tmp_path, init, name):
    recipe = override(load_recipe(name), CAPTIONED)

    def train(num_words):
        path = tmp_path / f"{num_words}.pth"
        published(init, path, num_words=num_words)
        given = {"data": captioned.data, "out": tmp_path / "run", "options": captioned.options}
        learn = pretrain if recipe.task is None else finetune
        return learn(recipe, start=from_path(path, options=captioned.options), **given)

    told = (
        r"17.pth knows 17 words, and column text.toy of \S+ has ids of a vocabulary of 16: make the column "
        "with the vocabulary that the weights were trained with."
    )
    with pytest.raises(UsageError, match=told):
        train(17)
    assert not (tmp_path / "run").exists()
    assert train(16).step == 1


def test_a_retriever_leaves_to_the_project_and_comes_back(captioned, tmp_path):
    recipe = override(load_recipe("simvtp-tiny-retrieve"), CAPTIONED)
    start = InitialWeights(recipe=recipe)
    finetune(recipe, start=start, data=captioned.data, out=tmp_path / "run", options=captioned.options)
    weights = captioned.weights("run")
    done = captioned.convert("run", "left.pth", target="simvtp")
    assert (done.task, done.is_encoder, done.num_tensors) == ("retrieve", False, len(weights))
    stored = torch.load(tmp_path / "left.pth", weights_only=True)["model"]
    assert stored.keys() == {name.removeprefix("backbone.") for name in weights}
    captioned.convert("left.pth", "back.safetensors")
    back = read_weights(tmp_path / "back.safetensors").tensors
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in weights.items())


def test_the_teacher_of_umt_is_read_past_and_not_written_and_both_are_said(bench):
    recipe = load_recipe("umt-vl-tiny")
    theirs = layout_for("umt", recipe).to_theirs(random_state(recipe), recipe)
    teacher = {f"clip_teacher.{name}": torch.ones(2) for name in "abcde"}
    torch.save({"model": theirs | teacher, "epoch": 1}, bench.root / "in.pth")
    done = bench.convert("in.pth", "out.pth", target="umt")
    assert (done.num_tensors, done.source) == (len(theirs), "umt")
    read, written = bench.said[-2:]
    assert "not learned: clip_teacher.* (5 tensors), text_encoder.bert.embeddings.position_ids." in read
    assert written == "Files of umt may hold clip_teacher.* too, which nobody learns and is not written."
    again = torch.load(bench.root / "out.pth", weights_only=True)["model"]
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in theirs.items())
