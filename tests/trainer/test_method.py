"""Every method keeps the contract of `vfm.trainer.method`; a new folder needs no line here."""

import importlib
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vfm.shards.columns.commands import kind_of
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer import methods
from vfm.trainer.data.stream import stack
from vfm.trainer.recipes.columns import resolve_columns
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions


@pytest.fixture(params=methods.names())
def method(request, toy_dataset, tiny_vit):
    """Return a method built by its smallest recipe, and the dataset it reads."""
    package = importlib.import_module(f"vfm.trainer.methods.{request.param}")
    recipes = importlib.import_module(f"vfm.trainer.methods.{request.param}.recipe").RECIPES
    (smallest,) = (name for name in recipes if name.endswith("-tiny"))
    recipe = recipes[smallest]()
    data = toy_dataset(columns=("vq.toy", "text.toy"))
    for kind in {kind_of(column) for column in recipe.data.columns} & {"clip"}:
        own = {"crop_px": recipe.model.frame_px, "levels": 1, "weights": str(tiny_vit)}
        tokenize(data, [f"{kind}:test_vit"], TargetOptions(own=own), accept_data=True)
    recipe = resolve_columns(recipe, open_dataset(data).manifest)
    dataset = open_dataset(data, columns=recipe.data.columns)
    return package.build(recipe, dataset), dataset, recipe, package


def batch_of(method, dataset):
    return stack([method.prepare(dataset, index, np.random.default_rng(index)) for index in range(2)])


@pytest.mark.parametrize("name", methods.names())
def test_recipes_are_named_after_their_folder_and_need_no_torch(name):
    code = (
        f"import sys; from vfm.trainer.methods.{name}.recipe import RECIPES;"
        "print(*sorted(RECIPES), *{r().method for r in RECIPES.values()}, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *recipes, folder, has_torch = done.stdout.split()
    assert recipes
    assert all(recipe.startswith(f"{name.replace('_', '-')}-") for recipe in recipes)
    assert (folder, has_torch) == (name, "False")


def test_loss_is_finite_and_reaches_every_parameter(method):
    method, dataset, *_ = method
    losses = method(batch_of(method, dataset))
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    assert [name for name, value in losses.items() if value.requires_grad] == ["loss"]
    losses["loss"].backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_state_loads_strictly_in_both_directions(method):
    method, dataset, recipe, package = method
    other = package.build(replace(recipe, train=replace(recipe.train, seed=7)), dataset)
    other.load_state_dict(method.state_dict(), strict=True)
    method.eval(), other.eval()
    batch = batch_of(method, dataset)
    torch.testing.assert_close(other(batch), method(batch), rtol=0, atol=0)


def test_first_weights_follow_from_the_recipe_alone(method):
    method, dataset, recipe, package = method
    torch.manual_seed(1234)
    again = package.build(recipe, dataset).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in method.state_dict().items())


def test_preparing_is_light_and_follows_from_its_generator(method):
    method, dataset, *_ = method
    prepare = pickle.loads(pickle.dumps(method.prepare))
    assert len(pickle.dumps(prepare)) < 2000
    first = method.prepare(dataset, 1, np.random.default_rng(5))
    second = prepare(dataset, 1, np.random.default_rng(5))
    assert all(isinstance(array, np.ndarray) for array in first.values())
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_backbone_takes_the_pretrained_weights(method):
    method, dataset, recipe, package = method
    reader = package.build_clip_reader(recipe, dataset)
    clip = stack([reader(dataset, index, np.arange(recipe.data.clip_len)) for index in range(3)])
    found = []
    for seed in (7, 8):
        other = replace(recipe, train=replace(recipe.train, seed=seed))
        backbone = package.build_backbone(other, dataset).eval()
        assert not any(torch.equal(backbone.features(clip), before) for before in found)
        backbone.load_pretrained(method.state_dict())
        found.append(backbone.features(clip))
    assert found[0].shape == (3, backbone.dim)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_backbone_gives_tokens_of_its_width_and_changes_nothing_else(method):
    method, dataset, recipe, package = method
    reader = package.build_clip_reader(recipe, dataset)
    clip = stack([reader(dataset, index, np.arange(recipe.data.clip_len)) for index in range(3)])
    backbone = package.build_backbone(recipe, dataset).eval()
    before = backbone.features(clip)
    tokens = backbone.tokens(clip)
    assert tokens.shape[0] == 3
    assert tokens.shape[1] > 1
    assert tokens.shape[2] == backbone.dim
    assert tokens.isfinite().all()
    torch.testing.assert_close(backbone.features(clip), before, rtol=0, atol=0)
    pooled = backbone.pooled(backbone.encoded(backbone.inputs(clip)))
    torch.testing.assert_close(pooled, before, rtol=1e-5, atol=1e-6)


def shapes_of(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def test_network_without_a_dataset_has_the_same_tensors(method):
    method, dataset, recipe, package = method
    state = method.state_dict()
    assert shapes_of(package.build_network(recipe, state)) == shapes_of(method)
    found = package.build_encoder(recipe, {**state, **{f"backbone.{k}": v for k, v in state.items()}})
    assert shapes_of(found) == shapes_of(package.build_backbone(recipe, dataset))


def counted(passed, device):
    with (
        torch.device(device),
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as c,
    ):
        passed.run()
    return c.get_total_flops()


@pytest.mark.parametrize("task", [None, "classify"])
def test_a_forward_pass_is_of_this_network_and_counts_alike_without_memory(method, task):
    method, _, recipe, package = method
    passed = package.forward_pass(replace(recipe, task=task))
    whole = method.state_dict()
    if task is not None:
        downstream = {**whole, **{f"backbone.{name}": tensor for name, tensor in whole.items()}}
        whole = package.build_encoder(recipe, downstream).state_dict()
    assert passed.network.state_dict().keys() == whole.keys()
    passed.network.eval()
    on_a_cpu = counted(passed, "cpu")
    passed.network.to("meta")
    assert counted(passed, "meta") == on_a_cpu > 0


def test_something_is_decayed_and_something_is_not(method):
    method, *_ = method
    assert {method.no_weight_decay(name) for name, _ in method.named_parameters()} == {False, True}


def test_all_weights_of_another_run_are_taken(method):
    method, dataset, recipe, package = method
    other = package.build(replace(recipe, train=replace(recipe.train, seed=7)), dataset)
    state = other.state_dict()
    assert any(not torch.equal(value, state[name]) for name, value in method.state_dict().items())
    method.load_pretrained(state)
    assert all(torch.equal(value, state[name]) for name, value in method.state_dict().items())


def test_weights_of_another_size_are_one_sentence(method):
    method, *_ = method
    state = dict(method.state_dict())
    name = next(name for name in sorted(state) if state[name].ndim == 2)
    rows, columns = state[name].shape
    state[name] = torch.zeros(rows, columns + 1)
    told = rf"another model: {name} is \({rows}, {columns + 1}\) there and \({rows}, {columns}\) here; repeat"
    with pytest.raises(UsageError, match=told):
        method.load_pretrained(state)
    del state[name]
    with pytest.raises(UsageError, match=f"another model: {name} is absent there and"):
        method.load_pretrained(state)
