import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import InitialWeights, from_run
from vfm.trainer.runs.run import pretrain
from vfm.trainer.weights.bert import read_bert

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "model.nce_proj_dim=8", "data.clip_len=3")
STEPS = ("train.batch_size=4", "train.max_steps=2")
STILL = ("train.max_steps=1", "optim.warmup=1")  # one update whose rate is 0: the weights stay as they begin


class Bench:
    """One dataset, and runs on it that start from each other."""

    def __init__(self, data, root):
        self.data, self.root, self.said = data, root, []
        self.options = RunOptions(device="cpu", say=self.said.append)

    def pretrain(self, *settings, out="second", init=None, recipe="vimpac-tiny", data=None):
        chosen = override(
            load_recipe(recipe), [*(TINY if recipe == "vimpac-tiny" else ()), *STEPS, *settings]
        )
        start = None if init is None else from_run(self.root / init, options=self.options)
        data = data or self.data
        return pretrain(chosen, start=start, data=data, out=self.root / out, options=self.options)

    def finetune(self, *, out, init):
        start = from_run(self.root / init, options=self.options)
        settings = ["train.batch_size=4", "train.max_steps=1", "data.split=train"]
        recipe = finetune_recipe("classify", start=start.recipe, settings=settings)
        return finetune(recipe, start=start, data=self.data, out=self.root / out, options=self.options)

    def newest(self, out="second"):
        return newest_checkpoint(self.root / out, options=self.options)


@pytest.fixture
def bench(toy_dataset, tmp_path):
    made = Bench(toy_dataset(), tmp_path)
    made.pretrain(out="first")
    return made


def test_every_weight_is_that_of_the_run_it_starts_from(bench):
    bench.pretrain(*STILL, init="first")
    before, after = bench.newest("first").model(), bench.newest().model()
    assert before.keys() == after.keys()
    learned = [
        name for name, tensor in before.items() if tensor.is_floating_point() and "running" not in name
    ]
    assert {name.partition(".")[0] for name in learned} == {"backbone", "mlm_head", "cls_head"}
    assert all(torch.equal(before[name], after[name]) for name in learned)
    first = bench.root / "first/checkpoints/step-000002"
    assert f"Starting from the weights of {first}." in bench.said


def test_the_new_run_has_a_schedule_and_moments_of_its_own(bench):
    bench.pretrain(*STILL, init="first")
    found = bench.newest()
    assert (found.step, found.state["num_steps"]) == (1, 1)
    assert found.state["place"] == {"seed": 0, "epoch": 0, "samples_seen": 4}
    steps = [tensor for name, tensor in found.optim().items() if name.startswith("step/")]
    assert steps
    assert all(int(step) == 1 for step in steps)
    told = json.loads((bench.root / "second/run.json").read_text())
    first = bench.newest("first")
    assert told["origin"] == {"sha256": first.state["files"]["model.safetensors"]["sha256"], "step": 2}


def test_the_same_command_resumes_and_another_start_is_refused(bench):
    bench.pretrain(init="first")
    bench.said.clear()
    assert bench.pretrain(init="first").record == {}
    assert bench.said == []
    bench.pretrain("train.seed=5", out="other")
    for init in ("other", None):
        with pytest.raises(UsageError, match=r"other settings \(the weights it starts from\): repeat"):
            bench.pretrain(init=init)


def test_positions_are_stretched_and_what_differs_is_said(bench):
    bench.pretrain(*STILL, "data.clip_len=5", "model.num_heads=4", init="first")
    table = "backbone.positional_embedding.temporal_pos_embedding"
    assert bench.newest().model()[table].shape == (5, 16)
    assert any(text.endswith("step-000002, with model.num_heads: 2 -> 4.") for text in bench.said)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("model.dim=32", r"backbone.cls_param is \(16,\) there and \(32,\) here; repeat the recipe"),
        ("model.nce_proj_dim=4", r"cls_head.mlp.bn_0.bias is \(8,\) there and \(4,\) here"),
        ("model.num_layers=2", r"resblocks.1.*is absent there and \(16,\) here"),
    ],
)
def test_other_sizes_are_one_sentence_and_leave_no_folder(bench, setting, told):
    with pytest.raises(UsageError, match=told):
        bench.pretrain(setting, init="first")
    assert not (bench.root / "second").exists()


def test_another_method_is_one_sentence(bench):
    told = (
        r"step-000002 was pretrained by vimpac-tiny, whose network videomae-tiny does not have: "
        "choose a recipe of method vimpac, or a run of method videomae for --init"
    )
    with pytest.raises(UsageError, match=told):
        bench.pretrain(init="first", recipe="videomae-tiny")
    assert not (bench.root / "second").exists()


def test_a_finetuned_run_is_one_sentence(bench):
    bench.finetune(out="taught", init="first")
    with pytest.raises(
        UsageError, match="was finetuned by vimpac-tiny-classify, .*: give --init a pretrained"
    ):
        bench.pretrain(init="taught")
    assert not (bench.root / "second").exists()


def test_codes_of_another_codebook_are_refused(bench, toy_dataset):
    with pytest.raises(UsageError, match=r"Column vq.toy of .*other differs .* in codebook: make the column"):
        bench.pretrain(init="first", data=toy_dataset("other", codebook="another"))
    assert bench.pretrain(init="first", data=toy_dataset("cropped", crop_px=64)).step == 2


def test_a_run_that_is_not_there(bench):
    with pytest.raises(UsageError, match="none holds no checkpoint: make one with `vfm pretrain`"):
        bench.pretrain(init="none")


def test_a_run_does_not_start_from_itself(bench):
    told = "--init names the run in --out itself, .*first: repeat the command .*, with --extend to train it"
    with pytest.raises(UsageError, match=told):
        bench.pretrain("train.max_steps=4", init="first", out="first")


def words_file(path, *, dim=16, num_words=16):
    shapes = {
        "word_embeddings.weight": (num_words, dim),
        "position_embeddings.weight": (32, dim),
        "token_type_embeddings.weight": (2, dim),
        "LayerNorm.weight": (dim,),
        "LayerNorm.bias": (dim,),
    }
    generator = torch.Generator().manual_seed(0)
    drawn = {f"bert.embeddings.{n}": torch.randn(s, generator=generator) for n, s in shapes.items()}
    save_file(drawn, path)
    return drawn


SMALL = ("model.image_px=32", "model.dim=16", "model.num_heads=2", "model.decoder_dim=8", "model.depth=1")
SMALL = (*SMALL, "model.decoder_heads=2", "model.decoder_depth=1", *STEPS)


@pytest.fixture
def captioned(toy_dataset, tmp_path):
    made = Bench(toy_dataset("captioned", columns=("text.toy",)), tmp_path)
    made.pretrain(*SMALL, recipe="videomae-tiny", out="first")
    return made


def test_simvtp_starts_from_videomae_and_words_of_bert(captioned):
    drawn = words_file(captioned.root / "bert.safetensors")
    bert = read_bert(captioned.root / "bert.safetensors")
    start = replace(from_run(captioned.root / "first", options=captioned.options), bert=bert)
    recipe = override(load_recipe("simvtp-tiny"), [*SMALL, *STILL])
    captioned.said.clear()
    out = captioned.root / "second"
    pretrain(recipe, start=start, data=captioned.data, out=out, options=captioned.options)
    before, after = captioned.newest("first").model(), captioned.newest().model()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    others = {name.partition(".")[0] for name in after.keys() - before.keys()}
    assert others == {"text_embeddings", "text_cls", "vtm_head"}
    for name, tensor in drawn.items():
        assert torch.equal(after[name.replace("bert.embeddings", "text_embeddings")], tensor), name
    told = f"Starting from the weights of {start.path} and what simvtp-tiny has of the BERT {bert.path}."
    assert told in captioned.said
    run = json.loads((out / "run.json").read_text())
    assert run["origin"]["words_sha256"] == bert.sha256
    # The same command goes on, another start is another run.
    again = pretrain(recipe, start=start, data=captioned.data, out=out, options=captioned.options)
    assert again.step == 1
    with pytest.raises(UsageError, match=r"other settings \(the weights it starts from\)"):
        pretrain(
            recipe,
            start=replace(start, bert=None),
            data=captioned.data,
            out=out,
            options=captioned.options,
        )


def test_words_alone_are_told_too(captioned):
    words_file(captioned.root / "bert.safetensors")
    bert = read_bert(captioned.root / "bert.safetensors")
    recipe = override(load_recipe("simvtp-tiny"), [*SMALL, *STILL])
    start = InitialWeights(recipe=recipe, bert=bert)
    out = captioned.root / "second"
    pretrain(recipe, start=start, data=captioned.data, out=out, options=captioned.options)
    assert f"Starting from what simvtp-tiny has of the BERT {bert.path}." in captioned.said


def test_words_for_a_network_that_reads_none_are_refused(captioned):
    words_file(captioned.root / "bert.safetensors")
    recipe = override(load_recipe("videomae-tiny"), SMALL)
    start = InitialWeights(recipe=recipe, bert=read_bert(captioned.root / "bert.safetensors"))
    with pytest.raises(
        UsageError, match="videomae-tiny reads no captions, and has no BERT: leave out --init-text"
    ):
        pretrain(
            recipe, start=start, data=captioned.data, out=captioned.root / "x", options=captioned.options
        )


def test_videomae_does_not_start_from_simvtp(captioned):
    captioned.pretrain(*SMALL, recipe="simvtp-tiny", out="second")
    with pytest.raises(UsageError, match="was pretrained by simvtp-tiny, whose network videomae-tiny does"):
        captioned.pretrain(*SMALL, recipe="videomae-tiny", init="second", out="third")
