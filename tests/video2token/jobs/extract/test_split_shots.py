import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.films_of_shots import shots, write_again, write_shots
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.format.plan import Source, build_plan, read_plan
from vfm.shards.format.report import read_report
from vfm.shards.progress import NoProgress
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify
from vfm.video2token.analysis.options import SignalOptions
from vfm.video2token.analysis.signals.hash import distance
from vfm.video2token.jobs.extract import job as job_module
from vfm.video2token.jobs.extract import split_shots as cutting
from vfm.video2token.jobs.extract.extract import ExtractResult, extract_sources, frames_column
from vfm.video2token.jobs.extract.split_shots import CutSearchOptions, shots_of, split_shots
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources

Film = Callable[..., Path]
OPTIONS = ExtractOptions(fps=4.0, size_px=32)
SEARCH = CutSearchOptions(num_workers=2, timeout_s=60.0, memory_bytes=4 << 30)
TWINS = SignalOptions(drop_duplicates=6)


def run(root: Path, data: Path, signals: SignalOptions | None, **job: Any) -> ExtractResult:
    sources = list_sources([root], missing="error").sources
    return extract_sources(sources, data, OPTIONS, signals=signals, **{"samples_per_shard": 2, **job})


def quarantine(data: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (data / "quarantine.jsonl").read_text().splitlines()]


def stored(data: Path) -> dict[str, bytes]:
    names = ("*.tar", "*.index.parquet", "plan.parquet", "quarantine.jsonl", "dataset.json", "scenes.json")
    return {path.name: path.read_bytes() for name in names for path in sorted(data.rglob(name))}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films, three copies of the first in other encodings, and one of the second."""
    root = tmp_path_factory.mktemp("twins")
    for index, number in enumerate((3, 12, 22, 65)):
        write_shots(root / f"{index}.mp4", shots([number]))
    write_again(root / "0.mp4", root / "0-small.mp4", size_px=64)
    write_again(root / "0.mp4", root / "0-slow.mkv", every=2)
    write_again(root / "0.mp4", root / "0-mpeg4.avi", codec="mpeg4")
    write_again(root / "1.mp4", root / "1-small.mp4", size_px=64)
    return root


@pytest.fixture(scope="module")
def without_twins(twins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of the films, made in one go, without duplicates."""
    data = tmp_path_factory.mktemp("data") / "data"
    result = run(twins, data, TWINS)
    assert (result.num_ok, result.rejected_by_reason) == (4, {"duplicate": 4})
    return data


def test_nothing_is_measured_unless_asked(films: Film, tmp_path: Path) -> None:
    run(films(1), tmp_path / "data", None)
    assert open_dataset(tmp_path / "data").meta(0).signals == {}
    plan = read_plan(tmp_path / "data" / "plan.parquet")
    column = read_manifest(tmp_path / "data").columns["frames"]
    assert column == frames_column(plan, OPTIONS, signals=SignalOptions())
    assert set(column.options) == {*OPTIONS.to_column(), "samples_per_shard", "plan_sha256"}


def test_signals_are_in_the_json_and_in_the_fingerprint(tmp_path: Path) -> None:
    cuts_s = write_shots(tmp_path / "films" / "film.mp4", shots([3, 12]))
    run(tmp_path / "films", tmp_path / "data", SignalOptions(names=("shots", "motion", "hash")))
    signals = open_dataset(tmp_path / "data").meta(0).signals
    assert sorted(signals) == ["hash", "motion", "shots"]
    assert signals["shots"]["cuts_s"] == cuts_s == [1.5]
    assert 0.01 < signals["motion"]["score"] < 0.1
    assert signals["motion"]["method"] == "vectors"
    assert len(signals["hash"]) == 16
    options = read_manifest(tmp_path / "data").columns["frames"].options
    assert options["signals"] == ["hash", "motion", "shots"]
    assert "drop_static" not in options
    with pytest.raises(
        UsageError, match=r"signals \['hash', 'motion', 'shots'\] there, \['hash'\] requested"
    ):
        run(tmp_path / "films", tmp_path / "data", SignalOptions(names=("hash",)))


def test_unknown_signals_and_thresholds_are_refused() -> None:
    with pytest.raises(UsageError, match="Unknown signal 'sound': choose from hash, motion, shots"):
        SignalOptions(names=("hash", "sound"))
    with pytest.raises(UsageError, match="drop_static cannot be 0: use more than 0"):
        SignalOptions(drop_static=0)
    with pytest.raises(UsageError, match="drop_duplicates cannot be 64: use 0 to 31 of 64 bits"):
        SignalOptions(drop_duplicates=64)
    assert SignalOptions(names=("shots",), drop_static=0.1, drop_duplicates=0).names_needed == (
        "hash", "motion", "shots",
    )  # fmt: skip


def test_static_videos_are_left_out_and_named(tmp_path: Path) -> None:
    write_shots(tmp_path / "films" / "still.mp4", shots([3], faster=0))
    write_shots(tmp_path / "films" / "moving.mp4", shots([3]))
    (tmp_path / "films" / "empty.mp4").write_bytes(b"")
    result = run(tmp_path / "films", tmp_path / "data", SignalOptions(drop_static=0.001))
    assert (result.num_ok, result.num_rejected) == (1, 2)
    assert result.rejected_by_reason == {"empty": 1, "static": 1}
    (static,) = [line for line in quarantine(tmp_path / "data") if line["reason"] == "static"]
    assert (static["source"], static["tool"]) == ("still.mp4", "signals")
    assert static["message"].startswith("It moves by 0 of its diagonal per second (below --drop-static")
    assert list(verify(tmp_path / "data")) == []


def test_duplicates_are_left_out_and_name_an_earlier_sample(without_twins: Path) -> None:
    plan = read_plan(without_twins / "plan.parquet")
    place = {source.key: index for index, source in enumerate(plan.sources)}
    dataset = open_dataset(without_twins)
    kept = {dataset.meta(index).key: dataset.meta(index) for index in range(len(dataset))}
    assert sorted(meta.source[0] for meta in kept.values()) == ["0", "1", "2", "3"]
    for line in quarantine(without_twins):
        twin = line["message"].removeprefix("It looks like ").partition(" ")[0]
        assert kept[twin].source[0] == line["source"][0]
        assert place[twin] < place[line["key"]]
    hashes = [meta.signals["hash"] for meta in kept.values()]
    assert min(distance(one, other) for one in hashes for other in hashes if one != other) > 6


def test_duplicates_are_the_same_for_any_number_of_workers(
    twins: Path, without_twins: Path, tmp_path: Path
) -> None:
    run(twins, tmp_path / "three", TWINS, num_workers=3)
    assert stored(tmp_path / "three") == stored(without_twins)


def test_duplicates_are_the_same_after_interruptions(
    twins: Path, without_twins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, make = tmp_path / "data", job_module.ExtractJob._shard

    def at_most_the_second(self: Any, index: int, **rest: Any) -> Any:
        if index > 1:
            raise KeyboardInterrupt
        return make(self, index, **rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(job_module.ExtractJob, "_shard", at_most_the_second)
        run(twins, data, TWINS)
    assert read_report(data / "frames", "000001") is not None
    assert read_report(data / "frames", "000002") is None
    # What came before is read from the finished shards.
    assert run(twins, data, TWINS).num_shards_before == 2
    assert stored(data) == stored(without_twins)
    # A hole: the shard is made again from those before it alone.
    (data / "frames" / "000001.json").unlink()
    assert run(twins, data, TWINS).num_shards_before == 3
    assert stored(data) == stored(without_twins)


def source(**given: Any) -> Source:
    return Source(**{"key": "film", "identity": "film.mp4", "path": "/films/film.mp4", "size_bytes": 9,
                     "mtime_ns": 0, **given})  # fmt: skip


def spans(sources: list[Source]) -> list[tuple[str, float | None, float | None]]:
    return [(each.key, each.start_s, each.end_s) for each in sources]


def test_a_source_becomes_one_for_each_shot() -> None:
    labelled = source(labels=("walk",), captions=("a walk",), split="train")
    found = shots_of(labelled, cuts_s=[2.5, 4.0], last_s=9.96)
    assert spans(found) == [("film-s0000", None, 2.5), ("film-s0001", 2.5, 4.0), ("film-s0002", 4.0, None)]
    assert {replace(each, key="film", start_s=None, end_s=None) for each in found} == {labelled}
    assert build_plan(found, samples_per_shard=2).num_shards == 2


def test_a_source_without_cuts_stays_what_it_is() -> None:
    segment = source(start_s=3.0, end_s=8.0)
    assert shots_of(source(), cuts_s=[], last_s=9.96) == [source()]
    assert shots_of(source(), cuts_s=[], last_s=None) == [source()]
    assert shots_of(segment, cuts_s=[], last_s=7.96) == [segment]


def test_short_shots_are_joined_to_their_neighbours() -> None:
    # The first 0.5 s go to the shot after them, as do the 0.4 s from 4.0; the last 0.6 s to the one before.
    found = shots_of(source(), cuts_s=[0.5, 2.0, 4.0, 4.4, 6.0, 9.4], last_s=10.0)
    assert [each.start_s for each in found] == [None, 2.0, 4.0, 6.0]
    assert shots_of(source(), cuts_s=[0.5], last_s=10.0) == [source()]
    assert len(shots_of(source(), cuts_s=[0.5], last_s=10.0, min_shot_s=0.5)) == 2


def test_shots_of_a_segment_stay_inside_it() -> None:
    found = shots_of(source(start_s=3.0, end_s=8.0), cuts_s=[3.5, 5.0, 7.5], last_s=7.96)
    assert spans(found) == [("film-s0000", 3.0, 5.0), ("film-s0001", 5.0, 8.0)]


def test_videos_are_split_at_their_cuts_and_searched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, data = tmp_path / "films", tmp_path / "data"
    cuts_s = write_shots(root / "cut.mp4", shots([3, 12, 40]))
    write_shots(root / "whole.mp4", shots([22]))
    (root / "empty.mp4").write_bytes(b"")
    data.mkdir()
    sources = list_sources([root], missing="error").sources
    found = split_shots(sources, data, SEARCH, progress=NoProgress())
    (cut, empty, whole) = sources
    assert cuts_s == [1.5, 3.0]
    assert spans(found) == [
        (f"{cut.key}-s0000", None, 1.5), (f"{cut.key}-s0001", 1.5, 3.0), (f"{cut.key}-s0002", 3.0, None),
        (empty.key, None, None), (whole.key, None, None),
    ]  # fmt: skip
    # A video that was not there is searched, the others are not.
    write_shots(root / "new.mp4", shots([65, 3]))
    searched: list[str] = []
    task_of = cutting._task
    monkeypatch.setattr(cutting, "_task", lambda each: (searched.append(each.identity), task_of(each))[1])
    sources = list_sources([root], missing="error").sources
    again = split_shots(sources, data, SEARCH, progress=NoProgress())
    assert searched == ["new.mp4"]
    assert [each for each in again if each.identity != "new.mp4"] == found
    assert len(again) == len(found) + 2
    (data / "scenes.json").write_text((data / "scenes.json").read_text().replace("1.5", "1.4"))
    with pytest.raises(DamageError, match=r"scenes\.json is damaged"):
        split_shots(sources, data, SEARCH, progress=NoProgress())


def test_a_job_that_splits_plans_the_shots_and_resumes(tmp_path: Path) -> None:
    root, data = tmp_path / "films", tmp_path / "data"
    write_shots(root / "cut.mp4", shots([3, 12, 40]))
    write_shots(root / "whole.mp4", shots([22]))
    result = run(root, data, None, is_split_at_cuts=True)
    assert (result.num_sources, result.num_ok) == (4, 4)
    planned = sorted(read_plan(data / "plan.parquet").sources, key=lambda each: each.key)
    assert [(each.start_s, each.end_s) for each in planned] == [
        (None, 1.5), (1.5, 3.0), (3.0, None), (None, None),
    ]  # fmt: skip
    assert {open_dataset(data).meta(index).key for index in range(4)} == {each.key for each in planned}
    before = stored(data)
    # A job that was killed before its plan was written has left nothing but the search.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "scenes.json").write_bytes(before["scenes.json"])
    run(root, tmp_path / "other", None, is_split_at_cuts=True, num_workers=2)
    assert stored(tmp_path / "other") == before
    with pytest.raises(UsageError, match="was begun with other options or sources"):
        run(root, tmp_path / "other", None)


def test_shots_have_the_classes_that_are_given(tmp_path: Path) -> None:
    root, data = tmp_path / "films", tmp_path / "data"
    write_shots(root / "cut.mp4", shots([3, 12]))
    (root / "list.csv").write_text("path,label\ncut.mp4,walk\n")
    run(root / "list.csv", data, None, is_split_at_cuts=True, classes=("walk", "run"))
    assert (len(open_dataset(data)), open_dataset(data).classes) == (2, ("walk", "run"))
    assert read_plan(data / "plan.parquet").classes == ("walk", "run")
