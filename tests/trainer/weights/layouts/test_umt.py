"""Files of UMT, of its repository and of MMAction2, say here what they said there."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from support.fixtures import UMT_VL_SIZES, classified, expect_classified, network_of, read_fixture
from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.trainer.models.vit import split_mask
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.exported import export_weights, layout_for
from vfm.trainer.weights.files import WeightsFile, read_weights
from vfm.trainer.weights.imported import import_weights

SIZES = {
    "data.clip_len": "num_frames",
    "model.image_px": "img_size",
    "model.patch_px": "patch_size",
    "model.dim": "embed_dim",
    "model.depth": "depth",
    "model.num_heads": "num_heads",
}
LEVELS = {"model.num_levels": "clip_return_layer", "model.level_interval": "clip_student_return_interval"}


@pytest.mark.needs("shared")
@pytest.mark.parametrize(
    ("name", "prefix", "mask", "output"),
    [
        ("umt_student_a", "param/", "input/mask", "aligned"),
        ("umt_pretrain_step_a", "param/student.", "output/mask", "student"),
    ],
)
def test_a_student_says_of_visible_tokens_what_it_said_there(shared, name, prefix, mask, output):
    fixture = read_fixture(shared, name)
    settings = fixture.settings(SIZES | LEVELS)
    found = import_weights(fixture.file(prefix=prefix), name="umt-base", settings=settings)
    assert (found.project, found.recipe.task, found.left_out) == ("umt", None, ())
    visible, _ = split_mask(fixture.tensors[mask].bool())
    with torch.no_grad():
        fixture.expect(output, network_of(found).align(fixture.tensors["input/video"], visible))


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["umt_finetune_fixedpos_a", "umt_finetune_interp_a"])
def test_classifiers_say_what_they_said_there(shared, name):
    """The reference takes any encoder to be pretrained on 8 x 14 x 14 tokens."""
    fixture = read_fixture(shared, name)
    settings = [*fixture.settings(SIZES), "model.num_levels=1", "model.pretrained_grid=8,14,14"]
    found = import_weights(fixture.file(), name="umt-base-classify", settings=settings)
    assert (found.project, found.recipe.task, found.left_out) == ("umt", "classify", ())
    expect_classified(fixture, found, clips=fixture.tensors["input/video"])


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["umt_mmaction2_a"])
def test_the_port_sees_frames_as_there_and_says_the_same(shared, name):
    fixture = read_fixture(shared, name)
    settings = [*fixture.settings(SIZES), "model.num_levels=1", "model.pretrained_grid=8,14,14"]
    found = import_weights(fixture.file(), name="umt-base-classify", settings=settings)
    assert (found.project, found.recipe.model.views) == ("mmaction2", "mmaction2")
    frames = fixture.tensors["input/frames"].permute(0, 1, 3, 4, 5, 2).flatten(0, 1)
    with torch.no_grad():
        fixture.expect("logits", classified(found, network_of(found).features({"clip": frames})))


SECOND_STAGE = {"umt2_pretrain_a": "umt-vl-base", "umt2_retrieval_a": "umt-vl-base-retrieve"}
BERT = "text_encoder.bert.embeddings."


def second_stage(shared, fixture_name):
    fixture = read_fixture(shared, fixture_name)
    settings = fixture.settings(UMT_VL_SIZES)
    found = import_weights(fixture.file(), name=SECOND_STAGE[fixture_name], settings=settings)
    assert (found.project, found.recipe.method) == ("umt", "umt_vl")
    return fixture, found


@pytest.mark.needs("shared")
def test_a_second_stage_says_of_clips_and_captions_what_it_said_there(shared):
    fixture, found = second_stage(shared, "umt2_pretrain_a")
    network, given = network_of(found), fixture.tensors
    is_text = given["input/att"].bool()
    with torch.no_grad():
        fixture.expect("text_embeds", network.bert.read(given["input/ids"], is_text))
        for kind in ("video", "image"):
            visible, _ = split_mask(given[f"output/{kind}_mask"])
            tokens, student = network.see(given[f"input/{kind}"].transpose(1, 2), visible)
            fixture.expect(f"{kind}_vision_embeds", tokens)
            fixture.expect(f"{kind}_student", student)
            shown = network.bert.read(given["input/mlm_ids"], is_text)
            logits = network.word_logits(network.bert.fuse(shown, is_text, source=tokens))
            fixture.expect(f"{kind}_mlm_logits", logits)


@pytest.mark.needs("shared")
def test_files_that_answer_questions_are_refused_by_what_they_hold(shared):
    file = read_fixture(shared, "umt2_retrieval_a").file()
    state = file.tensors
    heads = ("itm_head", "vision_proj", "text_proj", "temp")
    asking = {name: tensor for name, tensor in state.items() if not name.startswith(heads)}
    answering = {
        name.replace("text_encoder.", "text_decoder.bert."): tensor.clone()
        for name, tensor in asking.items()
        if name.startswith("text_encoder.encoder.layer.")
    }
    with pytest.raises(UsageError, match=r"holds a decoder that answers questions \(text_decoder\.\*\)"):
        import_weights(replace(file, tensors=asking | answering))


@pytest.mark.needs("shared")
def test_a_retriever_of_the_second_stage_scores_pairs_as_it_did_there(shared):
    fixture, found = second_stage(shared, "umt2_retrieval_a")
    network, given = network_of(found), fixture.tensors
    clips, is_text = given["input/video"].transpose(1, 2), given["input/att"].bool()
    with torch.no_grad():
        tokens, read = network.tokens(clips), network.text_tokens(given["input/ids"], is_text)
        fixture.expect("vision_embeds", tokens)
        units = network.video_units(tokens, num_parts=clips.shape[2])
        similarity = network.similarity(network.text_units(read), units.mean(1))
        fixture.expect("t2i_emb", similarity)
        fixture.expect("i2t_emb", similarity.T)
        wanted = given["output/i2t_x"]
        scores = torch.stack(
            [
                network.match_logits(read, is_text, tokens=tokens, which=torch.full([len(read)], video))[:, 1]
                for video in range(len(tokens))
            ]
        )
    is_ranked = wanted != -100  # others were not looked at
    assert is_ranked.any()
    torch.testing.assert_close(scores[is_ranked], wanted[is_ranked], atol=1e-5, rtol=1e-5)


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", SECOND_STAGE)
def test_the_second_stage_leaves_as_it_came_without_its_teacher(shared, name):
    fixture, found = second_stage(shared, name)
    layout, theirs = layout_for("umt", found.recipe), fixture.file().tensors
    again = export_weights(found.state, found.recipe, layout=layout)
    assert again.keys() == {key for key in theirs if not key.startswith("clip_teacher.")}
    assert all(torch.equal(again[key], theirs[key]) for key in again)
    assert {again[key].dtype for key in again if key.endswith("position_ids")} == {torch.int64}
    assert found.state["temp" if found.recipe.task is None else "backbone.temp"].shape == ()


@pytest.mark.needs("shared")
def test_the_teacher_in_a_file_is_left_aside_aloud(shared):
    fixture, found = second_stage(shared, "umt2_pretrain_a")
    num_teacher = sum(key.startswith("clip_teacher.") for key in fixture.file().tensors)
    assert found.told.endswith(
        f"; left out, because not learned: clip_teacher.* ({num_teacher} tensors), {BERT}position_ids."
    )


def pretrained_file(**changed):
    """Return a file of UMT with the network of the tiny second stage."""
    recipe = load_recipe("umt-vl-tiny")
    theirs = layout_for("umt", recipe).to_theirs(random_state(recipe), recipe)
    return WeightsFile(path=Path("file.pth"), tensors={**theirs, **changed})


@pytest.mark.parametrize(
    ("second", "first"),
    [("weight", f"{BERT}word_embeddings.weight"), ("bias", "text_encoder.cls.predictions.bias")],
)
def test_second_names_that_stand_for_other_numbers_are_refused(second, first):
    name = f"text_encoder.cls.predictions.decoder.{second}"
    tensor = pretrained_file().tensors[name].clone()
    tensor[-1] += 1
    told = f"file.pth is of another model: {name} is not equal to {first}, and is one tensor with it"
    with pytest.raises(UsageError, match=told):
        import_weights(pretrained_file(**{name: tensor}))


def test_tensors_of_the_second_stage_that_do_not_fit_are_told_by_name():
    file = pretrained_file(head=torch.ones(1))
    del file.tensors["text_encoder.cls.predictions.decoder.bias"], file.tensors["temp"]
    told = r"\(missing: temp, text_encoder.cls.predictions.decoder.bias; unused: head\)"
    with pytest.raises(UsageError, match=f"the nearest is umt-vl-tiny {told}"):
        import_weights(file)


@pytest.mark.parametrize("container", [None, "model"])
def test_numbers_of_positions_may_be_there_or_not_and_any(tmp_path, container):
    file = pretrained_file()
    file.tensors[f"{BERT}position_ids"] += 7
    torch.save({container: file.tensors, "global_step": 3} if container else file.tensors, tmp_path / "a.pth")
    found = import_weights(read_weights(tmp_path / "a.pth"))
    assert found.left_out == (f"{BERT}position_ids",)
    del file.tensors[f"{BERT}position_ids"]
    without = import_weights(file)
    assert without.left_out == ()
    assert all(torch.equal(found.state[key], tensor) for key, tensor in without.state.items())
    again = export_weights(found.state, found.recipe, layout=layout_for("umt", found.recipe))
    assert torch.equal(again[f"{BERT}position_ids"], torch.arange(32)[None])
