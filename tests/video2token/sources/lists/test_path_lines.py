"""Lines of a path and the numbers behind it."""

import pytest

from vfm.video2token.sources.lists.path_lines import are_integers, cut_line, has_commas


@pytest.mark.parametrize(
    ("text", "path", "numbers", "is_with_commas"),
    [
        ("v/a.mp4", "v/a.mp4", [], False),
        ("v/a.mp4 3", "v/a.mp4", ["3"], False),
        ("v/cam 1.mp4\t0  4 ", "v/cam 1.mp4", ["0", "4"], False),
        ("v/cam 1 2", "v/cam", ["1", "2"], False),
        ("v/a.mp4,3", "v/a.mp4", ["3"], True),
        ("v/a.mp4 , 3,4", "v/a.mp4", ["3", "4"], True),
        ("v/a.mp4 1 -1", "v/a.mp4", ["1", "-1"], False),
        ("v/a.mp4 0.5 12.25 3", "v/a.mp4", ["0.5", "12.25", "3"], False),
        ("v/a.mp4 1.", "v/a.mp4 1.", [], False),
        ("v/a 1 run", "v/a 1 run", [], False),
        ("a,b.mp4 1", "a,b.mp4", ["1"], False),
        ("7", "7", [], False),
        ("", "", [], False),
    ],
)
def test_line_is_cut_before_the_numbers_at_its_end(
    text: str,
    path: str,
    numbers: list[str],
    is_with_commas: bool,  # noqa: FBT001
) -> None:
    assert cut_line(text) == (path, numbers)
    assert has_commas(text) == is_with_commas


def test_a_point_makes_no_integer() -> None:
    assert [are_integers(each) for each in ([], ["1", "-2"], ["1", "2.0"])] == [True, True, False]
