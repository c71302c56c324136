"""JSON values become what annotations ask for, or a clause says which does not."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from vfm.shards.io.typed import MisfitError, OtherKeysError, coerce


@dataclass(frozen=True, kw_only=True)
class Inner:
    name: str
    end: Literal["a", "b"] | None = None


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int
    times: tuple[float, ...] = ()
    inner: dict[str, Inner]
    more: dict[str, Any] | None = None


def test_values_that_fit() -> None:
    found = coerce({"count": 3, "times": [1, 2.5], "inner": {"x": {"name": "n"}}}, Outer, key="")
    assert found == Outer(count=3, times=(1.0, 2.5), inner={"x": Inner(name="n")})
    assert isinstance(found.times[0], float)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": True}, "count is True, but must be a whole number"),
        ({"count": 1.0}, "count is 1.0, but must be a whole number"),
        ({"times": [10**400]}, "times is 1000"),
        ({"times": 3}, "times is 3, but must be any number of values"),
        ({"times": ["NaN"]}, "times is 'NaN', but must be a number"),
        (
            {"inner": []},
            r"inner is \[\], but must be an object, each value an object$",
        ),
        ({"more": []}, r"more is \[\], but must be an object or none$"),
        ({"inner": {"x": {"name": None}}}, r"inner\.x\.name is None, but must be text"),
        (
            {"inner": {"x": {"name": "n", "end": []}}},
            r"inner\.x\.end is \[\], but must be one of a, b or none",
        ),
        ({"count": "x" * 500}, r"count is 'x{59}…, but"),
    ],
)
def test_values_that_do_not_fit(change: dict[str, Any], told: str) -> None:
    with pytest.raises(MisfitError, match=f"^{told}"):
        coerce({"count": 3, "inner": {}, **change}, Outer, key="")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"count": 3}, "lacks the key inner"),
        ({"count": 3, "inner": {"x": {"named": "n"}}}, r"does not know the key inner\.x\.named"),
    ],
)
def test_other_keys(value: dict[str, Any], told: str) -> None:
    with pytest.raises(OtherKeysError, match=f"^{told}$"):
        coerce(value, Outer, key="")
