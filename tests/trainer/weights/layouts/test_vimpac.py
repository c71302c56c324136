"""Folders of VIMPAC say here what they said there."""

import pickle
from argparse import Namespace

import pytest
import torch

from support.fixtures import classified, network_of, read_fixture
from vfm.shards.errors import UsageError
from vfm.trainer.weights.files import read_weights
from vfm.trainer.weights.imported import import_weights

SIZES = {
    "pos_emb": "pos_emb",
    "pre_activation": "pre_activation",
    "layers": "layers",
    "hid_dim": "hid_dim",
    "halve_mlp": "halve_mlp",
    "halve_att": "halve_att",
    "clip_len": "length",
    "nce_proj_layers": "nce_proj_layers",
    "nce_proj_hid_dim": "nce_proj_hid_dim",
}


def saved(fixture, folder):
    """Write what VIMPAC's trainer writes, and read it."""
    config = fixture.config
    own = {name: config[given] for name, given in SIZES.items() if given in config}
    arguments = Namespace(model=f"efflayout{config['layout']}", output="snap/x", epoch=3, **own)
    folder.mkdir()
    torch.save(fixture.file().tensors, folder / "classifier.pt")
    (folder / "args.pickle").write_bytes(pickle.dumps(arguments))
    return read_weights(folder)


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["vimpac_forward_a", "vimpac_forward_half_a", "vimpac_forward_ablation_a"])
@torch.no_grad()
def test_pretraining_says_what_it_said_there(shared, tmp_path, name):
    fixture = read_fixture(shared, name)
    # The fixture's heads are not those that the reference's trainer has for its width.
    heads = (f"model.num_heads={fixture.config['heads']}",)
    if fixture.config["pos_emb"] != "hw_separation":  # whose table does not tell that frames are no squares
        heads = (
            *heads,
            *(f"model.grid_{side}={fixture.config[side]}" for side in ("height", "width")),
        )
    found = import_weights(saved(fixture, tmp_path / "last"), settings=heads)
    assert (found.project, found.recipe.task, found.left_out) == ("vimpac", None, ())
    network = network_of(found)
    codes = fixture.tensors["input/codes"]
    cls, hidden = network.backbone(codes)
    for expected, given in {"backbone_cls": cls, "backbone_hiddens": hidden}.items():
        fixture.expect(expected, given)
    fixture.expect("cls_head", network.cls_head(cls))


@pytest.mark.needs("shared")
@torch.no_grad()
def test_classifiers_say_what_they_said_there(shared, tmp_path):
    fixture = read_fixture(shared, "vimpac_finetune_a")
    heads = (f"model.num_heads={fixture.config['heads']}",)
    found = import_weights(saved(fixture, tmp_path / "last"), settings=heads)
    assert (found.project, found.recipe.task, found.left_out) == ("vimpac", "classify", ())
    views = fixture.tensors["input/codes"]
    cls = network_of(found).features({"codes": views.flatten(0, 1)})
    fixture.expect("logits", classified(found, cls.view(*views.shape[:2], -1)))


@pytest.mark.needs("shared")
def test_without_arguments_the_shapes_tell_what_they_can(shared, tmp_path):
    fixture = read_fixture(shared, "vimpac_forward_a")
    saved(fixture, tmp_path / "last")
    (tmp_path / "last" / "args.pickle").unlink()
    with pytest.raises(UsageError, match=r"is of no recipe's network; the nearest is vimpac-"):
        import_weights(read_weights(tmp_path / "last"))
