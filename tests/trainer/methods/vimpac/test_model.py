from dataclasses import replace

import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.trainer.methods.vimpac.grid import Grid, from_lines, to_lines
from vfm.trainer.methods.vimpac.heads import ClsHead, MlmHead
from vfm.trainer.methods.vimpac.model import VimpacBackbone, mask_id, pad_id
from vfm.trainer.methods.vimpac.recipe import (
    ModelConfig,
    large_half,
    large_half_256,
    parse_layout,
    resolve,
    small,
)

TINY = ModelConfig(
    num_layers=2,
    dim=24,
    num_heads=6,
    vocab_size=11,
    clip_len=3,
    grid_height=4,
    grid_width=2,
    dropout=0.0,
    nce_proj_dim=16,
    nce_out_dim=8,
)
LAYOUTS = ["T,H|W", "T,H,W", "T|H|W", "T,H", "T", "H|W,T"]


def count(*modules):
    return sum(parameter.numel() for parameter in {p for module in modules for p in module.parameters()})


def random_codes(config, num_clips=2, seed=0):
    shape = (num_clips, config.clip_len, config.grid_height, config.grid_width)
    return torch.randint(0, config.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def drawn(config, seed=0):
    backbone = VimpacBackbone(config).eval()
    backbone.initialize(torch.Generator().manual_seed(seed))
    return backbone


SMALL = resolve(small().model, vocab_size=8192, clip_len=5, grid=(16, 16))
BASE = replace(SMALL, num_layers=12, dim=768)
LARGE_HALF = resolve(large_half().model, vocab_size=8192, clip_len=5, grid=(16, 16))
LARGE_HALF_256 = resolve(large_half_256().model, vocab_size=8192, clip_len=5, grid=(32, 32))


@pytest.mark.parametrize(
    ("config", "in_backbone", "in_all"),
    [
        (SMALL, 29_442_048, 31_292_933),
        (BASE, 119_748_096, None),
        (LARGE_HALF, 210_106_368, 233_210_885),
        (LARGE_HALF_256, 210_139_136, 233_243_653),
    ],
)
def test_parameter_counts_are_the_published_ones(config, in_backbone, in_all):
    with torch.device("meta"):
        backbone = VimpacBackbone(config)
        heads = MlmHead(backbone.embedding), ClsHead(config)
    # base is the paper's: counted without knowing whether its dropout or heads differ, sizes alone decide
    assert count(backbone) == in_backbone
    if in_all is not None:
        assert count(backbone, *heads) == in_all


def test_special_ids_follow_the_codes():
    assert (pad_id(8192), mask_id(8192)) == (8193, 8196)
    assert drawn(TINY).embedding.num_embeddings == 16


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pos_emb", ["hw_separation", "temporal_separation", "default"])
@pytest.mark.parametrize("pre_activation", [False, True])
def test_every_variant_uses_every_parameter(layout, pos_emb, pre_activation):
    config = replace(TINY, layout=layout, pos_emb=pos_emb, pre_activation=pre_activation)
    backbone = drawn(config).train()
    codes = random_codes(config)
    codes[0, -1] = pad_id(config.vocab_size)
    cls, hidden = backbone(codes)
    assert hidden.shape == (2, 3, 4, 2, 24)
    (cls.pow(3).sum() + hidden.pow(3).sum()).backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or name.endswith("key.bias"), name  # shifts all scores alike


@pytest.mark.parametrize("axis", ["T", "H", "W"])
def test_lines_hold_what_shares_the_other_places(axis):
    grid = Grid(length=2, height=3, width=4)
    places = torch.cartesian_prod(*(torch.arange(size) for size in grid.shape))
    tokens = torch.cat([torch.full((1, 3), -1), places])[None].float()
    lines = to_lines(tokens, grid=grid, axis=axis)
    own = "THW".index(axis)
    assert lines.shape == (24 // grid.shape[own], 1 + grid.shape[own], 3)
    assert (lines[:, 0] == -1).all()
    assert (lines[:, 1:, own] == torch.arange(grid.shape[own])).all()
    for other in {0, 1, 2} - {own}:
        assert (lines[:, 1:, other] == lines[:, 1:2, other]).all()
    torch.testing.assert_close(from_lines(lines, grid=grid, axis=axis), tokens)


def test_cls_is_averaged_over_lines():
    grid = Grid(length=1, height=2, width=3)
    lines = torch.zeros(2, 4, 1)
    lines[:, 0, 0] = torch.tensor([2.0, 6.0])
    assert from_lines(lines, grid=grid, axis="W")[0, 0, 0] == 4.0


@torch.no_grad()
def test_mask_changes_nothing_without_pad():
    backbone, codes = drawn(TINY), random_codes(TINY)
    assert backbone.key_masks(codes, has_pad=None) == {}
    for plain, masked in zip(backbone(codes), backbone(codes, has_pad=True), strict=True):
        torch.testing.assert_close(plain, masked)


@torch.no_grad()
def test_codes_behind_pad_do_not_matter():
    backbone, codes = drawn(replace(TINY, layout="T")), random_codes(TINY)
    codes[:, 1:] = pad_id(TINY.vocab_size)
    before = backbone(codes)[1][:, 0]
    backbone.embedding.weight[pad_id(TINY.vocab_size)] += 5.0
    # PAD reaches the first frame through nothing: as a key it is masked, and in CLS it has no part
    torch.testing.assert_close(backbone(codes)[1][:, 0], before)


@pytest.mark.parametrize("pre_activation", [False, True])
@torch.no_grad()
def test_wanted_rows_are_those_of_the_full_output(pre_activation):
    backbone, codes = drawn(replace(TINY, pre_activation=pre_activation)), random_codes(TINY, 3)
    cls, hidden = backbone(codes)
    positions = torch.tensor([0, 5, 23, 24, 71])
    rows = torch.cat([backbone.cls_rows(codes), backbone.code_rows(positions)])
    found = backbone.encode(codes, rows=rows)
    torch.testing.assert_close(found, torch.cat([cls, hidden.flatten(0, 3)[positions]]))


@torch.no_grad()
def test_bfloat16_stays_near_float32():
    config = replace(TINY, dim=64, num_heads=4)
    backbone, codes = drawn(config), random_codes(config)
    codes[0, -1] = pad_id(config.vocab_size)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = backbone(codes)[0]
    torch.testing.assert_close(rough, backbone(codes)[0], atol=0.05, rtol=0.0)


def test_first_weights_have_the_published_spread():
    backbone = drawn(replace(TINY, dim=192, num_heads=4, vocab_size=2000, clip_len=30, grid_height=30))
    table = backbone.positional_embedding
    assert backbone.embedding.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert table.temporal_pos_embedding.std().item() == pytest.approx(0.02 / 3**0.5, rel=0.05)
    assert table.cls_pos_embedding.std().item() == pytest.approx(0.02, rel=0.2)
    block = backbone.transformer.resblocks[0]
    assert block.mlp.c_proj.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert block.mlp.c_proj.bias.abs().max() == 0.0
    assert (block.ln.weight == 1.0).all()


def test_branches_start_smaller_when_normalised_before():
    backbone = drawn(replace(TINY, dim=192, num_heads=4, pre_activation=True))
    block = backbone.transformer.resblocks[1]
    for last in (block.mlp.c_proj, block.attention_blocks[0].dense):
        assert last.weight.std().item() == pytest.approx(0.02 / 6**0.5, rel=0.02)
    assert block.mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_first_weights_follow_from_the_generator():
    first, second, other = (drawn(TINY, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["cls_param"], other["cls_param"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"layout": "T,X"}, "names 'X'"),
        ({"layout": "T|H|W", "num_heads": 4}, "3 axes in one block, but 24 channels in 4 heads"),
        ({"pos_emb": "sine"}, "model.pos_emb is 'sine', but must be one of hw_separation"),
        ({"pre_activation": True, "halve_att": True}, "do not go together"),
        ({"dropout": 1.0}, r"model.dropout is 1.0, but must be in \[0, 1\)"),
        ({"num_layers": 0}, "model.num_layers is 0, but must be at least 1"),
    ],
)
def test_impossible_shapes_are_refused(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        replace(TINY, **changes)


def test_layouts_are_blocks_of_axes():
    assert parse_layout("T,H|W") == (("T",), ("H", "W"))


def test_a_recipe_may_not_contradict_its_data():
    assert resolve(ModelConfig(), vocab_size=7, clip_len=5, grid=(8, 6)).grid_width == 6
    with pytest.raises(UsageError, match="sets model.vocab_size=8192, but the data has 7"):
        resolve(ModelConfig(vocab_size=8192), vocab_size=7, clip_len=5, grid=(8, 6))


def test_clips_of_another_shape_are_refused():
    with pytest.raises(UsageError, match=r"built for clips of \(3, 4, 2\).*got \(3, 2, 2\)"):
        drawn(TINY)(random_codes(replace(TINY, grid_height=2)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"vocab_size": 12}, r"backbone.embedding.weight is \(17, 24\) there and \(16, 24\) here"),
        ({"num_layers": 3}, "resblocks.2.* there and absent here"),
        ({"num_layers": 1}, r"resblocks.1.* is absent there and \(24,\) here"),
    ],
)
def test_weights_of_another_model_are_refused(changes, sentence):
    other = drawn(replace(TINY, **changes))
    state = {f"backbone.{key}": value for key, value in other.state_dict().items()}
    with pytest.raises(UsageError, match=sentence):
        drawn(TINY).load_pretrained(state)


def test_only_the_named_parameters_escape_decay():
    backbone = drawn(TINY)
    decayed = {
        name for name, _ in backbone.named_parameters() if not backbone.no_weight_decay(f"backbone.{name}")
    }
    assert {"cls_param", "embedding.weight", "positional_embedding.width_pos_embedding"} < decayed
    assert "ln_pre.weight" not in decayed
    assert not {name for name in decayed if name.endswith(("bias", "LayerNorm.weight", ".ln.weight"))}


def test_tokens_are_cls_and_the_hidden_vectors_that_features_are_made_of():
    backbone, codes = drawn(TINY), random_codes(TINY)
    tokens = backbone.tokens({"codes": codes})
    assert tokens.shape == (2, 1 + 3 * 4 * 2, 24)
    torch.testing.assert_close(tokens[:, 0], backbone.features({"codes": codes}))
    torch.testing.assert_close(tokens[:, 1:].mean(1), backbone.features({"codes": codes}, pool="mean"))
