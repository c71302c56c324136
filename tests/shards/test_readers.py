"""Other libraries read the tars as they are: their own code runs here, on what a real job wrote."""

import io
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from support.media import number_in, write_film
from vfm.shards.format.interop import finish_column
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.reading.join import read_reports
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.options import ExtractOptions

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = (ROOT / "docs" / "how-to" / "read-with-other-tools.md").read_text()
TICK = 5  # frames of the film from one stored frame to the next

# What these libraries warn of is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")
Namespace = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data/mine``: seven films in two shards, whose labels and splits are partly unknown."""
    root = tmp_path_factory.mktemp("readers")
    rows = ["path,label,split"]
    for number in range(7):
        write_film(root / "films" / f"{number}.mp4", num_frames=20 + number, first=20 * number)
        # One split in the JSON of seven: what a library guesses from a few samples does not hold for all.
        rows.append(f"films/{number}.mp4,{('run', 'walk', '')[number % 3]},{'val' if number == 3 else ''}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    options = ExtractOptions(fps=5.0, size_px=48, quality=95)
    extract([root / "list.csv"], root / "data" / "mine", options, samples_per_shard=6, num_workers=1)
    return root


@pytest.fixture
def told(folder: Path) -> list[tuple[str, int, list[int]]]:
    """Key, class and the numbers in the frames of every sample, as vfm itself reads them."""
    dataset = open_dataset(folder / "data" / "mine")
    return [
        (
            dataset.keys[i],
            int(dataset.class_indices[i]),
            [number_in(frame) for frame in dataset.frames(i, range(int(dataset.num_frames[i])))],
        )
        for i in range(len(dataset))
    ]


@pytest.fixture
def run_block(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Namespace]:
    """Return a function that runs the block under a heading of the page and returns its names."""

    def run(heading: str) -> Namespace:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
        section = HOW_TO.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        lines = [line[4:] for line in section.splitlines() if line.startswith("    ") or not line]
        names: Namespace = {"__name__": "block"}
        exec(compile("\n".join(lines), heading, "exec"), names)
        return names

    return run


def numbers_in(video: bytes) -> list[int]:
    """Return the number in each frame of an MP4."""
    with av.open(io.BytesIO(video)) as container:
        return [number_in(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_the_films_are_what_the_other_tests_think(told: list[tuple[str, int, list[int]]]) -> None:
    found = {key.partition("-")[2].partition("-")[0]: (label, numbers) for key, label, numbers in told}
    assert found["3"] == (0, [60, 65, 70, 75, 80])
    assert found["1"] == (1, [20, 25, 30, 35, 40])
    assert found["2"] == (-1, [40, 45, 50, 55, 60])
    assert len(told) == 7
    assert not told[0][0].startswith("films-3")


def test_a_second_run_of_the_job_makes_lost_files_anew_and_no_tar(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(folder / "data" / "mine", data)
    frames = data / "frames"
    sound = {path: path.read_bytes() for path in [*frames.glob("*.idx"), *frames.glob(".nv-meta/*")]}
    assert len(sound) == 2 * 2 + 3
    for path in sound:
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in frames.glob("*.tar")}
    options = ExtractOptions(fps=5.0, size_px=48, quality=95)
    result = extract([folder / "list.csv"], data, options, samples_per_shard=6, num_workers=1)
    assert result.num_shards_before == result.num_shards == 2
    assert {path: path.read_bytes() for path in sound} == sound
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.needs("webdataset")
def test_webdataset_reads_values(
    told: list[tuple[str, int, list[int]]], run_block: Callable[[str], Namespace]
) -> None:
    names = run_block("webdataset")
    samples = list(names["stream"].decode())
    found = [(s["__key__"], s["cls"], numbers_in(s["mp4"])) for s in samples]
    assert found == told
    assert [s["json"]["key"] for s in samples] == [key for key, _, _ in told]
    assert (names["key"], names["label"]) == told[-1][:2]


@pytest.mark.needs("datasets")
def test_hugging_face_reads_values_streaming_and_not(
    told: list[tuple[str, int, list[int]]],
    run_block: Callable[[str], Namespace],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import datasets

    # It asks torchcodec where that is installed, which does not load without FFmpeg's shared libraries.
    monkeypatch.setattr(datasets.config, "TORCHCODEC_AVAILABLE", False)
    names = run_block("Hugging Face `datasets`")
    for rows in (names["stream"], names["table"]):
        found = [(row["__key__"], row["cls"], numbers_in(row["mp4"]["bytes"])) for row in rows]
        assert found == told
        assert {row["json"]["split"] for row in rows} == {None, "val"}
        assert all(row["json"]["pts_s"][1] == 0.2 for row in rows)


@pytest.mark.needs("datasets")
@pytest.mark.parametrize("streaming", [True, False])
def test_hugging_face_reads_arrays_of_a_target(
    make_dataset: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, streaming: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    from datasets import load_dataset

    data = make_dataset()
    rows = load_dataset(
        "webdataset",
        data_files=str(data / "vq.demo" / "*.tar"),
        split="train",
        streaming=streaming,
        cache_dir=str(tmp_path / "cache"),
    )
    found = {row["__key__"]: np.unique(row["codes.npy"]).tolist() for row in rows}
    keys = list(open_dataset(data).keys)
    assert found == {key: [sum(key.encode())] for key in keys}


@pytest.mark.needs("megatron.energon")
def test_energon_reads_values(
    told: list[tuple[str, int, list[int]]], run_block: Callable[[str], Namespace]
) -> None:
    samples = run_block("NVIDIA Energon")["samples"]
    found = [
        (s.__key__, s.label, [number_in(f) for f in s.frames.permute(0, 2, 3, 1).numpy()]) for s in samples
    ]
    assert found == told
    assert [s.meta["source"] for s in samples] == [f"films/{key.split('-')[1]}.mp4" for key, _, _ in told]


@pytest.mark.needs("megatron.energon")
def test_energon_trains_on_what_has_no_split_and_refuses_the_rest(make_dataset: Callable[..., Path]) -> None:
    data = make_dataset()
    keys = list(open_dataset(data).keys)
    with pytest.raises(AssertionError, match="Invalid split part: 'train'"):
        energon_codes(data / "vq.demo", num_samples=1)
    reports = read_reports(data, column="vq.demo", num_shards=3)
    finish_column(data / "vq.demo", reports=reports, has_splits=False)
    found = energon_codes(data / "vq.demo", num_samples=len(keys))
    assert found == {key: [sum(key.encode())] for key in keys}


def energon_codes(folder: Path, *, num_samples: int) -> dict[str, list[int]]:
    """Return the codes of the first samples of an epoch of training, as Energon deals them out."""
    from megatron.energon import WorkerConfig, get_loader, get_train_dataset

    dataset = get_train_dataset(
        folder,
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0),
        batch_size=None,
        shuffle_buffer_size=None,
        max_samples_per_sequence=None,
        task_encoder=codes_encoder(),
    )
    samples = itertools.islice(get_loader(dataset), num_samples)
    return {sample.__key__: np.unique(sample.codes).tolist() for sample in samples}


def codes_encoder() -> Any:
    from megatron.energon import Cooker, DefaultTaskEncoder, Sample, basic_sample_keys, edataclass, stateless

    @edataclass
    class Codes(Sample):
        codes: Any

    @stateless
    def cook(sample: Any) -> Codes:
        return Codes(**basic_sample_keys(sample), codes=sample["codes.npy"])

    class Encoder(DefaultTaskEncoder):  # type: ignore[misc]
        cookers = [Cooker(cook)]  # noqa: RUF012 (as Energon wants it)

    return Encoder()


@pytest.mark.needs("megatron.energon")
def test_energon_would_write_the_same_index(folder: Path, tmp_path: Path) -> None:
    from megatron.energon.flavors import BaseWebdatasetFactory

    mine = folder / "data" / "mine" / "frames"
    for path in mine.glob("*.tar"):
        shutil.copy(path, tmp_path)
    tars = sorted(path.name for path in tmp_path.glob("*.tar"))
    BaseWebdatasetFactory.prepare_dataset(tmp_path, tars, tar_index_only=True, workers=1)
    for tar in tars:
        assert (mine / f"{tar}.idx").read_bytes() == (tmp_path / f"{tar}.idx").read_bytes()


@pytest.mark.needs("nvidia.dali")
def test_dali_reads_values(
    told: list[tuple[str, int, list[int]]], run_block: Callable[[str], Namespace]
) -> None:
    names = run_block("NVIDIA DALI")
    found = [dali_sample(names["meta"], names["frames"], names["label"])]
    found += [dali_sample(*names["pipeline"].run()) for _ in told[1:]]
    assert found == told


def dali_sample(meta: Any, frames: Any, label: Any) -> tuple[str, int, list[int]]:
    key = json.loads(bytes(meta.at(0)))["key"]
    return key, int(bytes(label.at(0))), [number_in(frame) for frame in frames.at(0)]


@pytest.mark.needs("nvidia.dali")
def test_dali_would_write_the_same_index(folder: Path, tmp_path: Path) -> None:
    from wds2idx import IndexCreator

    paths: Sequence[Path] = sorted((folder / "data" / "mine" / "frames").glob("*.tar"))
    for path in paths:
        with IndexCreator(str(path), str(tmp_path / "theirs.idx"), verbose=False) as creator:
            creator.create_index()
        assert path.with_suffix(".idx").read_bytes() == (tmp_path / "theirs.idx").read_bytes()
