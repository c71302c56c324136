"""Loops over pixels as machine code (numba)."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile on first use, and keep the machine code beside its file or in the user's cache folder."""
    try:
        return cast(_Function, njit(function, cache=True, nogil=True, error_model="numpy"))
    except (
        RuntimeError
    ):  # neither folder can be written: the code is the same, compiled again in every process
        return cast(_Function, njit(function, nogil=True, error_model="numpy"))
