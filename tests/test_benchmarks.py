"""The benchmark for a machine with a GPU, at a size that a CPU ends: it runs, and counts its FLOPs right."""

import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "umt" / "gpu.py"


def gflop_by_hand(*, num_tokens: int, dim: int, depth: int, patch_values: int, teacher_dim: int) -> float:
    """Return what a clip takes forward and backward, counted by the sizes of the products."""
    embedding = 2 * num_tokens * patch_values * dim
    block = 2 * num_tokens * (3 + 1 + 4 + 4) * dim**2 + 2 * 2 * num_tokens**2 * dim
    head = 2 * num_tokens * dim * teacher_dim
    # Backward takes twice as much, but for the pixels, which learn nothing.
    return (3 * (depth * block + head) + 2 * embedding) / 1e9


@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks lie beside the tests in a checkout alone")
def test_the_gpu_benchmark_runs_on_a_cpu(warm_python):
    command = [warm_python, str(SCRIPT), "--quick", "--no-compile", "--workers", "0", "--updates", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    parts = ["teacher", "teacher in fp32 against", "teacher in bf16 against", "memory", "shards"]
    assert [line[: len(part)] for line, part in zip(lines[1:], parts, strict=True)] == parts
    # The CPU against itself.
    assert lines[2].endswith("cosine mean 1.0000000, least 1.000000; attention off by 0.00%, 0.00% at most")
    rates = [float(rate) for rate in re.findall(r"([\d.e+]+) clips/s", done.stdout)]
    assert len(rates) == 2
    assert min(rates) > 0
    # 32 px in patches of 16, one of the four of each frame visible.
    wanted = gflop_by_hand(num_tokens=8, dim=192, depth=4, patch_values=768, teacher_dim=192)
    (counted,) = re.findall(r"([\d.]+) GFLOP a clip", done.stdout)
    assert float(counted) == pytest.approx(wanted, rel=0.01)
    (waited,) = re.findall(r"waiting for data ([\d.]+)%", done.stdout)
    assert 0 <= float(waited) < 100
