import math

import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.probe import probing
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.exported import layout_for
from vfm.trainer.weights.fit import compare, shapes_of

TEACHER_HEAD = "vision_encoder.clip_decoder.0.head.weight"


def test_what_differs_is_told_by_name():
    found = {
        name: torch.zeros(shape) for name, shape in {"a": (2,), "b": (3, 1), "c": (1,), "k": (9,)}.items()
    }
    misfit = compare(found, {"a": (2,), "b": (1, 3), "d": (4,), "e": (5,)}, spared=["k", "absent"])
    assert misfit.missing == ("d", "e")
    assert misfit.unused == ("c",)
    assert misfit.reshaped == (("b", (3, 1), (1, 3)),)
    assert misfit.num_names == 4
    assert misfit.told() == "missing: d, e; unused: c; of another shape: b (3, 1), not (1, 3)"
    assert misfit.told(limit=1).startswith("missing: d and 1 more; unused: c;")
    assert compare(found, {name: tuple(t.shape) for name, t in found.items()}).told() == ""


def test_a_classifier_has_as_many_rows_as_the_state_has_classes():
    shapes = shapes_of(load_recipe("maskfeat-mvit-tiny-classify"), {"cls_fc.weight": torch.empty(7, 0)})
    assert shapes["cls_fc.bias"] == (7,)
    assert shapes["cls_fc.weight"] == (7, shapes["backbone.norm.weight"][0])
    assert "mask_token" not in shapes


def test_the_channels_of_a_teacher_come_from_the_state():
    head = {"clip_decoder.0.head.weight": torch.empty(640, 0)}
    assert shapes_of(load_recipe("umt-tiny"), head)["clip_decoder.0.norm.weight"] == (640,)
    with pytest.raises(UsageError, match="have no clip_decoder"):
        shapes_of(load_recipe("umt-tiny"), {})


def test_the_codes_of_vimpac_come_from_the_state():
    table = {"backbone.embedding.weight": torch.empty(21, 0)}
    sides = {
        f"backbone.positional_embedding.{n}_pos_embedding": torch.empty(4, 0) for n in ("height", "width")
    }
    shapes = shapes_of(load_recipe("vimpac-tiny"), table | sides)
    assert shapes["mlm_head.bias"] == (21,)
    with pytest.raises(UsageError, match="have no backbone.embedding.weight, whose rows"):
        shapes_of(load_recipe("vimpac-tiny"), sides)


def test_the_words_of_simvtp_come_from_the_state():
    words = {"text_embeddings.word_embeddings.weight": torch.empty(23, 0)}
    assert shapes_of(load_recipe("simvtp-tiny"), words)["text_cls.bias"] == (23,)
    both = {f"backbone.text_encoder.{name}": tensor for name, tensor in words.items()}
    shapes = shapes_of(load_recipe("simvtp-tiny-retrieve"), both)
    for tower in ("video_encoder", "text_encoder"):
        assert shapes[f"backbone.{tower}.text_embeddings.word_embeddings.weight"] == (23, 96)
    assert not any(name.startswith("cls_fc") for name in shapes)
    with pytest.raises(UsageError, match="embeddings.weight is absent, so they know no words"):
        shapes_of(load_recipe("simvtp-tiny-retrieve"), {})


@pytest.mark.parametrize(
    ("name", "prefix", "num_tensors", "num_parameters"),
    [
        ("simvtp-base", "", 227, 141_521_084),
        ("simvtp-base-retrieve", "backbone.text_encoder.", 330, 220_128_768),
    ],
)
def test_states_are_as_large_as_the_published_ones(name, prefix, num_tensors, num_parameters):
    words = {f"{prefix}text_embeddings.word_embeddings.weight": torch.empty(30522, 0)}
    shapes = shapes_of(load_recipe(name), words)
    assert (len(shapes), sum(map(math.prod, shapes.values()))) == (num_tensors, num_parameters)


@pytest.mark.parametrize(
    ("name", "words", "num_theirs", "num_parameters"),
    [
        # With the 152 tensors of CLIP's ViT-B/16 the 580 of a published file.
        ("umt-vl-base", "text_encoder.bert.", 428, 205_402_429),
        ("umt-vl-base-retrieve", "backbone.text_encoder.", 397, 202_411_267),
        ("umt-vl-large", "text_encoder.bert.", 796, 665_561_917),
        ("umt-vl-large-retrieve", "backbone.text_encoder.", 765, 659_747_331),
    ],
)
def test_states_of_the_second_stage_are_as_large_as_the_published_ones(
    name, words, num_theirs, num_parameters
):
    recipe, teacher_dim = load_recipe(name), 512 if "base" in name else 768
    told = {f"{words}embeddings.word_embeddings.weight": 30522, TEACHER_HEAD: teacher_dim}
    shapes = shapes_of(recipe, {key: torch.empty(rows, 0) for key, rows in told.items()})
    assert sum(map(math.prod, shapes.values())) == num_parameters
    ours = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    theirs = layout_for("umt", recipe).to_theirs(ours, recipe)
    assert len(theirs) == num_theirs
    # Numbers of positions, and of pretraining the two second names of what guesses words.
    assert len(theirs) - len(ours) == (3 if recipe.task is None else 1)


def test_the_encoder_of_a_retriever_is_that_of_clips_alone():
    shapes = shapes_of(load_recipe("simvtp-tiny-retrieve"), {}, is_encoder=True)
    assert shapes == shapes_of(load_recipe("simvtp-tiny"), {}, is_encoder=True)
    assert shapes["backbone.fc_norm.weight"] == (96,)
    assert not any("text" in name for name in shapes)


def test_probes_and_headless_classifiers_are_refused():
    with pytest.raises(UsageError, match="trains a probe"):
        shapes_of(probing(load_recipe("maskfeat-mvit-tiny"), "linear"), {})
    with pytest.raises(UsageError, match=r"have no cls_fc.weight, whose rows are the classes"):
        shapes_of(load_recipe("maskfeat-mvit-tiny-classify"), {})
