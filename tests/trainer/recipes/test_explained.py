from dataclasses import dataclass, field

import pytest

from vfm.trainer.recipes.encoder import EncoderSizes
from vfm.trainer.recipes.explained import explained, explanations, summary
from vfm.trainer.recipes.probe import PROBES, AttentiveConfig, probing
from vfm.trainer.recipes.settings import flatten
from vfm.trainer.registry import load_recipe, recipe_names


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base.

    Attributes:
        side: in pixels.
        depth: number of blocks.
    """

    side: int = 1
    depth: int = 2


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A part."""

    left: int = 0


@dataclass(frozen=True, kw_only=True)
class Whole(Base):
    """A whole, told in
    two lines (Paper 2020).

    And in ``another``: with a colon.

    Attributes:
        depth: number of blocks, the last
            of ``side``: it is wide.

            Even in two paragraphs.
        gone: no field has this name.

    Raises:
        bare: not an attribute.
    """

    bare: int = 3
    inner: Inner = field(default_factory=Inner)


def test_fields_are_explained_by_the_docstrings_of_a_class_and_its_bases():
    assert explanations(Whole) == {
        "side": "in pixels.",
        "depth": "number of blocks, the last of side: it is wide. Even in two paragraphs.",
    }
    assert summary(Whole) == "A whole, told in two lines (Paper 2020). And in another: with a colon."


def test_a_class_without_entries_explains_nothing():
    assert explanations(Inner) == {}
    assert summary(Inner) == "A part."


def test_keys_are_dotted_and_sections_have_the_summary_of_their_class():
    told = explained(Whole())
    assert list(told) == ["side", "depth", "inner"]
    assert told["inner"] == "A part."


def test_published_sizes_are_explained_with_those_of_the_base():
    model = load_recipe("videomae-base").model
    assert set(explanations(EncoderSizes)) < set(explanations(type(model)))
    assert explanations(type(model))["image_px"] == "side of a frame, in pixels."
    assert "rates" in explanations(AttentiveConfig)


@pytest.mark.parametrize("name", recipe_names())
def test_every_key_of_every_recipe_is_explained(name):
    recipe = load_recipe(name)
    for each in (recipe, *(probing(recipe, probe) for probe in PROBES)):
        told = explained(each)
        keys = flatten(each).keys()
        sections = {key.rpartition(".")[0] for key in keys} - {""}
        assert [key for key in (*keys, *sections) if not told.get(key)] == []
        assert all("`" not in text and "\n" not in text for text in told.values())
