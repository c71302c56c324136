import pytest

from vfm.shards.wording import clock, counted


def test_one_thing_and_others() -> None:
    assert [counted(count, "sample") for count in (0, 1, 2)] == ["0 samples", "1 sample", "2 samples"]


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, "0:00:00"), (59.9, "0:00:59"), (3723.9, "1:02:03"), (360_000, "100:00:00")]
)
def test_time_is_whole_seconds(seconds: float, told: str) -> None:
    assert clock(seconds) == told
