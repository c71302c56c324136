"""Files of SimVTP say here what they said there, and leave as they came."""

import pytest
import torch

from support.fixtures import (
    AUTOENCODER_SIZES,
    FINETUNED_SIZES,
    TEXT_SIZES,
    network_of,
    read_fixture,
)
from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.trainer.models.vit import split_mask
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.video_text.contrast import unit
from vfm.trainer.weights.exported import export_weights, layout_for
from vfm.trainer.weights.files import WeightsFile
from vfm.trainer.weights.imported import import_weights

FIXTURES = {
    "simvtp_pretrain_a": ("simvtp-base", None, AUTOENCODER_SIZES | TEXT_SIZES),
    "simvtp_finetune_a": ("simvtp-base-retrieve", "retrieve", FINETUNED_SIZES | TEXT_SIZES),
}


def imported(shared, fixture_name):
    fixture = read_fixture(shared, fixture_name)
    name, task, sizes = FIXTURES[fixture_name]
    found = import_weights(fixture.file(), name=name, settings=fixture.settings(sizes))
    assert (found.project, found.recipe.task, found.left_out) == ("simvtp", task, ())
    return fixture, found


def given_to(fixture):
    return {
        name.removeprefix("input/"): t for name, t in fixture.tensors.items() if name.startswith("input/")
    }


@pytest.mark.needs("shared")
def test_pretraining_says_of_clips_and_words_what_it_said_there(shared):
    fixture, found = imported(shared, "simvtp_pretrain_a")
    network, given = network_of(found), given_to(fixture)
    is_text = given["attention_mask"].bool()
    visible, hidden = split_mask(given["mask"].bool())
    with torch.no_grad():
        words = network.text_embeddings(given["masked_input_ids"])
        video = network.encoder.embed(given["videos"], visible=visible)
        joint = network.joint(video, words, is_text)
        fixture.expect("joint_encoder", joint)
        seen, read = joint.tensor_split([video.shape[1]], dim=1)
        fixture.expect("mlm_logits", network.text_cls(read))
        fixture.expect("pixel_prediction", network.decode(seen, visible=visible, hidden=hidden))
        fixture.expect("text_feature", network.text_features(words, is_text))
        fixture.expect("video_feature", network.video_features(video))
        others = network.joint(video[given["vtm_negative_index"]], words, is_text)
        both = torch.cat([joint, others])
        fixture.expect("vtm_logits", network.match_logits(both, is_text.repeat(2, 1)))


@pytest.mark.needs("shared")
def test_a_retriever_says_of_clips_and_captions_what_it_said_there(shared):
    fixture, found = imported(shared, "simvtp_finetune_a")
    network, given = network_of(found), given_to(fixture)
    with torch.no_grad():
        video = network.video_encoder(given["videos"])
        text = network.text_vectors(given["input_ids"], given["attention_mask"].bool())
        fixture.expect("video_embeddings", video)
        fixture.expect("text_embeddings", text)
        fixture.expect("similarity", unit(text) @ unit(video).T)


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", FIXTURES)
def test_every_number_leaves_under_the_name_it_came_by(shared, name):
    fixture, found = imported(shared, name)
    layout = layout_for("simvtp", found.recipe)
    again, theirs = export_weights(found.state, found.recipe, layout=layout), fixture.file().tensors
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[key], tensor) for key, tensor in theirs.items())


def file_of(name, path, **more):
    """Return a file of SimVTP with the network of a recipe."""
    recipe = override(load_recipe(name), ["model.text_mean=all"])
    tensors = layout_for("simvtp", recipe).to_theirs(random_state(recipe), recipe)
    return WeightsFile(path=path / "file.pth", tensors={**tensors, **more})


@pytest.mark.parametrize(
    ("name", "prefixes"),
    [("simvtp-tiny", [""]), ("simvtp-tiny-retrieve", ["text_encoder.", "video_encoder."])],
)
def test_numbers_of_positions_are_left_out_and_said_and_never_written(tmp_path, name, prefixes):
    numbers = {f"{prefix}text_embeddings.position_ids": torch.arange(32)[None] for prefix in prefixes}
    found = import_weights(file_of(name, tmp_path, **numbers))
    assert found.left_out == tuple(numbers)
    kind = "pretraining" if name == "simvtp-tiny" else "a retriever"
    assert found.told == (
        f"{tmp_path / 'file.pth'} is {kind} of method simvtp as simvtp saves it, with the network of recipe "
        f"{name} with model.text_mean=all; left out, because not learned: {', '.join(numbers)}."
    )
    again = export_weights(found.state, found.recipe, layout=layout_for("simvtp", found.recipe))
    assert again.keys() == file_of(name, tmp_path).tensors.keys()


def test_what_does_not_fit_is_told_by_name(tmp_path):
    file = file_of("simvtp-tiny", tmp_path)
    del file.tensors["vtm_head.bias"]
    with pytest.raises(UsageError, match=r"the layout of simvtp, .* simvtp-tiny \(missing: vtm_head.bias\)"):
        import_weights(file)
    file = file_of("simvtp-tiny-retrieve", tmp_path, head=torch.ones(1))
    file.tensors["text_encoder.fc_norm.bias"] = torch.ones(3)
    told = r"\(unused: head; of another shape: text_encoder.fc_norm.bias \(3,\), not \(96,\)\)"
    with pytest.raises(UsageError, match=f"is not of the network of recipe simvtp-tiny-retrieve {told}"):
        import_weights(file, name="simvtp-tiny-retrieve")
    file.tensors["video_encoder.text_embeddings.word_embeddings.weight"] = torch.ones(12, 96)
    with pytest.raises(UsageError, match=r"video_encoder.*word_embeddings.weight \(12, 96\), not \(11, 96\)"):
        import_weights(file)


def test_pretraining_of_videomae_has_a_part_of_the_names_and_is_told_apart(tmp_path):
    ours, theirs = file_of("simvtp-tiny", tmp_path), random_state(load_recipe("videomae-tiny"))
    assert theirs.keys() < ours.tensors.keys()
    alone = WeightsFile(path=tmp_path / "file.pth", tensors=theirs)
    assert import_weights(alone).recipe.name == "videomae-tiny"
    with pytest.raises(
        UsageError, match=r"of no recipe's network; .* \(unused: text_cls.bias, text_cls.weig"
    ):
        import_weights(ours, project="videomae")
    with pytest.raises(
        UsageError, match="the nearest is simvtp, pretraining of method simvtp, of which it l"
    ):
        import_weights(alone, project="simvtp")


def test_means_without_padding_are_not_what_the_project_computes(tmp_path):
    with pytest.raises(UsageError, match=r"model.text_mean=all and these weights were trained with unpadded"):
        layout_for("simvtp", load_recipe("simvtp-tiny-retrieve"))
