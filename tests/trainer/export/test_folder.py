"""Runs leave as folders, which say what they are and are taken where runs are."""

import json
from dataclasses import replace

import pytest
import torch

from support.retrieval import small_result
from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.trainer.evaluation.retrieval.evaluate import retrieval_recipe
from vfm.trainer.export.folder import Export, export
from vfm.trainer.export.model import model_of
from vfm.trainer.methods.simvtp.finetuned import build_video_text
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.convert import Conversion, convert
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, check_pretrained, from_path
from vfm.trainer.runs.run import pretrain
from vfm.trainer.video_text.captions import TextColumn
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.files import write_weights

STEPS = ("train.batch_size=2", "train.max_steps=1", "data.stride=1")
SILENT = RunOptions(device="cpu", say=lambda _sentence: None, accept_data=True)


@pytest.fixture(scope="module")
def runs(write_toy_dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    data = write_toy_dataset(root / "data")
    recipe = override(load_recipe("videomae-tiny"), STEPS)
    pretrain(recipe, start=None, data=data, out=root / "pretrained", options=SILENT)
    tuned(data, root / "pretrained", root / "tuned")
    return root, data


def tuned(data, init, out):
    start = from_path(init, options=SILENT)
    recipe = finetune_recipe("classify", start=start.recipe, settings=STEPS)
    return finetune(recipe, start=start, data=data, out=out, options=SILENT)


def test_an_encoder_leaves_and_finetuning_starts_from_it_as_from_its_run(runs, tmp_path):
    root, data = runs
    done = export(root / "pretrained", tmp_path / "out", how=Export(), options=SILENT)
    assert (done.num_classes, done.num_features, done.difference) == (0, 96, None)
    assert done.files == ("README.md", "config.json", "model.safetensors")
    start = from_path(tmp_path / "out", options=SILENT)
    assert start.is_encoder
    assert start.columns.keys() == {"frames"}
    model = model_of(start.recipe, start.weights())
    run = from_path(root / "pretrained", options=SILENT)
    clips = model.backbone.example_inputs(2)
    with torch.no_grad():
        torch.testing.assert_close(model(clips), model_of(run.recipe, run.weights())(clips), rtol=0, atol=0)
    losses = [
        tuned(data, init, tmp_path / name).record["loss"]
        for name, init in {"a": root / "pretrained", "b": tmp_path / "out"}.items()
    ]
    assert losses[0] == losses[1]
    with pytest.raises(UsageError, match="is an encoder alone, without the heads that pretraining needs"):
        check_pretrained(start, recipe=load_recipe("videomae-tiny"))
    with pytest.raises(UsageError, match="is an encoder alone, and videomae has no names for that"):
        how = Conversion(target="videomae")
        convert(tmp_path / "out", tmp_path / "x.pth", how=how, options=SILENT)
    convert(tmp_path / "out", tmp_path / "x.safetensors", how=Conversion(), options=SILENT)
    assert from_path(tmp_path / "x.safetensors", options=SILENT).is_encoder


@pytest.fixture
def retriever(toy_dataset, tmp_path):
    """Return the folder of a run that learned to retrieve, and its dataset."""
    data = toy_dataset("captioned", columns=("text.toy",))
    recipe = override(load_recipe("simvtp-tiny-retrieve"), [*STEPS, "data.split=all"])
    start = InitialWeights(recipe=recipe)
    finetune(recipe, start=start, data=data, out=tmp_path / "retriever", options=SILENT)
    return tmp_path / "retriever", data


def test_of_a_retriever_the_encoder_of_clips_leaves(retriever, tmp_path):
    run, data = retriever
    done = export(run, tmp_path / "out", how=Export(), options=SILENT)
    assert (done.num_classes, done.num_features, done.task) == (0, 96, "retrieve")
    start = from_path(tmp_path / "out", options=SILENT)
    assert start.is_encoder
    weights = from_path(run, options=SILENT).weights()
    prefix = "backbone.video_encoder."
    expected = {
        f"backbone.{name.removeprefix(prefix)}": tensor
        for name, tensor in weights.items()
        if name.startswith(prefix) and "text_embeddings" not in name
    }
    assert start.weights().keys() == expected.keys()
    assert all(torch.equal(start.weights()[name], tensor) for name, tensor in expected.items())
    column = TextColumn(name="text.toy", vocab_size=16, pad_id=0, mask_id=4, special_ids=(0,))
    both = build_video_text(start.recipe, column).eval()
    both.load_pretrained(weights)
    clips = torch.randint(256, (2, 4, 64, 64, 3), dtype=torch.uint8)
    model = model_of(start.recipe, start.weights())
    with torch.no_grad():
        found = model(model.backbone.inputs({"clip": clips}))
        torch.testing.assert_close(found, both.video_vectors({"clip": clips}), rtol=0, atol=1e-6)
    card = (tmp_path / "out/README.md").read_text()
    assert (
        "; a clip becomes 96 numbers, by whose cosine with those of captions it is found; the encoder of "
        "captions is not here. It reads clips of 4 frames" in card
    )
    with pytest.raises(UsageError, match="is an encoder of clips alone, which knows no words: name the run"):
        retrieval_recipe(start, path=tmp_path / "out")
    with pytest.raises(UsageError, match="model.safetensors is an encoder of clips alone, which knows no wo"):
        finetune(start.recipe, start=start, data=data, out=tmp_path / "again", options=SILENT)
    probing = finetune_recipe("linear", start=start.recipe, settings=[*STEPS, "data.split=all"])
    done = finetune(probing, start=start, data=data, out=tmp_path / "probe", options=SILENT)
    assert done.step == 1


def test_a_classifier_leaves_with_its_classes_card_and_results(runs, tmp_path):
    root, _ = runs
    start = from_path(root / "tuned", options=SILENT)
    report = {
        "step": 1,
        "ema": False,
        "accuracy": 0.5,
        "accuracy_interval": [0.25, 0.75],
        "top5_accuracy": None,
        "num_samples": 12,
        "split": "val",
        "num_clips": 5,
        "num_crops": 3,
        "protocol": "multiview",
        "majority_rate": 0.125,
        "sample_list_sha256": "0123456789abcdef",
    }
    path = root / "tuned" / "evaluate-multiview-val.json"
    path.write_text(json.dumps(report))
    path.with_name("evaluate-knn-val.json").write_text(json.dumps({**report, "step": 2}))  # of other weights
    export(root / "tuned", tmp_path / "out", how=Export(), options=SILENT)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["vfm"]["classes"] == list(start.classes)
    assert (config["num_frames"], config["size_px"], config["num_features"]) == (4, 64, 96)
    learned = {**report, "split": "all", "num_trained_on": 8}
    path.with_name("evaluate-multiview-all.json").write_text(json.dumps(learned))
    export(root / "tuned", tmp_path / "learned", how=Export(), options=SILENT)
    path.with_name("evaluate-multiview-all.json").unlink()
    assert " of 12 samples of split all, 8 of which it has learned from, 5 clips in 3 crops each" in (
        (tmp_path / "learned/README.md").read_text()
    )
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nlibrary_name: vfm\npipeline_tag: video-classification\n")
    assert (
        "- top-1 50.0 % (25.0 to 75.0) of 12 samples of split val, 5 clips in 3 crops each, protocol "
        "multiview; naming the most frequent class: 12.5 %; sample list `0123456789ab`\n" in card
    )
    assert card.count("top-1") == 1
    assert "R@1" not in card
    assert f"the fingerprint `{start.checkpoint.state['dataset']}`" in card
    assert "train.max_steps=1" in card
    path.write_text("{}")
    with pytest.raises(Exception, match=r"evaluate-multiview-val.json is no report of `vfm evaluate`"):
        export(root / "tuned", tmp_path / "other", how=Export(), options=SILENT)
    assert not (tmp_path / "other").exists()
    path.unlink()
    path.with_name("evaluate-knn-val.json").unlink()


@pytest.mark.parametrize(
    ("changes", "weighted"),
    [
        ({}, ""),
        ({"dual_softmax": 0.05}, ", re-weighted by a dual softmax at 0.05"),
        ({"rerank": 16}, ", the first 16 of each ranked anew by the matching head"),
    ],
)
def test_card_tells_of_a_retrieval(runs, tmp_path, changes, weighted):
    root, _ = runs
    report = small_result(step=1, num_trained_on=1, **changes).to_dict()
    path = root / "tuned" / "evaluate-retrieval-val.json"
    path.write_text(json.dumps(report))
    export(root / "tuned", tmp_path / "out", how=Export(), options=SILENT)
    path.unlink()
    assert (
        "- text to video R@1 33.3 % (6.1 to 79.2), R@5 100.0 %, R@10 100.0 %, "
        f"video to text R@1 0.0 % (0.0 to 65.8), R@5 100.0 %, R@10 100.0 %{weighted}, "
        "of 3 texts and 2 videos of split val, 1 of which it has learned from, 5 clips in 1 crop each, "
        "protocol retrieval; random order: R@1 50.0 % and 50.0 %; "
        f"sample list `{report['sample_list_sha256'][:12]}`\n"
    ) in (tmp_path / "out/README.md").read_text()


def test_what_is_in_the_way_or_of_another_version_is_told(runs, tmp_path):
    root, _ = runs
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for there in ("full", "full/x"):
        with pytest.raises(UsageError, match="exists and is not written over"):
            export(root / "tuned", tmp_path / there, how=Export(), options=SILENT)
    export(root / "tuned", tmp_path / "out", how=Export(), options=SILENT)
    path = tmp_path / "out/config.json"
    config = json.loads(path.read_text())
    for change, told in [
        ({"format": 2}, "was written by another version of vfm .format 2"),
        ({"classes": ["one"]}, "names 1 different classes, and the head of the weights has"),
        ({"recipe": {}}, "known here: it was written by another version of vfm"),
    ]:
        path.write_text(json.dumps({**config, "vfm": {**config["vfm"], **change}}))
        with pytest.raises(UsageError, match=told):
            from_path(tmp_path / "out", options=SILENT)
    path.unlink()
    with pytest.raises(UsageError, match="has no layout that is known"):
        from_path(tmp_path / "out", options=SILENT)


def test_files_of_others_leave_too(tmp_path):
    recipe = replace(load_recipe("umt-tiny-classify"), name="mine")
    state = {name: 0.1 * tensor for name, tensor in random_state(recipe).items()}
    said = AboutWeights(recipe=recipe, made_from="umt", classes=("a", "b", "c"))
    write_weights(tmp_path / "x.safetensors", state, container="", metadata=said.to_metadata())
    export(tmp_path / "x.safetensors", tmp_path / "out", how=Export(), options=SILENT)
    card = (tmp_path / "out/README.md").read_text()
    assert "Classes: a, b, c." in card
    assert "scores of 3 classes" in card
    assert "Recipe `mine` is not one of vfm's" in card
    assert "Not evaluated before it was exported." in card
