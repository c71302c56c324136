"""VIMPAC against numbers of the reference: small copies kept here, the full ones where they are."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.methods.vimpac.loss import nce_loss
from vfm.trainer.methods.vimpac.model import VimpacBackbone
from vfm.trainer.methods.vimpac.pretrain import Vimpac
from vfm.trainer.methods.vimpac.reader import CodeReader, PretrainReader
from vfm.trainer.methods.vimpac.recipe import ModelConfig, Objective
from vfm.trainer.recipes.classify import ClassifyConfig
from vfm.trainer.tasks.classify.classifier import Classify, merge_views, view_loss
from vfm.trainer.tasks.classify.clips import RandomClip

SMALL = Path(__file__).parents[3] / "golden"
ATOL = 1e-4  # what the fixtures suggest; logits reach 20, and float32 sums in another order differ by 2e-5


@dataclass
class Golden:
    """One fixture: its configuration, the reference's parameters, inputs and outputs."""

    path: Path
    config: dict
    params: dict[str, Tensor]
    tensors: dict[str, Tensor]

    def expect(self, name: str, found: Tensor, atol: float = ATOL) -> None:
        torch.testing.assert_close(found, self.tensors[f"output/{name}"], atol=atol, rtol=0.0)


@pytest.fixture(params=["small", pytest.param("shared", marks=pytest.mark.needs("shared"))])
def golden(request):
    """Return a reader of fixtures, from either place."""

    def read(name: str) -> Golden:
        folder = SMALL if request.param == "small" else request.getfixturevalue("shared") / "golden"
        path = folder / f"{name}.safetensors"
        tensors = load_file(path)
        params = {key.removeprefix("param/"): value for key, value in tensors.items() if "param/" in key}
        if "mlm_head.bias" in params:  # left out of the small copies: tied
            params.setdefault("mlm_head.decoder.weight", params["backbone.embedding.weight"])
            params.setdefault("mlm_head.decoder.bias", params["mlm_head.bias"])
        config = json.loads(path.with_suffix(".json").read_text())["config"]
        return Golden(path=path, config=config, params=params, tensors=tensors)

    return read


def model_config(config: dict, **changes) -> ModelConfig:
    same = ("vocab_size", "pre_activation", "pos_emb", "layout", "halve_att", "halve_mlp")
    other = {"layers": "num_layers", "hid_dim": "dim", "heads": "num_heads", "length": "clip_len"}
    other |= {"height": "grid_height", "width": "grid_width"}
    other |= {"nce_proj_layers": "nce_proj_layers", "nce_proj_hid_dim": "nce_proj_dim"}
    values = {name: config[name] for name in same}
    values |= {ours: config[theirs] for theirs, ours in other.items() if theirs in config}
    return ModelConfig(**{**values, "dropout": 0.0, **changes})


def build(config: dict) -> Vimpac:
    objective = Objective(temperature=config.get("temperature", 0.2))
    sampler = PretrainReader(
        reader=CodeReader(column="vq.x", vocab_size=config["vocab_size"]),
        clip_len=config["length"],
        stride=1,
        objective=objective,
    )
    return Vimpac(model_config(config), objective=objective, prepare=sampler)


@pytest.mark.parametrize("name", ["vimpac_forward_a", "vimpac_forward_half_a", "vimpac_forward_ablation_a"])
@torch.no_grad()
def test_forward(golden, name):
    fixture = golden(name)
    method = build(fixture.config).eval()
    method.load_state_dict(fixture.params, strict=True)
    assert set(method.state_dict()) == set(fixture.params)
    codes = fixture.tensors["input/codes"]
    cls, hidden = method.backbone(codes)
    fixture.expect("positional_table", method.backbone.positional_embedding())
    fixture.expect("backbone_cls", cls)
    fixture.expect("backbone_hiddens", hidden)
    fixture.expect("pooling", method.backbone.features({"codes": codes}, pool="mean"))
    fixture.expect("backbone_cls", method.backbone.features({"codes": codes}))
    fixture.expect("cls_head", method.cls_head(cls))
    fixture.expect("mlm_logits", method.logits(codes))


@pytest.mark.parametrize("name", ["vimpac_forward_a", "vimpac_forward_half_a", "vimpac_forward_ablation_a"])
@torch.no_grad()
def test_every_layer(golden, name):
    fixture = golden(name)
    backbone = build(fixture.config).eval()
    backbone.load_state_dict(fixture.params)
    backbone = backbone.backbone
    codes = fixture.tensors["input/codes"]
    tokens, masks = backbone.embed(codes), backbone.key_masks(codes, has_pad=True)
    for i, block in enumerate(backbone.transformer.resblocks):
        tokens = block(tokens, backbone.grid, masks)
        fixture.expect(f"layer{i}/cls", tokens[:, 0])
        fixture.expect(f"layer{i}/hiddens", tokens[:, 1:].unflatten(1, codes.shape[1:]))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_losses(golden, mode):
    fixture = golden("vimpac_losses_a")
    config = fixture.config
    method = build(config).train(mode == "train")
    method.load_state_dict(fixture.params)
    clips = (2, config["batch"], config["length"], config["height"], config["width"])
    batch = {
        name: fixture.tensors[f"input/{stored}"].view(clips).transpose(0, 1)
        for name, stored in {"codes": "masked_codes", "labels": "labels"}.items()
    }
    found = method(batch)
    for name in ("loss", "mlm_loss", "nce_loss", "mask_ratio"):
        fixture.expect(f"{mode}/{name}", found[name].detach())
    fixture.expect(f"{mode}/accuracy_percent", found["mlm_accuracy"] * 100)
    if mode == "train":
        check_gradients(fixture, method, loss=found["loss"])


def check_gradients(fixture: Golden, method: Vimpac, *, loss: Tensor) -> None:
    loss.backward()
    parameters = dict(method.named_parameters())
    prefix = "output/train/grad/"
    for name in (name.removeprefix(prefix) for name in fixture.tensors if name.startswith(prefix)):
        fixture.expect(f"train/grad/{name}", parameters[name].grad, atol=1e-5)
    norm = torch.stack([parameter.grad.norm() for parameter in parameters.values()]).norm()
    fixture.expect("train/grad_norm", norm)
    for name in ("running_mean", "running_var"):
        fixture.expect(f"train/bn_0.{name}", getattr(method.cls_head.mlp["bn_0"], name))


def test_nce(golden):
    fixture = golden("vimpac_nce_a")
    hidden = fixture.tensors["input/hidden"].requires_grad_()
    temperature = fixture.config["temperature"]
    loss = nce_loss(hidden, temperature=temperature)
    loss.backward()
    fixture.expect("loss", loss.detach(), atol=1e-6)
    fixture.expect("grad_hidden", hidden.grad, atol=1e-6)
    fixture.expect("loss_temperature_1", nce_loss(hidden, temperature=1.0).detach(), atol=1e-6)
    bare = nce_loss(hidden, temperature=temperature, normalize=False)
    fixture.expect("loss_no_norm", bare.detach(), atol=1e-6)


@pytest.mark.parametrize("name", ["vimpac_posinterp_a", "vimpac_posinterp_ablation_a"])
@torch.no_grad()
def test_another_input_shape(golden, name):
    fixture = golden(name)
    target = fixture.config["target"]
    shape = {"clip_len": target["length"], "grid_height": target["height"], "grid_width": target["width"]}
    backbone = VimpacBackbone(model_config(fixture.config, **shape)).eval()
    backbone.load_pretrained(fixture.params)
    for key, value in backbone.positional_embedding.state_dict().items():
        fixture.expect(f"backbone.positional_embedding.{key}", value, atol=1e-6)
    cls, hidden = backbone(fixture.tensors["input/codes"])
    fixture.expect("positional_table", backbone.positional_embedding(), atol=1e-6)
    fixture.expect("backbone_cls", cls)
    fixture.expect("backbone_hiddens", hidden)


@torch.no_grad()
def test_finetuned(golden):
    fixture = golden("vimpac_finetune_a")
    config = fixture.config
    classifier = classify(config, label_smoothing=0.0).eval()
    classifier.load_state_dict(fixture.params, strict=True)
    assert set(classifier.state_dict()) == set(fixture.params)
    codes, labels = fixture.tensors["input/codes"], fixture.tensors["input/labels"]
    logits = classifier.view_logits({"codes": codes, "label": labels})
    fixture.expect("logits", logits)
    fixture.expect("predictions", merge_views(logits).argmax(1))
    fixture.expect("val_loss", view_loss(logits, labels).mean())
    views = {"codes": codes.flatten(0, 1), "label": labels.repeat_interleave(config["views"])}
    fixture.expect("loss_ce", classifier(views)["loss"])
    smoothed = classify(config, label_smoothing=config["label_smoothing"]).eval()
    smoothed.load_state_dict(fixture.params)
    fixture.expect("loss_label_smoothing", smoothed(views)["loss"])


def classify(config: dict, *, label_smoothing: float) -> Classify:
    reader = CodeReader(column="vq.x", vocab_size=config["vocab_size"])
    return Classify(
        VimpacBackbone(model_config(config)),
        num_classes=config["num_labels"],
        config=ClassifyConfig(label_smoothing=label_smoothing),
        prepare=RandomClip(reader=reader, sampling=ClipSampling(clip_len=config["length"])),
        seed=0,
    )
