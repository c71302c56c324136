import json
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import Manifest, make_column
from vfm.trainer import registry
from vfm.trainer.recipes.columns import resolve_columns
from vfm.trainer.recipes.settings import differences, flatten, override, to_dict
from vfm.trainer.registry import from_dict, load_recipe, recipe_names


@pytest.fixture
def plain(toy):
    return toy.recipe()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("optim.lr=1e-3", 0.001),
        ("optim.lr=1", 1.0),
        ("optim.betas=0.9,0.98", (0.9, 0.98)),
        ("optim.betas=(0.9, 0.98)", (0.9, 0.98)),
        ("optim.schedule=cosine", "cosine"),
        ("optim.clip_norm=none", None),
        ("optim.clip_norm=2", 2.0),
        ("train.max_steps=7", 7),
        ("train.max_steps=none", None),
        ("train.precision=bf16", "bf16"),
        ("data.split=train", "train"),
        ("data.split=none", None),
        ("data.split=all", None),
        ("data.split=Validation", "val"),
        ("train.validate_split=testing", "test"),
        ("data.columns=frames, vq.a=b", ("frames", "vq.a=b")),
        ("model.bias=true", True),
        ("model.bias=No", False),
        ("model.sizes=1,2,3", (1, 2, 3)),
        ("model.sizes=", ()),
        ("objective.weight=0.5", 0.5),
    ],
)
def test_override_takes_the_type_of_the_key(plain, setting, value):
    changed = flatten(override(plain, [setting]))
    found = changed[setting.partition("=")[0]]
    assert found == (list(value) if isinstance(value, tuple) else value)
    assert type(found) is (list if isinstance(value, tuple) else type(value))


def test_override_changes_nothing_else(plain):
    changed = override(plain, ["optim.lr=0.5", "model.dim=16", "optim.lr=0.25"])
    assert differences(plain, changed) == ["model.dim: 8 -> 16", "optim.lr: 0.01 -> 0.25"]
    assert override(plain, []) == plain


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optim.lr", "Cannot read the setting 'optim.lr': write KEY=VALUE"),
        ("lr=1", r"has no key 'lr' \(nearest: optim.lr\)"),
        ("optim.rl=1", r"has no key 'optim.rl' \(nearest: optim.lr"),
        ("train.batchsize=1", r"nearest: train.batch_size"),
        ("qqq=1", "has no key 'qqq': `vfm recipes show RECIPE` lists all"),
        ("name=x", "has no key 'name'"),
        ("optim=1", "has no key 'optim'"),
        ("optim.lr=fast", "optim.lr=fast does not fit: optim.lr is a number"),
        ("optim.lr=nan", "optim.lr is a number"),
        ("train.epochs=1.5", "train.epochs is a whole number"),
        ("train.max_steps=x", "train.max_steps is a whole number or none"),
        ("optim.schedule=step", "optim.schedule is one of linear, cosine, constant"),
        ("optim.betas=0.9", "optim.betas is 2 values with commas between, each a number"),
        ("model.sizes=1,x", "model.sizes is any number of values with commas between, each a whole number"),
        ("model.bias=perhaps", "model.bias is true or false or none"),
        ("optim.lr=-1", "optim.lr is -1.0, but must be above 0"),
        ("optim.betas=0.9,1", "must be two numbers in"),
        ("optim.clip_norm=0", "must be above 0 or none"),
        ("train.batch_size=0", "train.batch_size is 0, but must be at least 1"),
        ("train.max_steps=0", "must be at least 1 or none"),
        ("train.num_workers=-1", "must be 0 or more"),
        ("train.seed=-1", "train.seed is -1"),
        ("train.validate_split=all", "train.validate_split is all, but must be one split, of which nothing"),
        ("data.clip_len=0", "data.clip_len is 0, but must be at least 1"),
    ],
)
def test_override_refuses(plain, setting, message):
    with pytest.raises(UsageError, match=message):
        override(plain, [setting])


@pytest.fixture
def known(plain, monkeypatch):
    other = replace(plain, name="other")
    monkeypatch.setattr(registry, "_functions", lambda: {"toy": lambda: plain, "other": lambda: other})
    return plain


def test_recipe_survives_json_exactly(known):
    changed = override(known, ["optim.lr=0.1", "model.bias=false", "data.split=train", "model.sizes=9"])
    assert from_dict(json.loads(json.dumps(to_dict(changed)))) == changed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d["optim"].update(momentum=1), "does not know the key optim.momentum"),
        (lambda d: d["optim"].pop("lr"), "lacks the key optim.lr"),
        (lambda d: d["model"].update(dim="8"), "model.dim is '8', but must be a whole number"),
        (lambda d: d["train"].update(seed=True), "train.seed is True, but must be a whole number"),
        (lambda d: d.update(optim=3), "optim is 3, but must be an object"),
        (lambda d: d.update(method="gone"), "No recipe of method 'gone' and task None is known"),
    ],
)
def test_foreign_recipe_is_refused(known, spoil, message):
    values = to_dict(known)
    spoil(values)
    with pytest.raises(UsageError, match=message):
        from_dict(values)


def test_unknown_recipe_names_the_nearest(known):
    with pytest.raises(UsageError, match=r"Unknown recipe 'toi' \(nearest: toy\): `vfm recipes` lists all"):
        load_recipe("toi")
    assert recipe_names() == ["other", "toy"]


def test_settings_that_change_no_weight_may_differ_on_resume(plain):
    changed = override(plain, ["train.log_every=1", "train.checkpoint_every=9", "train.num_workers=2"])
    assert differences(plain, changed) == []


def manifest(*names):
    columns = {
        name: make_column(name, kind=name.partition(".")[0], fields=("x",), options={}, source=None)
        for name in ("frames", *names)
    }
    return Manifest(plan_sha256="", num_sources=1, num_shards=1, classes=(), columns=columns)


def test_only_column_of_a_kind_is_found(plain):
    assert resolve_columns(plain, manifest("hog", "vq.a")).data.columns == ("vq.a",)


def test_column_given_by_name_is_taken(plain):
    chosen = override(plain, ["data.column=vq.b"])
    assert resolve_columns(chosen, manifest("vq.a", "vq.b")) == chosen


def test_several_columns_are_a_question(plain):
    with pytest.raises(UsageError, match=r"vq.a, vq.b all match 'vq.\*'.*--set data.column=vq.a"):
        resolve_columns(plain, manifest("vq.a", "vq.b"))


def test_missing_column_names_the_command_that_makes_it(plain):
    with pytest.raises(
        UsageError,
        match=r"no column 'vq.\*' \(it has frames, hog\): run `vfm tokenize DATA --target vq:CODEBOOK` first",
    ):
        resolve_columns(plain, manifest("hog"))


def test_every_recipe_is_whole():
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inner:
    kind: Literal["a", 2] = "a"


def test_literal_keeps_its_type(plain):
    changed = override(replace(plain, objective=_Inner()), ["objective.kind=2"])
    assert changed.objective == _Inner(kind=2)
