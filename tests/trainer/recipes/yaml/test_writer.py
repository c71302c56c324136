from dataclasses import replace

import pytest
import yaml

from vfm.trainer.recipes.explained import explained
from vfm.trainer.recipes.settings import override, to_dict
from vfm.trainer.recipes.yaml.reader import read_yaml
from vfm.trainer.recipes.yaml.writer import to_yaml
from vfm.trainer.registry import load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_what_is_written_is_read_again_here_and_by_yaml(name, tmp_path):
    recipe = load_recipe(name)
    text = to_yaml(recipe, head=["Of a test."])
    assert text.startswith("# Of a test.\n\n# what vfm recipes lists")
    (tmp_path / "it.yaml").write_text(text)
    assert read_yaml(tmp_path / "it.yaml") == to_dict(recipe)
    assert yaml.safe_load(text) == to_dict(recipe)


def test_every_key_stands_below_what_it_means():
    recipe = load_recipe("umt-base-classify")
    lines = to_yaml(recipe).splitlines()
    assert max(map(len, lines)) <= 100
    for key in explained(recipe):
        leaf = key.rpartition(".")[2]
        (place, *_) = (i for i, line in enumerate(lines) if line.lstrip().startswith(f"{leaf}:"))
        assert lines[place - 1].lstrip().startswith("# "), leaf
    assert "  # share that each update leaves of a moving average" in "\n".join(lines)
    assert "None" not in "\n".join(lines)


def test_numbers_and_words_as_every_yaml_reads_them():
    recipe = override(
        load_recipe("umt-tiny"),
        ["optim.eps=1e-5", "optim.lr=0.00025", "data.split=no", "data.columns=frames, c l'i.*"],
    )
    text = to_yaml(replace(recipe, name='e"é\\🎬\x7f\n: #'))
    assert "  eps: 1.0e-05\n" in text
    assert "  lr: 0.00025\n" in text
    assert '  split: "no"\n' in text
    assert '  columns: [frames, "c l\'i.*"]\n' in text
    assert "  max_steps: null\n" in text
    assert "  drop_last: false\n" in text
    assert yaml.safe_load(text)["name"] == 'e"é\\🎬\x7f\n: #'


def test_a_paragraph_of_the_head_is_wrapped():
    head = to_yaml(load_recipe("umt-tiny"), head=["word " * 30, "two"]).partition("\n\n")[0].splitlines()
    assert head == ["# " + " ".join(["word"] * 19), "# " + " ".join(["word"] * 11), "# two"]
