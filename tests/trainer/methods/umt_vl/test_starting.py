"""From files of UMT's stages on: the second from the first and a BERT, and retrieving from the second."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import from_path, from_run
from vfm.trainer.runs.run import pretrain
from vfm.trainer.weights.bert import read_bert
from vfm.trainer.weights.exported import layout_for
from vfm.trainer.weights.fit import shapes_of
from vfm.video2token.teachers.frame_teacher import open_teacher

# One update whose rate is 0: the weights stay as they begin.
STILL = ("train.max_steps=1", "optim.warmup=1", "optim.lr_floor=0")
TEACHER_DIM = 64  # of timm's test_vit
ONE = ("train.batch_size=4", "train.num_workers=0", "train.precision=fp32", *STILL)


def shapes_of_umt(recipe):
    """Return the shapes of a pretraining for the words of the toy."""
    head, words = "clip_decoder.0.head.weight", "embeddings.word_embeddings.weight"
    told = {head: TEACHER_DIM, f"vision_encoder.{head}": TEACHER_DIM, f"text_encoder.bert.{words}": 16}
    return shapes_of(recipe, {name: torch.empty(rows, 0) for name, rows in told.items()})


def file_of_umt(recipe, path, *, extra=(), lacking=()):
    """Write a file as UMT's scripts write it, and return our state in it."""
    generator = torch.Generator().manual_seed(0)
    shapes = shapes_of_umt(recipe)
    state = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    theirs = layout_for("umt", recipe).to_theirs(state, recipe)
    theirs |= {name: torch.ones(2, 2) for name in extra}
    torch.save({"model": {n: t for n, t in theirs.items() if n not in lacking}, "epoch": 9}, path)
    return state


class Bench:
    """Captioned frames, files of UMT, and its second stage with a teacher on line."""

    def __init__(self, data, root, teacher):
        self.data, self.root, self.teacher, self.said = data, root, teacher, []
        self.file = root / "file.pth"
        # The toy's frames are smaller than the recipes'.
        self.options = RunOptions(device="cpu", say=self.said.append, accept_data=True)

    def newest(self, out="second"):
        return newest_checkpoint(self.root / out, options=self.options)

    def pretrain_vl(self, **changed):
        online = (
            "objective.teacher=online",
            "objective.online_model=test_vit",
            "data.columns=frames,text.toy",
        )
        online = (*online, f"objective.online_weights={self.teacher}", *ONE)
        recipe = override(load_recipe("umt-vl-tiny"), online)
        start = replace(from_path(self.file, options=self.options), **changed)
        how = {"data": self.data, "out": self.root / "second", "options": self.options}
        return pretrain(recipe, start=start, **how, open_teacher=open_teacher)

    def retrieve(self):
        start = from_path(self.file, options=self.options)
        recipe = finetune_recipe("retrieve", start=start.recipe, settings=[*ONE, "data.split=train"])
        out = self.root / "second"
        return finetune(recipe, start=start, data=self.data, out=out, options=self.options)


@pytest.fixture
def bench(toy_dataset, tiny_vit, tmp_path):
    return Bench(toy_dataset("captioned", columns=("text.toy",)), tmp_path, tiny_vit)


def test_the_second_stage_of_umt_starts_from_a_file_of_the_first_and_a_bert(bench):
    student = file_of_umt(load_recipe("umt-tiny"), bench.file)
    shapes, text = shapes_of_umt(load_recipe("umt-vl-tiny")), "text_encoder."
    generator = torch.Generator().manual_seed(1)
    drawn = {
        name.removeprefix(text): torch.randn(shape, generator=generator)
        for name, shape in shapes.items()
        if name.startswith(f"{text}bert.") and ".crossattention." not in name
    }
    save_file(drawn, bench.root / "bert.safetensors")
    bert = read_bert(bench.root / "bert.safetensors")
    bench.pretrain_vl(bert=bert)
    after = bench.newest().model()
    assert all(torch.equal(after[f"vision_encoder.{name}"], tensor) for name, tensor in student.items())
    assert all(torch.equal(after[f"text_encoder.{name}"], tensor) for name, tensor in drawn.items())
    assert after["temp"].item() == pytest.approx(0.07)
    assert f"{bert.path} has no cls.predictions.*, which begins anew." in bench.said
    told = f"Starting from the weights of {bench.file} and what umt-vl-tiny has of the BERT {bert.path}."
    assert told in bench.said


def test_a_file_of_the_second_stage_is_finetuned_to_retrieve(bench):
    state = file_of_umt(load_recipe("umt-vl-tiny"), bench.file, extra=("clip_teacher.proj",))
    bench.retrieve()
    after = bench.newest().model()
    names = {
        f"backbone.{name}".replace("text_encoder.bert.", "text_encoder."): name
        for name in state
        if not name.startswith(("vision_encoder.clip_decoder.", "text_encoder.cls."))
    }
    assert after.keys() == names.keys()
    for ours, name in names.items():
        wanted = state[name].clamp(0.001, 0.5) if name == "temp" else state[name]
        assert torch.equal(after[ours], wanted), name
    again = from_run(bench.root / "second", options=bench.options)
    recipe = finetune_recipe("retrieve", start=again.recipe, settings=[*ONE, "data.split=train"])
    out = bench.root / "third"
    finetune(recipe, start=again, data=bench.data, out=out, options=bench.options)
    assert all(torch.equal(tensor, after[name]) for name, tensor in bench.newest("third").model().items())


@pytest.mark.parametrize(
    ("recipe", "task"),
    [("umt-tiny", "pretrain_vl"), ("umt-vl-tiny", "pretrain_vl"), ("umt-vl-tiny", "retrieve")],
)
def test_a_file_of_umt_that_is_not_whole_is_one_sentence(bench, recipe, task):
    start = getattr(bench, task)
    student = "vision_encoder.encoder" if "vl" in recipe else "encoder"
    lacking = f"{student}.blocks.0.norm1.bias"
    file_of_umt(load_recipe(recipe), bench.file, lacking=(lacking,), extra=("odd",))
    with pytest.raises(UsageError, match=rf"of no recipe's network; .* \(missing: {lacking}; unused: odd\)"):
        start()
    assert not (bench.root / "second").exists()
