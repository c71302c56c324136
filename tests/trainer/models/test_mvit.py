"""MViTv2 computes what the reference computes, has its parameters, and starts as it does."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from support.mvit import sizes_of
from vfm.trainer.models.mvit import Mvit, MvitConfig, initialize_mvit
from vfm.trainer.models.pooling_attention import (
    PoolingAttention,
    PoolingShape,
    one_hot_places,
    relative_rows,
)

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["maskfeat_finetune_a", "mvitv2_dim_in_att_a"])
def test_a_forward_pass_is_that_of_the_reference(shared, name):
    config = json.loads((shared / "golden" / f"{name}.json").read_text())["config"]
    tensors = load_file(shared / "golden" / f"{name}.safetensors")
    sizes = sizes_of(
        config,
        strides="pool_q_stride_ft",
        growth="attention" if config.get("dim_mul_in_att") else "mlp",
    )
    network = Mvit(sizes).eval()
    network.norm = nn.LayerNorm(sizes.dim_out, eps=1e-6)
    network.head = nn.ModuleDict({"projection": nn.Linear(sizes.dim_out, config["num_classes"])})
    network.load_state_dict(
        {key.removeprefix("param/"): t for key, t in tensors.items() if key.startswith("param/")}
    )

    tokens = network.encode(network.patch_embed(tensors["input/video"]))
    if config.get("use_mean_pooling", True):
        pooled = network.norm(tokens[:, 1:].mean(1))
    else:
        pooled = network.norm(tokens)[:, 0]

    torch.testing.assert_close(network.head["projection"](pooled), tensors["output/logits"], **CLOSE)


def spelled_out(attention, x):
    """Return what a module of attention does, by the words of Li et al. 2022, section 4.1, one by one."""
    shape = attention.shape
    batch, dim = len(x), shape.head_dim
    qkv = attention.qkv(x).view(batch, -1, 3, shape.num_heads, dim).permute(2, 0, 3, 1, 4)
    pooled = []
    for part, tokens in zip("qkv", qkv, strict=True):
        pool = attention.get_submodule(f"pool_{part}")
        patches = tokens[:, :, 1:].reshape(-1, *shape.grid, dim).permute(0, 4, 1, 2, 3)
        patches = nn.functional.conv3d(patches, pool.weight, stride=pool.stride, padding=1, groups=dim)
        patches = patches.flatten(2).transpose(1, 2).unflatten(0, (batch, shape.num_heads))
        pooled.append(attention.get_submodule(f"norm_{part}")(torch.cat([tokens[:, :, :1], patches], 2)))
    query, key, value = pooled
    logits = query @ key.transpose(-1, -2) / dim**0.5
    places = [list(torch.cartesian_prod(*map(torch.arange, grid))) for grid in (shape.q_grid, shape.kv_grid)]
    for i, at in enumerate(places[0], start=1):
        for j, to in enumerate(places[1], start=1):
            rows = [getattr(attention, f"rows_{axis}")[at[n], to[n]] for n, axis in enumerate("thw")]
            for row, axis in zip(rows, "thw", strict=True):
                logits[:, :, i, j] += query[:, :, i] @ getattr(attention, f"rel_pos_{axis}")[row]
    out = logits.softmax(-1) @ value
    out[:, :, 1:] += query[:, :, 1:]
    return attention.proj(out.transpose(1, 2).flatten(2))


@pytest.mark.parametrize(("q_stride", "kv_stride"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_attention_is_what_the_paper_spells_out(q_stride, kv_stride):
    shape = PoolingShape(
        dim_in=8, dim=16, num_heads=2, grid=(2, 4, 4), q_stride=q_stride, kv_stride=kv_stride
    )
    generator = torch.Generator().manual_seed(0)
    attention = PoolingAttention(shape)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    x = torch.randn(2, 33, 8, generator=generator)

    with torch.no_grad():
        torch.testing.assert_close(attention(x), spelled_out(attention, x))


def test_rows_of_a_table_count_distances_in_the_steps_of_the_finer_grid():
    assert relative_rows(3, 3).tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]
    assert relative_rows(4, 2).tolist() == [[2, 0], [3, 1], [4, 2], [5, 3]]
    assert relative_rows(2, 4).tolist() == [[3, 2, 1, 0], [5, 4, 3, 2]]


def test_a_key_has_a_one_at_its_time_row_and_column():
    places = one_hot_places((2, 1, 2))

    assert places.tolist() == [
        [0, 0, 0, 0, 0],
        [1, 0, 1, 1, 0],
        [1, 0, 1, 0, 1],
        [0, 1, 1, 1, 0],
        [0, 1, 1, 0, 1],
    ]


LARGE = {"dim": 144, "num_heads": 2, "depth": 48, "grows_at": (2, 8, 44), "pools_at": (2, 8, 44)}
SUPERVISED_BASE = {"depth": 24, "grows_at": (2, 5, 21), "pools_at": (2, 5, 21), "growth": "attention"}


@pytest.mark.parametrize(
    ("sizes", "millions"),
    [({}, 36.48), (LARGE, 217.6), (SUPERVISED_BASE | {"num_frames": 32}, 51.2)],
)
def test_a_classifier_of_400_has_as_many_parameters_as_published(sizes, millions):
    config = MvitConfig(**sizes)
    with torch.device("meta"):
        network = Mvit(config)
    head = 2 * config.dim_out + 400 * (config.dim_out + 1)

    counted = (sum(parameter.numel() for parameter in network.parameters()) + head) / 1e6

    assert round(counted, 2 if millions < 50 else 1) == millions


def test_blocks_of_the_small_model_are_those_of_the_paper():
    finetuned, pretrained = (list(MvitConfig(pools_at=at).blocks()) for at in ((1, 3, 14), (1, 3)))

    def told(block):
        shape = block.attention
        side = 2 * max(shape.q_grid[1], shape.kv_grid[1]) - 1
        return shape.dim_in, block.dim_out, shape.num_heads, shape.q_stride, shape.kv_stride, side

    assert [told(block) for block in finetuned[:5]] == [
        (96, 192, 1, 1, 8, 111),
        (192, 192, 2, 2, 4, 55),
        (192, 384, 2, 1, 4, 55),
        (384, 384, 4, 2, 2, 27),
        (384, 384, 4, 1, 2, 27),
    ]
    assert [told(block) for block in finetuned[13:]] == [
        (384, 768, 4, 1, 2, 27),
        (768, 768, 8, 2, 1, 27),
        (768, 768, 8, 1, 1, 13),
    ]
    assert [told(block) for block in pretrained[14:]] == [(768, 768, 8, 1, 2, 27)] * 2
    assert MvitConfig(pools_at=(1, 3)).grid == (8, 14, 14)


def test_first_weights_are_those_of_the_reference():
    network = Mvit(MvitConfig(image_px=32, num_frames=4, dim=32, depth=3, grows_at=(1,), pools_at=(1,)))

    initialize_mvit(network, generator=torch.Generator().manual_seed(0))

    state = network.state_dict()
    biases = [t for name, t in state.items() if name.endswith(("qkv.bias", "fc1.bias", "norm_q.bias"))]
    torch.testing.assert_close(torch.cat(biases), torch.full((sum(map(len, biases)),), 0.02))
    assert set(state["blocks.1.norm1.weight"].tolist()) == {1.0}
    assert float(state["blocks.1.attn.rel_pos_h"].std()) == pytest.approx(0.02, rel=0.2)
    assert float(state["blocks.1.mlp.fc1.weight"].std()) == pytest.approx(0.02, rel=0.1)
    assert float(state["blocks.0.attn.pool_q.weight"].abs().max()) <= 27**-0.5


def test_blocks_are_left_out_more_often_the_later_they_are():
    rates = [block.drop_path for block in MvitConfig(drop_path=0.3, depth=4).blocks()]

    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])
