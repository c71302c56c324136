"""Plug-ins that only tests know, found beside those that ship: fixture ``plugins``."""

from pathlib import Path

import pytest

from vfm.trainer import methods
from vfm.video2token import targets

HERE = Path(__file__).parent


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the target ``seen`` and the method ``paired`` for one test, in this process."""
    monkeypatch.setattr(targets, "__path__", [*targets.__path__, str(HERE / "targets")])
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(HERE / "methods")])
