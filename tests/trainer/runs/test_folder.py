import pytest
import torch

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.engine.checkpoint import read
from vfm.trainer.engine.checkpoint_state import STATE
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, check_columns, newest_checkpoint, recipe_of
from vfm.trainer.runs.initial_weights import from_run
from vfm.trainer.runs.run import pretrain

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "model.nce_proj_dim=8", "data.clip_len=3")
STEPS = ("train.batch_size=4", "train.max_steps=4", "train.checkpoint_every=2", "train.keep_checkpoints=9")


class Bench:
    """One dataset, and runs on it."""

    def __init__(self, data, root):
        self.data, self.root, self.said = data, root, []
        self.options = RunOptions(device="cpu", say=self.said.append)

    def pretrain(self, *settings, out="run", data=None):
        recipe = override(load_recipe("vimpac-tiny"), [*TINY, *STEPS, *settings])
        return pretrain(recipe, data=data or self.data, out=self.root / out, options=self.options)

    def newest(self, out="run"):
        return newest_checkpoint(self.root / out, options=self.options)


@pytest.fixture
def bench(toy_dataset, tmp_path):
    made = Bench(toy_dataset(), tmp_path)
    made.pretrain()
    return made


def to_old_form(path):
    """Rewrite a state as version 0.1 wrote it: the one column's name in the recipe, its options beside it."""
    state = read_sealed(path / STATE)
    ((name, column),) = state.pop("columns").items()
    data = {"column": name, **state["recipe"]["data"]}
    assert data.pop("columns") == [name]
    recipe = {**state["recipe"], "data": data}
    write_sealed(path / STATE, {**state, "recipe": recipe, "column": column["options"]})


def keep_until_step_2(run):
    """Leave a run as if it had been killed after its first checkpoint."""
    for file in (run / "checkpoints/step-000004").iterdir():
        file.unlink()
    (run / "checkpoints/step-000004").rmdir()


def test_a_checkpoint_of_version_0_1_goes_on_bit_for_bit(bench):
    whole = bench.newest().model()
    keep_until_step_2(bench.root / "run")
    to_old_form(bench.root / "run/checkpoints/step-000002")
    assert recipe_of(bench.newest()).data.columns == ("vq.toy",)
    assert bench.pretrain().step == 4
    assert any("Going on from step 2 of 4" in sentence for sentence in bench.said)
    assert all(torch.equal(whole[name], value) for name, value in bench.newest().model().items())


def test_a_checkpoint_of_version_0_1_is_finetuned_as_before(bench):
    def taught(out):
        start = from_run(bench.root / "run", options=bench.options)
        settings = ["train.batch_size=4", "train.max_steps=2", "data.split=train"]
        recipe = finetune_recipe("classify", start=start.recipe, settings=settings)
        finetune(recipe, start=start, data=bench.data, out=bench.root / out, options=bench.options)
        return bench.newest(out).model()

    new = taught("new")
    for path in (bench.root / "run/checkpoints").iterdir():
        to_old_form(path)
    old = taught("old")
    assert all(torch.equal(new[name], old[name]) for name in new)


def test_a_checkpoint_of_version_0_1_refuses_another_codebook(bench, toy_dataset):
    keep_until_step_2(bench.root / "run")
    to_old_form(bench.root / "run/checkpoints/step-000002")
    told = r"other settings \(column vq.toy, made with another codebook\)"
    with pytest.raises(UsageError, match=told):
        bench.pretrain(data=toy_dataset("other", codebook="another"))


@pytest.mark.parametrize("column", [None, 3, [], "vq.toy"])
def test_a_forged_state_of_version_0_1_is_one_sentence(bench, column):
    path = bench.root / "run/checkpoints/step-000004"
    to_old_form(path)
    write_sealed(path / STATE, {**read_sealed(path / STATE), "column": column})
    with pytest.raises(DamageError, match=r"not one that vfm wrote \(columns.vq.toy.options is .*: restore"):
        read(path)


def test_columns_are_told_apart_by_kind(bench, toy_dataset):
    checkpoint, recipe = bench.newest(), recipe_of(bench.newest())

    def check(names, dataset):
        learned_from = checkpoint.state["columns"]
        now = with_columns(recipe, names)
        check_columns(learned_from, path=checkpoint.path, recipe=now, dataset=dataset)

    dataset = open_dataset(toy_dataset("renamed", columns=("vq.mine",)))
    check(["vq.mine"], dataset)
    other = open_dataset(toy_dataset("other", columns=("vq.mine",), codebook="another"))
    told = r"Column vq.mine of .*other differs from the one that .*step-000004 was trained on in codebook"
    with pytest.raises(UsageError, match=told):
        check(["vq.mine"], other)
    check([FRAMES], other)


def test_a_column_of_a_kind_that_was_not_learned_from_is_refused(bench, stills, tiny_vocabulary):
    from vfm.video2token.jobs.tokenize.tokenize import tokenize
    from vfm.video2token.target import TargetOptions

    data = stills(captions=(("a dog",),))
    (result,) = tokenize(data, [f"text:{tiny_vocabulary}"], TargetOptions())
    recipe = with_columns(recipe_of(bench.newest()), [result.column])
    told = r"step-000004 was trained on vq.toy, not on a column of the kind of text\.words: change it"
    with pytest.raises(UsageError, match=told):
        check_columns(
            bench.newest().state["columns"],
            path=bench.newest().path,
            recipe=recipe,
            dataset=open_dataset(data),
        )
