"""Very many sources: memory stays flat, and a job that is done is found done in a moment (E24)."""

import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.jobs import ENVIRONMENT, extract_line
from vfm.shards.format.plan import Plan
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.options import ExtractOptions

Film = Callable[..., Path]
Figure = Callable[[str, object], None]


def make_tree(film: Film, root: Path, *, num_sources: int) -> None:
    """Make a tree of small videos, one in ten sound, the rest empty; with links that lead in circles."""
    good = film("good.mp4", num_frames=2, fps=2, size=(32, 32))
    for index in range(num_sources):
        path = root / f"{index // 1000:03d}" / f"{index:06d}.mp4"
        if index % 1000 == 0:
            path.parent.mkdir(parents=True)
            (path.parent / "loop").symlink_to(root)
        if index % 10 == 0 and index < 400_000:  # a file system allows some 60,000 links to one file
            os.link(good, path)
        else:
            path.touch()


def run(root: Path, data: Path) -> tuple[float, int, str]:
    """Run a job; return its seconds, the peak memory of its own process, and what it said last."""
    line = extract_line(root, data, "--size", 32, "--workers", 2, "--allow-rejects", 10**6)
    begun_s = time.monotonic()
    with (
        tempfile.TemporaryFile("w+") as told,
        subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=told, env=ENVIRONMENT) as job,
    ):
        _, status, usage = os.wait4(job.pid, 0)
        job.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        said = told.read()
    assert job.returncode == 0, said
    return time.monotonic() - begun_s, usage.ru_maxrss << 10, said.splitlines()[-2]


def test_the_whole_plan_is_not_looked_at_for_every_sample(
    films: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What depends on all sources, asked for each of them, would make a large job quadratic."""
    num_asked: Counter[str] = Counter()
    for name in ("has_labels", "has_captions", "sha256"):
        monkeypatch.setattr(Plan, name, counted(getattr(Plan, name).fget, name=name, num_asked=num_asked))
    extract([films(12)], tmp_path / "data", ExtractOptions(fps=5.0, size_px=48), samples_per_shard=6)
    assert max(num_asked.values()) <= 3


def counted(ask: Callable[[Plan], object], *, name: str, num_asked: Counter[str]) -> property:
    def asked(plan: Plan) -> object:
        num_asked[name] += 1
        return ask(plan)

    return property(asked)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_100_000_sources_take_flat_memory_and_resume_in_seconds(
    film: Film, tmp_path: Path, figure: Figure
) -> None:
    num_sources = 100_000
    make_tree(film, tmp_path / "in", num_sources=num_sources)
    first_s, first_rss_bytes, told = run(tmp_path / "in", tmp_path / "data")
    assert told.startswith("100000 sources: 10000 ok, 0 partial, 90000 rejected (empty 90000)")
    again_s, again_rss_bytes, told = run(tmp_path / "in", tmp_path / "data")
    assert told.endswith("391 of 391 shards done before")
    few_s, few_rss_bytes, _ = run(tmp_path / "in" / "000", tmp_path / "few")
    slope = (first_rss_bytes - few_rss_bytes) / (num_sources - 1000)
    figure("first_s", round(first_s, 1))
    figure("resume_s", round(again_s, 2))
    figure("rss_mib_of_1000", few_rss_bytes >> 20)
    figure("rss_mib_of_100000", first_rss_bytes >> 20)
    figure("rss_mib_of_the_resume", again_rss_bytes >> 20)
    figure("bytes_a_source", round(slope))
    assert few_s < first_s
    assert slope < 6000  # a source of the plan and its rejection, and nothing of its video
    assert again_s < 30
