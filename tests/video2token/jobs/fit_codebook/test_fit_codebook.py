import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfm.shards.errors import DamageError, MachineError, UsageError
from vfm.shards.io.lock import hold
from vfm.shards.io.run_log import read_records
from vfm.shards.io.sealed import read_sealed
from vfm.shards.pixels.views import centre
from vfm.shards.progress import NoProgress
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.jobs.fit_codebook.fit_codebook import fit_codebook, rate
from vfm.video2token.jobs.fit_codebook.options import FitOptions, FitReport
from vfm.video2token.tokenizers.codebook.codebook import load_codebook
from vfm.video2token.tokenizers.codebook.frames import choose_frames, sample_frames
from vfm.video2token.tokenizers.codebook.quality import measure_quality
from vfm.video2token.tokenizers.codebook.training import LearnOptions, draw_windows

Stills = Callable[..., Path]
TINY = FitOptions(name="tiny", crop_px=32, vocab_size=16, steps=8)


def fit(data: Path, out: Path, options: FitOptions = TINY) -> FitReport:
    return fit_codebook(open_dataset(data), out, options)


class Heard:
    """Progress that counts."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        self.events.append((total, what))

    def advance(self, **counts: object) -> None:
        self.events.append(counts["ok"])

    def finish(self) -> None:
        self.events.append("finish")


def test_a_codebook_learns(stills: Stills, tmp_path: Path) -> None:
    data = stills(num_samples=24)
    report = fit(data, tmp_path / "book", replace(TINY, vocab_size=128, steps=60))
    held_out = sample_frames(open_dataset(data), view=centre(32), seed=0).held_out
    grey = np.full_like(held_out, held_out.mean())
    blind = measure_quality(held_out, grey, np.zeros((1, 1, 1), int)).psnr_db
    assert report.quality.psnr_db > blind + 3
    assert 4 < report.quality.codes_used <= 128
    assert 3 < report.quality.perplexity <= report.quality.codes_used
    assert (report.num_train_frames, report.num_held_out_frames) == (67, 4)
    codebook = load_codebook(tmp_path / "book")
    assert rate(codebook, held_out)[1] == report.quality
    assert codebook.weights_sha256 == report.weights_sha256


def test_the_folder_says_what_it_holds(stills: Stills, tmp_path: Path) -> None:
    data = stills()
    heard = Heard()
    report = fit_codebook(open_dataset(data), tmp_path / "book", TINY, progress=heard)
    assert heard.events == [(8, "steps"), *[1] * 8, "finish"]
    names = {".lock", "codebook.safetensors", "config.json", "log.jsonl", "reconstructions.png"}
    assert {path.name for path in (tmp_path / "book").iterdir()} == names
    value = read_sealed(tmp_path / "book" / "config.json")
    assert value["config"]["vocab_size"] == 16
    assert value["facts"]["asked"] == {
        "name": "tiny",
        "crop_px": 32,
        "vocab_size": 16,
        "steps": 8,
        "seed": 0,
        "dataset": open_dataset(data).fingerprint,
    }
    assert value["facts"]["quality"]["psnr_db"] == report.quality.psnr_db
    with Image.open(report.picture) as picture:  # originals above, rebuilt below
        assert picture.size == (report.num_held_out_frames * 36, 32 + 2 + 32 + 8)


def test_same_seed_same_bytes(stills: Stills, tmp_path: Path) -> None:
    data = stills()
    for name in ("a", "b"):
        fit(data, tmp_path / name)
    fit(data, tmp_path / "other", replace(TINY, seed=1))
    for file in ("codebook.safetensors", "config.json", "reconstructions.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "other" / file).read_bytes()


def test_a_second_run_finds_the_first(stills: Stills, tmp_path: Path) -> None:
    data = stills()
    first = fit(data, tmp_path / "book")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "book").glob("[a-z]*")}
    second = fit(data, tmp_path / "book")
    assert (first.is_new, second.is_new) == (True, False)
    assert replace(second, is_new=True, elapsed_s=0) == replace(first, elapsed_s=0)
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"crop_px": 24}, "crop_px 32 there, 24 requested"),
        ({"seed": 3, "steps": 9}, "steps 10 there, 9 requested; seed 0 there, 3 requested"),
        ({"name": "other"}, "name tiny there, other requested"),
    ],
)
def test_another_codebook_is_not_overwritten(
    tiny_codebook: Path, stills: Stills, tmp_path: Path, changed: dict[str, object], told: str
) -> None:
    book = Path(shutil.copytree(tiny_codebook, tmp_path / "book"))
    options = replace(TINY, **{"steps": 10, **changed})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=rf"holds another codebook \({told}\): choose another output"):
        fit(stills(), book, options)


def test_other_frames_are_another_codebook(tiny_codebook: Path, stills: Stills, tmp_path: Path) -> None:
    book = Path(shutil.copytree(tiny_codebook, tmp_path / "book"))
    with pytest.raises(UsageError, match=r"dataset [0-9a-f]{12} there, [0-9a-f]{12} requested"):
        fit(stills(num_samples=7), book, replace(TINY, steps=10))


def test_what_a_killed_run_left_is_replaced(tiny_codebook: Path, stills: Stills, tmp_path: Path) -> None:
    book = Path(shutil.copytree(tiny_codebook, tmp_path / "book"))
    (book / "config.json").unlink()
    (book / ".config.json.tmp-99999").write_text("{")
    assert fit(stills(), book, replace(TINY, steps=10)).is_new
    assert (book / "codebook.safetensors").read_bytes() == (
        tiny_codebook / "codebook.safetensors"
    ).read_bytes()


def test_a_strange_folder_is_left_alone(stills: Stills, tmp_path: Path) -> None:
    data = stills()
    with pytest.raises(UsageError, match="holds dataset.json and is not a codebook: choose an output"):
        fit(data, data)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is or lies in a file"):
        fit(data, tmp_path / "file")
    with pytest.raises(UsageError, match="is or lies in a file"):
        fit(data, tmp_path / "file" / "book")


def test_two_jobs_do_not_write_to_one_folder(stills: Stills, tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    with hold(tmp_path / "book"), pytest.raises(MachineError, match="is being written by process"):
        fit(stills(), tmp_path / "book")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"crop_px": 20}, "20 px cannot be cut into codes of 8 px: use 16"),
        ({"steps": 0}, "use 1 step and seed 0 or more"),
        ({"seed": -1}, "use 1 step and seed 0 or more"),
    ],
)
def test_options_that_fit_nothing_are_refused(changed: dict[str, int], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        replace(TINY, **changed)  # type: ignore[arg-type]


def test_one_frame_is_too_few(stills: Stills, tmp_path: Path) -> None:
    data = stills(num_samples=1, num_frames=1)
    with pytest.raises(UsageError, match="has 1 frame and a codebook needs two"):
        fit(data, tmp_path / "book")


def test_a_damaged_frame_is_named(stills: Stills, tmp_path: Path) -> None:
    data = stills(num_samples=2, num_frames=1)
    tar = data / "frames" / "000000.tar"
    tar.write_bytes(tar.read_bytes().replace(b"\xff\xda\x00\x0c", b"\xff\xda\x00\x0d"))
    with pytest.raises(DamageError, match=r"still-00\d\.mp4 \(frame 0\) of column frames"):
        fit(data, tmp_path / "book")
    assert not (tmp_path / "book" / "config.json").exists()


def test_black_frames_are_no_trouble(stills: Stills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.stills.draw_still", lambda *_, **__: np.zeros((32, 40, 3), np.uint8))
    assert fit(stills(), tmp_path / "book", replace(TINY, steps=20)).quality.psnr_db > 10


def test_frames_are_drawn_evenly_and_samples_held_out(stills: Stills) -> None:
    dataset = open_dataset(stills(num_samples=20, num_frames=4))
    train, held_out = choose_frames(dataset, seed=0, max_frames=1000)
    assert len(set(train) | set(held_out)) == len(train) + len(held_out) == dataset.num_frames.sum()
    assert {index for index, _ in held_out}.isdisjoint(index for index, _ in train)
    assert len({index for index, _ in held_out}) == 2
    few = choose_frames(dataset, seed=0, max_frames=18)[0]
    assert sorted(index for index, _ in few) == sorted({index for index, _ in train})
    assert choose_frames(dataset, seed=1, max_frames=18)[0] != few
    assert choose_frames(dataset, seed=0, max_frames=18)[0] == few


def test_a_single_sample_holds_out_frames(stills: Stills) -> None:
    dataset = open_dataset(stills(num_samples=1, num_frames=2))
    dataset.num_frames[:] = 20
    train, held_out = choose_frames(dataset, seed=0, max_frames=1000)
    assert (len(train), len(held_out)) == (18, 2)
    assert set(train).isdisjoint(held_out)


def test_windows_are_squares_of_the_frames() -> None:
    frames = np.arange(2 * 16 * 16 * 3, dtype=np.uint8).reshape(2, 16, 16, 3)
    options = LearnOptions(batch_size=50, window_px=8)
    batch = next(draw_windows(frames, options, seed=0)).numpy()
    squares = {
        side[i : i + 8, j : j + 8].tobytes()
        for frame in frames
        for side in (frame, frame[:, ::-1])
        for i in range(9)
        for j in range(9)
    }
    assert all(window.tobytes() in squares for window in batch)
    assert np.array_equal(batch, next(draw_windows(frames, options, seed=0)).numpy())


def test_a_full_disk_leaves_no_codebook(
    stills: Stills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    data = stills()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(MachineError, match=r"reconstructions\.png cannot be written \(No space left"):
            fit(data, tmp_path / "book")
    assert sorted(path.name for path in (tmp_path / "book").iterdir()) == [".lock", "log.jsonl"]
    assert fit(data, tmp_path / "book").is_new


class Killer(NoProgress):
    """Progress that stops the job after some steps; keeps what it is told."""

    def __init__(self, after: int = 10**9) -> None:
        self.left, self.notes = after, list[str]()

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        self.left -= done

    def advance(self, *, ok: int = 0, note: str = "", **_counts: object) -> None:
        self.notes += [note] if note else []
        self.left -= ok
        if self.left <= 0:
            raise KeyboardInterrupt


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep where a fit stands, and log, every third step."""
    monkeypatch.setattr("vfm.video2token.jobs.fit_codebook.fit_codebook.KEEP_EVERY", 3)
    monkeypatch.setattr("vfm.video2token.jobs.fit_codebook.fit_codebook.LOG_EVERY", 1)


def stop(data: Path, out: Path, *, after: int, options: FitOptions = TINY) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_codebook(open_dataset(data), out, options, progress=Killer(after))


@pytest.mark.usefixtures("keeping")
def test_a_fit_that_was_interrupted_twice_ends_as_an_unbroken_one(stills: Stills, tmp_path: Path) -> None:
    data = stills()
    fit(data, tmp_path / "unbroken")
    stop(data, tmp_path / "book", after=5)
    killer = Killer(after=5)  # 3 that were done, and 2
    with pytest.raises(KeyboardInterrupt):
        fit_codebook(open_dataset(data), tmp_path / "book", TINY, progress=killer)
    assert killer.notes == [f"Going on from step 3 in {tmp_path / 'book'}."]
    stop(data, tmp_path / "book", after=8)
    last = Killer()
    assert fit_codebook(open_dataset(data), tmp_path / "book", TINY, progress=last).is_new
    assert last.notes == [f"Going on from step 6 in {tmp_path / 'book'}."]
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("unbroken", "book"))
    assert one == other
    assert [record["step"] for record in read_records(tmp_path / "book" / "log.jsonl").records] == [
        *range(1, 9)
    ]


@pytest.mark.usefixtures("keeping")
def test_an_unfinished_fit_is_not_gone_on_with_otherwise(stills: Stills, tmp_path: Path) -> None:
    data = stills()
    stop(data, tmp_path / "book", after=5)
    with pytest.raises(
        UsageError, match=r"holds another codebook \(seed 0 there, 1 requested\): choose another"
    ):
        fit(data, tmp_path / "book", replace(TINY, seed=1))


@pytest.mark.usefixtures("keeping")
@pytest.mark.parametrize("name", ["state.json", "step-000003.safetensors"])
def test_a_damaged_state_is_told_and_the_fit_starts_anew(stills: Stills, tmp_path: Path, name: str) -> None:
    data = stills()
    fit(data, tmp_path / "unbroken")
    stop(data, tmp_path / "book", after=5)
    path = tmp_path / "book" / ".fit" / name
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    path.write_bytes(spoilt)
    progress = Killer()
    fit_codebook(open_dataset(data), tmp_path / "book", TINY, progress=progress)
    assert len(progress.notes) == 1
    assert f"{path} is damaged" in progress.notes[0]
    assert progress.notes[0].endswith("Fitting starts over.")
    weights = "codebook.safetensors"
    assert (tmp_path / "book" / weights).read_bytes() == (tmp_path / "unbroken" / weights).read_bytes()
    assert not (tmp_path / "book" / ".fit").exists()


@pytest.mark.usefixtures("keeping")
def test_a_state_that_cannot_be_written_is_told_and_the_fit_goes_on(
    stills: Stills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vfm.video2token.jobs.fit_codebook.unfinished.write_bytes", full)
    progress = Killer()
    assert fit_codebook(open_dataset(stills()), tmp_path / "book", TINY, progress=progress).is_new
    assert progress.notes[0] == "Step 3 could not be kept (No space left on device); fitting continues."


def test_no_such_device(stills: Stills, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="toaster"):
        fit_codebook(open_dataset(stills()), tmp_path / "book", TINY, device="toaster")
    assert not (tmp_path / "book").exists()
