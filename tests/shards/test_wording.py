import pytest

from vfm.shards.wording import clock, counted, listed


def test_one_thing_and_others() -> None:
    assert [counted(count, "sample") for count in (0, 1, 2)] == ["0 samples", "1 sample", "2 samples"]


def test_many_are_named_in_part() -> None:
    assert [listed("abcd"[:num], limit=2) for num in range(5)] == [
        "",
        "a",
        "a, b",
        "a, b and 1 more",
        "a, b and 2 more",
    ]
    assert listed("abcd", limit=2, separator="; ") == "a; b; and 2 more"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, "0:00:00"), (59.9, "0:00:59"), (3723.9, "1:02:03"), (360_000, "100:00:00")]
)
def test_time_is_whole_seconds(seconds: float, told: str) -> None:
    assert clock(seconds) == told
