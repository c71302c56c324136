"""Integers are in the order of numbers, everything else in that of texts."""

import pytest

from vfm.shards.format.classes import classes_json, in_order, parse_classes


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], ()),
        (["10", "2", "0", "2"], ("0", "2", "10")),
        (["7" * 5000, "8"], ("8", "7" * 5000)),
        (["run", "10", "2"], ("10", "2", "run")),
        (["10", "2", "-1"], ("-1", "10", "2")),
        (["10", "2", "01"], ("01", "10", "2")),
        (["10", "2", "²"], ("10", "2", "²")),
        (["10", "2", "٣"], ("10", "2", "٣")),
        (["10", "2", "3\n"], ("10", "2", "3\n")),
        (["10", "2", ""], ("", "10", "2")),
        (["b", "B", "a"], ("B", "a", "b")),
    ],
)
def test_order(labels: list[str], expected: tuple[str, ...]) -> None:
    assert in_order(labels) == expected


def test_names_that_are_no_utf8_survive() -> None:
    names = ("caf\udce9", "日本", '"', "\\udce9", "")
    stored = classes_json(names)
    assert stored.isascii()
    assert parse_classes(stored.encode(), labels=names) == names
