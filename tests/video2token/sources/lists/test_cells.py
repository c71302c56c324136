"""Times in cells."""

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources.lists.cells import seconds_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("", None), (" ", None), (0, 0.0), ("7.25", 7.25), (" 1e2 ", 100.0),
        ("00:00:01.227", 1.227), ("1:02", 62.0), ("01:00:06.17", 3606.17), ("0:90", 90.0),
        ("100:00:00", 360000.0), ("0:1.", 1.0),
    ],
)  # fmt: skip
def test_times_are_seconds_or_clocks(value: object, seconds: float | None) -> None:
    assert seconds_of(value, where="l", column="start") == seconds


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "-1",
        -0.5,
        "nan",
        "inf",
        "1:2:3:4",
        ":5",
        "1:",
        "1:-5",
        "-1:05",
        "0:5/0",
        "1:1e3",
        "a:b",
        True,
        [1],
    ],
)
def test_what_is_no_time_is_told(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        seconds_of(value, where="l.csv line 2", column="start")
    assert str(caught.value) == (
        f"l.csv line 2: start is {value!r}: write seconds from the video's first frame, or hh:mm:ss."
    )
