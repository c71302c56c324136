import pytest

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.probe import PROBES, probe_batch_size, probing
from vfm.trainer.recipes.settings import override, to_dict
from vfm.trainer.registry import from_dict, load_recipe, recipe_names


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("name", recipe_names())
def test_every_encoder_can_be_probed_and_read_back(name, probe):
    encoder = load_recipe(name)
    recipe = probing(encoder, probe)
    assert (recipe.name, recipe.task) == (f"{name}-{probe}", probe)
    assert (recipe.model, recipe.data, recipe.method) == (encoder.model, encoder.data, encoder.method)
    assert from_dict(to_dict(recipe)) == recipe


def test_probes_are_not_among_the_recipes_that_are_listed():
    assert not any(name.endswith(PROBES) for name in recipe_names())


def test_numbers():
    linear, attentive = (probing(load_recipe("videomae-base"), probe) for probe in PROBES)
    for recipe in (linear, attentive):
        optim = recipe.optim
        assert optim.lr == max(recipe.objective.rates)
        assert (optim.schedule, optim.warmup, optim.min_lr, optim.clip_norm) == ("cosine", 0, 0, None)
        assert recipe.train.epochs == 20
        assert recipe.train.validate_epochs is None  # nothing that is counted on is looked at
        assert 1e-3 in recipe.objective.rates
    assert (linear.optim.weight_decay, attentive.optim.weight_decay) == (0.0, 0.01)
    assert (attentive.objective.depth, attentive.objective.num_heads) == (1, None)


@pytest.mark.parametrize(
    ("num_samples", "world_size", "expected"),
    [
        (4, 1, 4),
        (20, 1, 8),
        (100, 1, 12),
        (240, 1, 30),
        (10**6, 1, 64),
        (100, 8, 8),
        (10**6, 3, 63),
        (5, 8, 8),
    ],
)
def test_small_splits_have_small_batches(num_samples, world_size, expected):
    assert probe_batch_size(num_samples, world_size=world_size) == expected


@pytest.mark.parametrize(
    ("probe", "setting", "told"),
    [
        ("linear", "rates=", "objective.rates is "),
        ("linear", "rates=1e-3,1e-3", "each named once"),
        ("attentive", "rates=0,1e-3", "one number or more above 0"),
        ("attentive", "depth=0", "objective.depth is 0, but must be at least 1"),
        ("attentive", "num_heads=0", "objective.num_heads is 0, but must be at least 1, or none"),
        ("attentive", "mlp_ratio=0", "objective.mlp_ratio is 0.0, but must be above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(probe, setting, told):
    with pytest.raises(UsageError, match=told):
        override(probing(load_recipe("videomae-tiny"), probe), [f"objective.{setting}"])
