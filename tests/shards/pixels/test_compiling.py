"""Machine code: what is done where it cannot be kept."""

from typing import Any

import pytest

from vfm.shards.pixels import compiling


def test_without_a_folder_for_machine_code_it_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def njit(function: Any, **options: Any) -> Any:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr(compiling, "njit", njit)
    assert compiling.compiled(len)("abc") == 3
    assert [options.get("cache", False) for options in asked] == [True, False]
    assert asked[1] == {name: value for name, value in asked[0].items() if name != "cache"}
