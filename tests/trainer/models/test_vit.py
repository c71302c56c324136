"""The video transformer of VideoMAE and UMT: against numbers of the references, and its parts by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from support.fixtures import read_fixture
from vfm.trainer.models.distillation import AlignConfig, DistilledLevels, align_loss
from vfm.trainer.models.mae import MaskedAutoencoder, pixel_targets
from vfm.trainer.models.pooled_vit import PooledVit, draw_head, encoder_state
from vfm.trainer.models.positions import sinusoid_table, stretch_table
from vfm.trainer.models.vit import DropPath, PatchEmbed, VitConfig, initialize_vit, split_mask, take

TINY = VitConfig(image_px=8, patch_px=4, num_frames=4, tubelet=2, dim=8, depth=2, num_heads=2)
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None, None]


def vit_of(config) -> VitConfig:
    """Return the sizes of a fixture's encoder, which VideoMAE's pretraining names otherwise."""
    dim, depth, heads = (
        config.get(name, config.get(f"encoder_{name}")) for name in ("embed_dim", "depth", "num_heads")
    )
    return VitConfig(
        image_px=config["img_size"],
        patch_px=config["patch_size"],
        num_frames=config["num_frames"],
        tubelet=config["tubelet_size"],
        dim=dim,
        depth=depth,
        num_heads=heads,
    )


@pytest.mark.parametrize("tubelet", [1, 2])
def test_visible_tokens_are_embedded_as_by_the_convolution(tubelet):
    config = replace(TINY, image_px=12, num_frames=4, tubelet=tubelet, dim=10)
    embed = PatchEmbed(config)
    torch.manual_seed(0)
    # As readers give them: colours are the last axis in memory.
    clips = torch.randn(3, 4, 12, 12, 3).permute(0, 4, 1, 2, 3)
    visible = torch.stack([torch.randperm(config.num_tokens)[:7].sort().values for _ in range(3)])
    found = embed(clips, visible=visible)
    torch.testing.assert_close(found, take(embed(clips), visible), atol=1e-6, rtol=1e-6)
    found.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in embed.parameters()]
    embed.zero_grad()
    take(embed(clips), visible).square().sum().backward()
    torch.testing.assert_close(gradients, [parameter.grad for parameter in embed.parameters()])


@pytest.mark.needs("shared")
def test_umt_student_is_that_of_the_reference(shared):
    of = read_fixture(shared, "umt_student_a")
    align = AlignConfig(
        teacher_dim=of.config["clip_output_dim"],
        num_levels=of.config["clip_return_layer"],
        level_interval=of.config["clip_student_return_interval"],
    )
    student = DistilledLevels(vit_of(of.config), align).eval()
    student.load_state_dict(of.file().tensors, strict=True)
    clips, is_hidden = of.tensors["input/video"], of.tensors["input/mask"]
    visible, _ = split_mask(is_hidden)
    of.expect("aligned", student(clips, visible))
    of.expect("encoder_pos_embed", student.encoder.positions[None])
    levels = student.encoder.levels(clips, visible=visible, blocks=align.blocks(of.config["depth"]))
    of.expect("encoder_levels", torch.stack(levels))


@pytest.mark.needs("shared")
@pytest.mark.parametrize("norm", ["l2", "none"])
@pytest.mark.parametrize("distance", ["l2", "mse", "smooth_l1"])
def test_umt_losses_are_those_of_the_reference(shared, norm, distance):
    of = read_fixture(shared, "umt_uta_loss_a")
    student, teacher = of.tensors["input/student"], of.tensors["input/teacher"]
    of.expect(f"loss_{norm}_{distance}", align_loss(student, teacher, norm=norm, distance=distance))


@pytest.mark.needs("shared")
def test_videomae_paints_what_the_reference_paints(shared):
    of = read_fixture(shared, "videomae_pretrain_a")
    network = MaskedAutoencoder(
        vit_of(of.config),
        decoder_dim=of.config["decoder_embed_dim"],
        decoder_depth=of.config["decoder_depth"],
        decoder_heads=of.config["decoder_num_heads"],
    )
    network.load_state_dict(of.file().tensors, strict=True)
    clips, is_hidden = of.tensors["input/videos"], of.tensors["input/mask"]
    pixels = clips * STD + MEAN
    raw = pixel_targets(pixels, is_hidden, config=vit_of(of.config), normalized=False)
    of.expect("target_raw", raw)
    targets = pixel_targets(pixels, is_hidden, config=vit_of(of.config))
    of.expect("target_normalised", targets)
    reconstructed = network(clips, is_hidden)
    of.expect("prediction", reconstructed)
    of.expect("loss_raw_target", nn.functional.mse_loss(reconstructed, raw))
    loss = nn.functional.mse_loss(reconstructed, targets)
    of.expect("loss", loss)
    loss.backward()
    of.expect("grad_norm", torch.nn.utils.get_total_norm([p.grad for p in network.parameters()]))
    of.expect("grad/mask_token", network.mask_token.grad)
    of.expect("grad/encoder.blocks.0.attn.q_bias", network.encoder.blocks[0].attn.q_bias.grad)
    of.expect("grad/encoder.blocks.0.attn.v_bias", network.encoder.blocks[0].attn.v_bias.grad)
    of.expect("decoder_pos_embed", network.decoder_positions[None])
    of.expect("encoder_latent", network.encoder(clips, visible=split_mask(is_hidden)[0]))


PUBLISHED = {
    "small": (VitConfig(dim=384, num_heads=6), (192, 4, 3), 24_029_376),
    "base": (VitConfig(), (384, 4, 6), 94_210_944),
    "large": (VitConfig(dim=1024, depth=24, num_heads=16), (512, 12, 8), 342_996_992),
    "huge": (VitConfig(dim=1280, depth=32, num_heads=16), (640, 12, 8), 692_487_296),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_sizes_have_the_published_numbers_of_parameters(size):
    config, (dim, depth, heads), expected = PUBLISHED[size]
    with torch.device("meta"):
        network = MaskedAutoencoder(config, decoder_dim=dim, decoder_depth=depth, decoder_heads=heads)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize(
    ("config", "teacher_dim", "millions"),
    [
        (VitConfig(num_frames=8, tubelet=1), 512, 88.01),
        (VitConfig(num_frames=8, tubelet=1, dim=1024, depth=24, num_heads=16), 768, 307.81),
    ],
)
def test_umt_students_have_the_published_sizes(config, teacher_dim, millions):
    with torch.device("meta"):
        student = DistilledLevels(config, AlignConfig(teacher_dim=teacher_dim))
    assert round(sum(p.numel() for p in student.parameters()) / 1e6, 2) == millions
    assert config.num_tokens == 1568


def test_a_table_of_the_same_grid_is_left_alone_and_a_constant_stays_one():
    table = sinusoid_table(12, 6)
    assert torch.equal(stretch_table(table, grid=(3, 2, 2), to=(3, 2, 2)), table)
    constant = stretch_table(torch.full((12, 6), 0.5), grid=(3, 2, 2), to=(5, 4, 4))
    torch.testing.assert_close(constant, torch.full((80, 6), 0.5))
    angles = [
        3.0,
        3.0,
        3 / 10000 ** (2 / 6),
        3 / 10000 ** (2 / 6),
        3 / 10000 ** (4 / 6),
        3 / 10000 ** (4 / 6),
    ]
    waves = [math.cos(angle) if channel % 2 else math.sin(angle) for channel, angle in enumerate(angles)]
    assert table[3].tolist() == pytest.approx(waves, abs=1e-6)


def test_a_mask_splits_tokens_in_their_order():
    is_hidden = torch.tensor([[True, False, False, True], [False, True, True, False]])
    visible, hidden = split_mask(is_hidden)
    assert visible.tolist() == [[1, 2], [0, 3]]
    assert hidden.tolist() == [[0, 3], [1, 2]]
    tokens = torch.arange(8.0).view(2, 4, 1)
    assert take(tokens, visible).flatten().tolist() == [1, 2, 4, 7]


def test_drop_path_leaves_out_samples_and_makes_up_for_it():
    drop = DropPath(0.25)
    torch.manual_seed(0)
    seen = drop(torch.ones(4000, 2, 3))
    assert seen.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (seen[:, :1, :1] == seen).all()
    assert seen.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(drop.eval()(seen), seen)
    assert VitConfig(depth=5, drop_path=0.2).drop_paths == pytest.approx((0, 0.05, 0.1, 0.15, 0.2))


def test_rows_that_hide_different_numbers_are_refused():
    is_hidden = torch.tensor([[True, False, False], [True, True, False]])
    with pytest.raises(ValueError, match="hide 1 to 2 tokens: hide as many in each clip"):
        split_mask(is_hidden)


def test_what_is_hidden_does_not_reach_the_encoder():
    network = MaskedAutoencoder(TINY, decoder_dim=8, decoder_depth=1, decoder_heads=2)
    initialize_vit(network, generator=torch.Generator().manual_seed(0))
    is_hidden = torch.tensor([[True, False, True, True] * 2])
    clips = torch.rand(1, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    before = network(clips, is_hidden)
    changed = clips.clone()
    changed[:, :, :, 4:] = 9.0
    assert torch.equal(network(changed, is_hidden), before)
    changed[:, :, :, :4, 4:] = 9.0
    assert not torch.allclose(network(changed, is_hidden), before)


def test_first_weights_follow_from_the_generator():
    states = []
    for seed in (0, 0, 1):
        network = PooledVit(TINY)
        initialize_vit(network, generator=torch.Generator().manual_seed(seed))
        states.append(network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["blocks.0.mlp.fc1.weight"], states[2]["blocks.0.mlp.fc1.weight"])
    bound = (6 / (8 + 32)) ** 0.5
    assert states[0]["blocks.0.mlp.fc1.weight"].abs().max() <= bound
    assert not states[0]["blocks.0.mlp.fc1.bias"].any()


def test_an_encoder_is_found_in_a_pretraining_state():
    network = MaskedAutoencoder(TINY, decoder_dim=8, decoder_depth=1, decoder_heads=2)
    state = encoder_state(network.state_dict())
    found = PooledVit(TINY).load_state_dict(state, strict=False)
    assert found.missing_keys == ["fc_norm.weight", "fc_norm.bias"]
    assert found.unexpected_keys == []


def test_a_head_starts_small():
    head = nn.Linear(64, 50)
    draw_head(head, generator=torch.Generator().manual_seed(0))
    assert head.weight.std().item() == pytest.approx(2e-5, rel=0.05)
    assert not head.bias.any()
