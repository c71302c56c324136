import pickle
from dataclasses import replace

import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.recipes.probe import probing
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.tasks.linear.parts import left_out, parts_of


def test_a_fifth_is_left_out_and_of_each_class_its_share(toy_dataset):
    dataset = open_dataset(toy_dataset(num_samples=50), columns=("vq.toy",))
    found = left_out(dataset)
    assert found.sum() == 10
    assert np.bincount(dataset.class_indices[found]).tolist() == [5, 5]


def test_who_is_left_out_follows_from_keys_and_not_from_their_order(toy_dataset):
    dataset = open_dataset(toy_dataset(num_samples=30), columns=("vq.toy",))
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_array_equal(left_out(dataset.select(order)), left_out(dataset)[order])


def test_too_few_samples_to_leave_one_out(toy_dataset):
    dataset = open_dataset(toy_dataset(num_samples=4), columns=("vq.toy",))
    with pytest.raises(UsageError, match="and there are 4: it needs 5 labelled samples or more"):
        left_out(dataset)
    assert left_out(open_dataset(toy_dataset("five", num_samples=5), columns=("vq.toy",))).sum() == 1


def test_a_clip_tells_whether_it_is_left_out(toy_dataset):
    dataset = open_dataset(toy_dataset(num_samples=20), columns=("vq.toy",))
    recipe = override(load_recipe("vimpac-tiny"), ["data.column=vq.toy", "data.clip_len=3"])
    parts = parts_of(probing(recipe, "linear"), dataset)
    prepare = pickle.loads(pickle.dumps(parts.prepare))
    told = [prepare(dataset, index, np.random.default_rng(0))["is_left_out"] for index in range(20)]
    assert told == left_out(dataset).tolist()
    assert prepare.share == 0.2


def test_rates_are_those_of_the_optimizer(toy_dataset):
    dataset = open_dataset(toy_dataset(), columns=("vq.toy",))
    recipe = probing(load_recipe("vimpac-tiny"), "linear")
    recipe = replace(recipe, optim=replace(recipe.optim, lr=0.5))
    with pytest.raises(UsageError, match="optim.lr is 0.5 and the highest of objective.rates 0.01"):
        parts_of(recipe, dataset)
