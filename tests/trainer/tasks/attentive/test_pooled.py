import pytest

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.recipes.probe import probing
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.tasks.attentive import build

SMALL = ("model.num_layers=1", "model.dim=16", "data.clip_len=3", "data.column=vq.toy")


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(), columns=("vq.toy",))


def recipe(*settings):
    return override(probing(override(load_recipe("vimpac-tiny"), SMALL), "attentive"), settings)


@pytest.mark.parametrize(
    ("settings", "num_heads"),
    [
        (("model.num_heads=2",), 2),
        (("model.num_heads=none", "model.dim=128"), 2),
        (("model.num_heads=2", "objective.num_heads=4"), 4),
    ],
)
def test_as_many_heads_as_the_encoder_unless_told_otherwise(dataset, settings, num_heads):
    task = build(recipe(*settings), dataset)
    assert {head[0].attn.num_heads for head in (*task.heads, *task.partial_heads)} == {num_heads}
    assert len(task.heads) == len(task.partial_heads) == 5


def test_depth_adds_blocks_in_which_tokens_look_at_each_other(dataset):
    task = build(recipe("model.num_heads=2", "objective.depth=4", "objective.mlp_ratio=2"), dataset)
    assert len(task.heads[0][0].blocks) == 3
    assert task.heads[0][0].mlp.fc1.out_features == 32


def test_heads_that_channels_do_not_divide_among(dataset):
    with pytest.raises(UsageError, match=r"objective.num_heads is 3 and the encoder has 16 channels"):
        build(recipe("objective.num_heads=3"), dataset)
