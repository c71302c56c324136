import subprocess
import sys

import pytest

import vfm


@pytest.mark.parametrize("module", ["vfm", "vfm.cli"])
def test_the_package_runs_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"vfm, version {vfm.__version__}\n"
