import pytest

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.probe import probing
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.size import size_of


def vit_flops(num_tokens, *, dim, depth):
    """Return those of blocks without what leads to them: 2 for a multiply-add."""
    linear, attention = 12 * num_tokens * dim**2, 2 * num_tokens**2 * dim
    return 2 * depth * (linear + attention)


def embedding_flops(num_tokens, *, dim, pixels):
    return 2 * num_tokens * 3 * pixels * dim


def test_a_vision_transformer_in_finetuning():
    found = size_of(load_recipe("umt-base-classify"))
    assert found.num_parameters == 85_637_376
    expected = vit_flops(1568, dim=768, depth=12) + embedding_flops(1568, dim=768, pixels=16**2)
    assert found.num_flops == expected  # 179.4 billion multiply-adds: the published 180 G
    assert str(found) == (
        "It has 85.6 M parameters and computes 359 GFLOPs forward for one clip of 8 frames of 224 x 224 "
        "pixels (one multiply-add is 2 FLOPs, without the layer behind the encoder, whose classes data "
        "decide)."
    )


def test_pretraining_counts_the_visible_tokens_and_what_only_it_has():
    found = size_of(load_recipe("videomae-base"))
    encoder = vit_flops(160, dim=768, depth=12) + embedding_flops(160, dim=768, pixels=2 * 16**2)
    decoder = vit_flops(1568, dim=384, depth=4) + 2 * 1408 * 384 * 3 * 2 * 16**2
    assert found.num_flops == encoder + 2 * 160 * 768 * 384 + decoder
    assert "160 of 1568 tokens visible to the encoder, with the decoder)" in str(found)


@pytest.mark.parametrize(
    ("name", "millions"),  # as the published models have them, without 400 classes where they are finetuned
    [
        ("umt-base", 88.01),
        ("umt-large", 307.81),
        ("umt-large-classify", 303.48 - 1025 * 400e-6),
        ("videomae-small-classify", 22.033936 - 385 * 400e-6),
        ("videomae-huge-classify", 632.119440 - 1281 * 400e-6),
        ("maskfeat-mvit-s", 36.25),
        ("maskfeat-mvit-l", 217.2),
    ],
)
def test_parameters_are_those_of_the_published_models(name, millions):
    found = size_of(load_recipe(name))
    assert found.num_parameters / 1e6 == pytest.approx(millions, abs=0.06)


def test_what_data_decide_is_taken_from_the_paper_and_told():
    found = size_of(load_recipe("vimpac-small"))
    assert found.clip == "5 frames of 16 x 16 codes"
    assert {"a codebook of 8192 codes", "a sample has two clips"} < set(found.notes)
    other = size_of(override(load_recipe("vimpac-small"), ["model.vocab_size=16", "model.grid_width=4"]))
    assert other.clip == "5 frames of 16 x 4 codes"
    assert found.num_parameters - other.num_parameters > (8192 - 16) * 512
    assert "heads for a teacher of 768 channels" in size_of(load_recipe("umt-large")).notes


def test_a_retriever_has_no_layer_behind_its_encoders():
    found = size_of(load_recipe("simvtp-base-retrieve"))
    assert found.num_parameters == 220_128_768
    assert found.notes == ("a caption of 32 ids of 30522",)


def test_a_probe_is_counted_as_its_encoder():
    base = load_recipe("videomae-base")
    found, classify = size_of(probing(base, "linear")), size_of(load_recipe("videomae-base-classify"))
    assert (found.num_parameters, found.num_flops) == (classify.num_parameters, classify.num_flops)


def test_small_networks_keep_their_unit():
    assert str(size_of(load_recipe("videomae-tiny"))).startswith(
        "It has 0.564 M parameters and computes 0.0565 GFLOPs forward for one clip of 4 frames"
    )


def test_a_recipe_that_contradicts_itself_is_refused():
    with pytest.raises(UsageError, match="data.clip_len is 7 and model.tubelet 2"):
        size_of(override(load_recipe("videomae-base"), ["data.clip_len=7"]))
