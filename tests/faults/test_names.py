"""Names, links and special files of every kind: nothing is lost, run, waited for or shown raw (E6)."""

import csv
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.jobs import ENVIRONMENT, Outcome, assert_sound, extract, extract_line, outcomes
from vfm.shards.format.plan import read_plan
from vfm.shards.reading.dataset import open_dataset

pytestmark = pytest.mark.needs("shared")

Figure = Callable[[str, object], None]

# What becomes of those that are no good video, by the end of their name.
REJECTED = {
    "ln_dangling.mp4": "missing",
    "ln_loop.mp4": "missing",
    "ln_secret.mp4": "not_video",  # links to files are followed, and this one leads to a text
    "ln_devzero.mp4": "not_regular",
    "ln_devrandom.mp4": "not_regular",
    "ln_stdin.mp4": "not_regular",
    "fifo.mp4": "not_regular",
    "sock.mp4": "not_regular",
    "sparse_1TiB.mp4": "not_video",
}
# Directories: there is nothing to extract, and nothing to reject.
NO_SOURCES = {"ln_dir_loop", "dir_named.mp4"}
# Sequences that only a terminal's own programs may send: colour, a new title, the bell.
HOSTILE = ("\x1b[31mred", "\x1b]0;t", "\x07", "\u202e")


@dataclass(frozen=True, kw_only=True)
class Special:
    """The folder that the corpus' script makes, and what it says is in there."""

    root: Path
    entries: list[Path]

    @property
    def not_found_by_walking(self) -> list[Path]:
        """Those in the folder that have no suffix of a video, or are hidden: they must be named."""
        suffixes = (".mp4", ".jpg")
        return [
            path
            for path in self.entries
            if (not path.name.lower().endswith(suffixes) or path.name.startswith("."))
            and path.name not in NO_SOURCES
        ]


@pytest.fixture(scope="module")
def special(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Special:
    root = tmp_path_factory.mktemp("special") / "in"
    script, files = shared / "badvideos" / "make_special.py", shared / "badvideos" / "files"
    made = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(files), str(root)],
        capture_output=True,
        text=True,
        check=True,
    )
    entries = [json.loads(line) for line in made.stdout.splitlines()]
    return Special(root=root, entries=[Path(e["path"]) for e in entries if "not made" not in e["expect"]])


def assert_all_ended_right(special: Special, data: Path, *, entries: list[Path]) -> None:
    """Assert that every source came to its end, good ones as 4 frames under a plain key that maps back."""
    ends = outcomes(data)
    plan = read_plan(data / "plan.parquet")
    by_path = {source.path: ends[source.identity] for source in plan.sources}
    expected = [path for path in entries if path.name not in NO_SOURCES]
    assert sorted(by_path) == sorted(map(str, expected))
    for path in expected:
        end = by_path[str(path)]
        assert end.word == REJECTED.get(path.name, "ok"), path.name
        assert end.meta is None or end.meta.num_frames == 4
    assert Counter(end.word for end in ends.values()) == Counter(
        REJECTED.get(path.name, "ok") for path in expected
    )
    keys = [source.key for source in plan.sources]
    assert len(set(keys)) == len(keys) == len({key.lower() for key in keys})
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,100}", key) for key in keys)
    assert_source_maps_back(data, ends, root=special.root)
    assert_sound(data)


def assert_source_maps_back(data: Path, ends: dict[str, Outcome], *, root: Path) -> None:
    """Assert that a sample names its file, byte for byte."""
    dataset = open_dataset(data)
    paths = {source.key: source.path for source in read_plan(data / "plan.parquet").sources}
    for index, key in enumerate(dataset.keys):
        meta = dataset.meta(index)
        assert ends[meta.source].meta == meta
        tail = meta.source if (root / meta.source).exists() else meta.source.partition("/")[2]
        assert os.fsencode(root / tail) == os.fsencode(paths[key])


def assert_nothing_ran(special: Special, *folders: Path) -> None:
    found = [path for folder in (special.root, *folders) for path in folder.rglob("*PWNED*")]
    assert [path for path in found if not path.name.endswith(".mp4")] == []


def test_one_job_takes_them_all_through_a_terminal(special: Special, tmp_path: Path, figure: Figure) -> None:
    inputs = [special.root, *special.not_found_by_walking]
    begun_s = time.monotonic()
    code, shown, result = run_in_terminal(*inputs, tmp_path / "data", cwd=tmp_path)
    figure("wall_s", round(time.monotonic() - begun_s, 1))
    figure("entries", len(special.entries))
    assert code == 1
    assert result["num_rejected"] == len(REJECTED)
    assert f"{len(REJECTED)} rejected (" in shown
    assert_only_plain_text(shown)
    assert_all_ended_right(special, tmp_path / "data", entries=special.entries)
    assert_nothing_ran(special, tmp_path, Path.cwd())


def test_a_list_takes_them_too(special: Special, tmp_path: Path) -> None:
    """A CSV list is UTF-8, so it cannot name the one file whose name is not."""
    entries = [path for path in special.entries if path.name not in NO_SOURCES and is_utf8(str(path))]
    with (special.root / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path"], *([str(path.relative_to(special.root))] for path in entries)])
    try:
        done = extract(special.root / "list.csv", tmp_path / "data", "--fps", 2, cwd=tmp_path)
    finally:
        (special.root / "list.csv").unlink()
    assert done.returncode == 1
    assert_only_plain_text(done.stderr)
    assert done.stdout == ""
    assert_all_ended_right(special, tmp_path / "data", entries=entries)
    assert_nothing_ran(special, tmp_path, Path.cwd())


def test_names_that_errors_repeat_are_escaped(special: Special, tmp_path: Path) -> None:
    """Sentences that name a file: a list of missing ones, a source that left the plan, an unknown folder."""
    hostile = next(path for path in special.entries if path.name.startswith("\x1b"))
    (tmp_path / "l.csv").write_text(f'path\n"{hostile.name}"\n"\u202egpj.4pm.mp4"\n')
    missing = extract(tmp_path / "l.csv", tmp_path / "data")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    nowhere = extract(tmp_path / hostile.name, tmp_path / "data")
    root = tmp_path / "in"
    root.mkdir()
    for name in (hostile.name, "b.mp4"):
        (root / name).write_bytes(hostile.read_bytes())
    assert extract(root, tmp_path / "data").returncode == 0
    (root / hostile.name).unlink()
    gone = extract(root, tmp_path / "data")
    assert (gone.returncode, gone.stderr.count("\n")) == (2, 1)
    for done in (missing, nowhere, gone):
        assert r"\x1b[31mred\x1b]0;t\x07.mp4" in done.stderr
        assert_only_plain_text(done.stderr)


def is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def assert_only_plain_text(shown: str) -> None:
    """Assert that no name reached the terminal raw; the bar's own cursor and colour sequences may."""
    assert not [sequence for sequence in HOSTILE if sequence in shown]
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert [char for char in plain if not char.isprintable() and char not in "\r\n"] == []


def run_in_terminal(*arguments: object, cwd: Path) -> tuple[int, str, dict[str, Any]]:
    """Run a job whose stdin and stderr are a terminal; return its status, what was shown, and its JSON."""
    ours, theirs = pty.openpty()
    shown = bytearray()
    line = extract_line(*arguments, "--fps", 2, "--workers", 2, "--json")
    with subprocess.Popen(
        line,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=cwd,
        env={**ENVIRONMENT, "TERM": "xterm"},
    ) as job:
        os.close(theirs)
        reader = threading.Thread(target=read_terminal, args=(ours, shown))
        reader.start()
        assert job.stdout is not None
        result = json.loads(job.stdout.read())
        code = job.wait(timeout=120)
    reader.join(timeout=10)
    os.close(ours)
    return code, shown.decode("utf-8", "replace"), result


def read_terminal(descriptor: int, shown: bytearray) -> None:
    while True:
        try:
            chunk = os.read(descriptor, 4096)
        except OSError:  # what a terminal says when its last writer has left
            return
        if not chunk:
            return
        shown += chunk
