from dataclasses import replace

import pytest

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.probe import PROBES, probing
from vfm.trainer.recipes.settings import override
from vfm.trainer.recipes.yaml.writer import to_yaml
from vfm.trainer.registry import load_recipe, open_recipe, recipe_names


@pytest.fixture
def reopen(tmp_path):
    """Return what writes a recipe, its text changed, and opens it."""

    def reopen(recipe, *changes: tuple[str, str], name: str = "mine.yaml"):
        text = to_yaml(recipe)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / name).write_text(text)
        return open_recipe(str(tmp_path / name))

    return reopen


@pytest.mark.parametrize("name", recipe_names())
def test_a_file_gives_back_every_recipe(name, reopen):
    recipe = load_recipe(name)
    assert open_recipe(name) == reopen(recipe) == recipe
    changed = override(
        recipe,
        [
            "optim.lr=1.5e-05",
            "optim.min_lr=0",
            "optim.warmup_start=0",
            "data.split=a: b",
            "train.max_steps=7",
        ],
    )
    assert reopen(changed, name="other.YML") == changed != recipe
    for probe in PROBES:
        assert reopen(probing(recipe, probe)) == probing(recipe, probe)


def test_settings_go_on_top_of_a_file(reopen):
    found = reopen(load_recipe("umt-base"), ("name: umt-base", "name: mine"), ("  lr: 0.00015", "  lr: 3e-4"))
    assert (found.name, found.optim.lr) == ("mine", 3e-4)
    assert override(found, ["optim.lr=1e-4"]).optim.lr == 1e-4


def test_a_name_may_be_that_of_a_recipe_with_other_numbers(reopen):
    found = reopen(load_recipe("umt-base"), ("  depth: 12", "  depth: 6"))
    assert found == override(load_recipe("umt-base"), ["model.depth=6"])


@pytest.mark.parametrize("word", ["none", "all"])
def test_every_sample_is_null_as_in_settings(reopen, word):
    found = reopen(load_recipe("umt-base"), ("epochs: 201", "epochs: 3"), ("split: null", f"split: {word}"))
    assert found.data.split is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: umt-base", "name: 3", "mine.yaml: name is 3, but must be text."),
        ("name: umt-base\n", "", "mine.yaml lacks the key name, and a file holds every key of its recipe"),
        (
            "method: umt",
            "method: umtt",
            "mine.yaml: method is umtt, but must be one of maskfeat, simvtp, ",
        ),
        ("method: umt", "method: [umt]", "method is a list, but must be one of"),
        ("method: umt", "method: paired/../umt", "method is paired/../umt, but must be one of"),
        ("task: null", "task: classif", "task is classif, but must be one of null, classify, linear, att"),
        ("task: null", "tusk: null", r"has the key tusk, .* \(nearest: task\): correct it or leave it out"),
        ("  eps: 1.0e-08\n", "", "lacks the key optim.eps, .*`vfm recipes show NAME --yaml` prints all"),
        ("  eps:", "  esp:", r"the key optim.esp, which such a recipe does not have \(nearest: optim.eps"),
        ("  lr: 0.00015", "  lr: fast", "mine.yaml: optim.lr is 'fast', but must be a number."),
        ("  lr: 0.00015", "  lr: .nan", "optim.lr is nan, but must be a number."),
        ("  lr: 0.00015", "  lr: 1e999", "optim.lr is inf, but must be a number."),
        ("  lr: 0.00015", "  lr: nan", "optim.lr is 'nan', but must be a number."),
        ("  lr: 0.00015", "  lr: 2026-01-01", "optim.lr is '2026-01-01', but must be a number."),
        ("  lr: 0.00015", "  lr: -1", "mine.yaml: optim.lr is -1.0, but must be above 0: change it there.$"),
        ("  lr: 0.00015", "  lr: [1]", r"optim.lr is \[1\], but must be a number."),
        ("  lr: 0.00015", "  lr: {a: 1}", "mine.yaml: optim.lr is a section, but must be a value."),
        ("  epochs: 201", "  epochs: 201.0", "train.epochs is 201.0, but must be a whole number."),
        ("  compile: false", "  compile: no", "train.compile is 'no', but must be true or false."),
        ("  mask: attention", "  mask: cube", "mask is 'cube', but must be one of attention, tube, random."),
        ("betas: [0.9, 0.95]", "betas: 0.9,0.95", r"betas is 0.9,0.95, but must be a list: \[a, b\]"),
        ("betas: [0.9, 0.95]", "betas: [0.9]", "betas is .*, but must be 2 values"),
        ("  dim: 768", "  dim: 770", "mine.yaml: model.dim is 770 and model.num_heads is 12; the first"),
        ("\ntrain:\n", "\ntrain: 3\ntrane:\n", "has the key trane, .*nearest: train"),
        ("  image_px: 224", "  image_px: 224\n  image_px: 224", "line .*: the key image_px stands"),
    ],
)
def test_what_does_not_fit_is_one_sentence(reopen, old, new, told):
    with pytest.raises(UsageError, match=told):
        reopen(load_recipe("umt-base"), (old, new))


@pytest.mark.parametrize(("value", "shown"), [("3", "3"), ("", "empty"), ("[a]", "a list")])
def test_a_section_that_is_none(tmp_path, value, shown):
    text = to_yaml(load_recipe("umt-base"))
    before, _, _ = text.partition("\ntrain:")
    (tmp_path / "mine.yml").write_text(f"{before}\ntrain: {value}\n")
    with pytest.raises(UsageError, match=f"train is {shown}, but must be a section of keys"):
        open_recipe(str(tmp_path / "mine.yml"))


def test_only_files_of_yaml_are_files(tmp_path):
    (tmp_path / "mine.txt").write_text(to_yaml(replace(load_recipe("umt-base"), name="mine")))
    with pytest.raises(UsageError, match="Unknown recipe .*mine.txt"):
        open_recipe(str(tmp_path / "mine.txt"))
    with pytest.raises(UsageError, match=r"There is no file .*none\.yaml"):
        open_recipe(str(tmp_path / "none.yaml"))
