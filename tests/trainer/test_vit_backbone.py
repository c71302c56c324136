"""The video transformer as it is finetuned: at which rate each of its parameters learns."""

import json

import pytest
import torch

from vfm.trainer.engine.updates.optim import build_optimizer
from vfm.trainer.models.positions import sinusoid_table
from vfm.trainer.models.vit import VitConfig
from vfm.trainer.recipes.classify import ClassifyConfig
from vfm.trainer.recipes.recipe import OptimConfig
from vfm.trainer.tasks.classify.classifier import Classify
from vfm.trainer.vit_backbone import build_backbone

SIZES = {"image_px": 8, "patch_px": 4, "num_frames": 4, "tubelet": 2, "dim": 8, "num_heads": 2}


@pytest.mark.needs("shared")
def test_rates_and_decay_of_each_parameter_are_those_of_the_reference(shared):
    of = json.loads((shared / "golden" / "videomae_layer_decay_a.json").read_text())
    sizes, official = of["config"], {"backbone": "", "cls_fc": "head."}
    backbone = build_backbone(VitConfig(**SIZES, depth=sizes["depth"]), seed=0)
    task = Classify(backbone, num_classes=3, config=ClassifyConfig(), prepare=None, seed=0)
    config = OptimConfig(lr=1.0, weight_decay=sizes["weight_decay"], layer_decay=sizes["layer_decay"])
    found = {}
    for group in build_optimizer(task, config=config).param_groups:
        for name in group["param_names"]:
            room, _, rest = name.partition(".")
            found[official[room] + rest] = {
                "lr_scale": pytest.approx(group["lr_scale"], rel=1e-12),
                "weight_decay": group["weight_decay"],
            }
    assert found == of["parameters"]


@pytest.mark.parametrize("changes", [{}, {"num_frames": 8}, {"image_px": 16}])
def test_positions_are_computed_for_the_grid_at_hand(changes):
    """As VideoMAE is finetuned: no table is in its state."""
    config = VitConfig(**SIZES | changes, depth=1)
    backbone = build_backbone(config, seed=0)
    assert torch.equal(backbone.pos_embed[0], sinusoid_table(config.num_tokens, 8))
    assert "pos_embed" not in backbone.state_dict()


def test_features_are_the_normalised_mean_of_the_tokens():
    backbone = build_backbone(VitConfig(**SIZES, depth=2), seed=0).eval()
    torch.nn.init.normal_(backbone.fc_norm.weight)
    batch = {"clip": torch.randint(256, (3, 4, 8, 8, 3), generator=torch.Generator().manual_seed(0))}
    batch = {"clip": batch["clip"].to(torch.uint8)}
    tokens = backbone.tokens(batch)
    assert tokens.shape == (3, 8, 8)
    torch.testing.assert_close(backbone.fc_norm(tokens.mean(1)), backbone.features(batch))
