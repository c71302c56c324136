"""What all tests share: the folder of videos and fixtures beside the checkout, and the marker ``needs``."""

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

# Tests compute with small tensors: more threads would only wait for each other, on a busy machine for long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what it puts into the background with Ctrl-C ignored; tests of Ctrl-C would fail there.
signal.signal(signal.SIGINT, signal.default_int_handler)


pytest_plugins = (
    "support.media",
    "support.plugins",
    "support.stills",
    "support.toy",
    "support.warm",
    "support.whole",
)

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs are not met, or fail it when VFM_REQUIRE names the need."""
    required = os.environ.get("VFM_REQUIRE", "").split(",")
    for marker in item.iter_markers("needs"):
        for need in marker.args:
            if _is_there(need):
                continue
            if need in required:
                pytest.fail(f"VFM_REQUIRE names {need!r} and it is not here", pytrace=False)
            pytest.skip(f"needs {need!r}, which is not here")


def _is_there(need: str) -> bool:
    """Return whether a need is met: the shared folder, or a library of that name."""
    if need == "shared":
        return SHARED.is_dir()
    try:
        return importlib.util.find_spec(need) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ``shared`` beside the checkout; the test is marked ``needs("shared")``."""
    return SHARED.resolve()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Return a function that notes a measured figure of the test; ``pytest -v`` lists them at its end."""
    return lambda name, value: request.node.user_properties.append((name, value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the figures that tests have noted."""
    if terminalreporter.verbosity <= 0:
        return
    for report in terminalreporter.getreports("passed"):
        if report.when == "call" and report.user_properties:
            figures = ", ".join(f"{name} {value}" for name, value in report.user_properties)
            terminalreporter.write_line(f"{report.nodeid}: {figures}")
