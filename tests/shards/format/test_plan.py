"""The plan is fixed by its sources, whatever order they come in."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.layout import shard_name
from vfm.shards.format.plan import Plan, Source, build_plan, read_plan, read_times, write_plan
from vfm.shards.io.parquet import table_bytes

MakeSource = Callable[..., Source]


@pytest.fixture
def sources(source: MakeSource) -> list[Source]:
    return [source(f"v{number}") for number in range(10)]


def test_order_is_that_of_the_keys_hashes(sources: list[Source]) -> None:
    plan = build_plan(sources, samples_per_shard=4)
    # for i in 0 1 2 3 4 5 6 7 8 9; do echo $(printf v$i | sha256sum) v$i; done | sort
    expected = ["v0", "v8", "v7", "v1", "v6", "v9", "v4", "v3", "v5", "v2"]
    assert [source.key for source in plan.sources] == expected
    assert build_plan(sources[::-1], samples_per_shard=4) == plan


def test_shards_hold_every_source_once(sources: list[Source]) -> None:
    plan = build_plan(sources, samples_per_shard=4)
    assert plan.num_shards == 3
    assert [len(plan.shard(i)) for i in range(3)] == [4, 4, 2]
    assert tuple(s for i in range(3) for s in plan.shard(i)) == plan.sources
    with pytest.raises(IndexError, match="shard 3 of 3"):
        plan.shard(3)


def test_classes_are_sorted_labels(sources: list[Source]) -> None:
    plan = build_plan([*sources, replace(sources[0], key="x", labels=())], samples_per_shard=4)
    assert plan.classes == ("run", "walk")
    assert plan.has_labels
    assert not plan.has_captions


def labelled(source: MakeSource, labels: Iterable[object]) -> list[Source]:
    return [source(f"l{label}", labels=(str(label),)) for label in labels]


def test_integer_labels_are_their_own_class_index(source: MakeSource) -> None:
    plan = build_plan(labelled(source, range(12)), samples_per_shard=4)
    assert plan.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11")


def test_classes_that_are_given_keep_their_order_unused_ones_too(source: MakeSource) -> None:
    plan = build_plan(labelled(source, ("walk", "run")), samples_per_shard=4, classes=["walk", "fly", "run"])
    assert plan.classes == ("walk", "fly", "run")


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (
            ("walk", "fly"),
            r"^videos/lrun\.mp4 has the label 'run', which is none of the classes given: correct it",
        ),
        (("run", "walk", "walk"), "^The class 'walk' is given twice: give each class once"),
    ],
)
def test_classes_that_do_not_fit(source: MakeSource, classes: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        build_plan(labelled(source, ("walk", "run")), samples_per_shard=4, classes=classes)


def test_the_hash_covers_classes_that_are_not_the_sorted_labels(source: MakeSource) -> None:
    sources = labelled(source, ("walk", "run"))
    orders: list[tuple[str, ...]] = [(), ("run", "walk"), ("walk", "run"), ("run", "walk", "fly")]
    hashes = [build_plan(sources, samples_per_shard=4, classes=order).sha256 for order in orders]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_labels_and_captions_can_be_missing(sources: list[Source]) -> None:
    plan = build_plan([replace(s, labels=(), captions=("a dog",)) for s in sources], samples_per_shard=4)
    assert (plan.classes, plan.has_labels, plan.has_captions) == ((), False, True)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"path": "/elsewhere/v0.mp4"}, True),
        ({"mtime_ns": 7}, True),
        ({"size_bytes": 7}, False),
        ({"labels": ("fly",)}, False),
        ({"captions": ("x",)}, False),
        ({"split": "test"}, False),
        ({"identity": "other/v0.mp4"}, False),
        ({"key": "v00"}, False),
    ],
)
def test_the_hash_covers_what_samples_follow_from(
    sources: list[Source], change: dict[str, object], same: bool
) -> None:
    plan = build_plan(sources, samples_per_shard=4)
    changed = build_plan([replace(sources[0], **change), *sources[1:]], samples_per_shard=4)
    assert (plan.sha256 == changed.sha256) is same


def test_the_hash_covers_the_shard_size(sources: list[Source]) -> None:
    hashes = {build_plan(sources, samples_per_shard=size).sha256 for size in (1, 4, 100)}
    assert len(hashes) == 3


def test_round_trip(sources: list[Source], tmp_path: Path) -> None:
    plan = build_plan(sources, samples_per_shard=4)
    write_plan(tmp_path / "plan.parquet", plan)
    assert read_plan(tmp_path / "plan.parquet") == plan
    shards = pq.read_table(tmp_path / "plan.parquet").column("shard").to_pylist()
    assert shards == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_names_that_are_no_utf8_survive(source: MakeSource, tmp_path: Path) -> None:
    strange = [os.fsdecode(b"/v/caf\xe9.mp4"), '"quoted".mp4', "日本\n.mp4", "\\udce9.mp4", '"\udce9']
    plan = Plan(
        sources=tuple(
            source(f"k{i}", path=name, identity=name, labels=(name, "x"), captions=(name,))
            for i, name in enumerate(strange)
        ),
        samples_per_shard=2,
        classes=("x", *strange[::-1], "\udce8"),
    )
    write_plan(tmp_path / "plan.parquet", plan)
    assert read_plan(tmp_path / "plan.parquet") == plan
    assert read_plan(tmp_path / "plan.parquet").sha256 == plan.sha256


@pytest.mark.parametrize("classes", [(), ("walk", "fly", "run")])
def test_classes_are_stored(sources: list[Source], tmp_path: Path, classes: tuple[str, ...]) -> None:
    plan = build_plan(sources, samples_per_shard=4, classes=classes)
    write_plan(tmp_path / "plan.parquet", plan)
    assert read_plan(tmp_path / "plan.parquet") == plan
    stored = pq.read_schema(tmp_path / "plan.parquet").metadata[b"vfm.classes"]
    assert json.loads(stored) == list(classes or ("run", "walk"))


def test_a_plan_without_classes_has_them_sorted_as_texts(source: MakeSource, tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    plan = build_plan(labelled(source, range(12)), samples_per_shard=4)
    write_plan(path, plan)
    path.write_bytes(table_bytes(pq.read_table(path)))  # as versions before classes were stored wrote it
    old = read_plan(path)
    assert old.classes == ("0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9")
    assert old.sources == plan.sources
    # The hash that the version before classes were stored gives these sources.
    assert old.sha256 == "54b4ed65ebe5ca0db8699eb1a94a5886f74976d65e35e13bb39daf4cd0ad2b6e"
    assert plan.sha256 != old.sha256


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[" * 100_000, "its classes are not a list of names"),
        ('"run"', "its classes are not a list of names"),
        ('["run", 7, "walk"]', "its classes are not a list of names"),
        ('["run", "walk", "run"]', "it has the class 'run' twice"),
        ('["fly", "run"]', "the label 'walk' is none of its classes"),
        ("[]", "the label 'run' is none of its classes"),
    ],
)
def test_classes_that_vfm_does_not_write_are_damage(
    sources: list[Source], tmp_path: Path, stored: str, told: str
) -> None:
    path = tmp_path / "plan.parquet"
    write_plan(path, build_plan(sources, samples_per_shard=4))
    path.write_bytes(table_bytes(pq.read_table(path), metadata={"vfm.classes": stored}))
    with pytest.raises(DamageError, match=rf"plan\.parquet is not a table that vfm wrote \({told}"):
        read_plan(path)


def test_two_sources_with_one_key_are_both_named(source: MakeSource) -> None:
    twins = [source("a", identity="x/a.mp4"), source("a", identity="y/a.mp4")]
    with pytest.raises(UsageError, match=r"key 'a', x/a\.mp4 and y/a\.mp4: give each"):
        build_plan(twins, samples_per_shard=4)


@pytest.mark.parametrize(
    ("keys", "size", "message"),
    [([], 4, "No sources were given"), (["a"], 0, "0 samples"), (["a.b"], 1, "a.b")],
)
def test_plans_that_cannot_be(source: MakeSource, keys: list[str], size: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_plan([source(key) for key in keys], samples_per_shard=size)


def test_shard_names_sort_as_numbers() -> None:
    assert [shard_name(i) for i in (0, 42, 999_999)] == ["000000", "000042", "999999"]


def test_times_of_another_plan_are_told(sources: list[Source], tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    with pytest.raises(DamageError, match=r"plan\.parquet is missing: restore"):
        read_times(path, num_sources=10)
    write_plan(path, build_plan(sources, samples_per_shard=4))
    assert read_times(path, num_sources=10) == [5] * 10
    with pytest.raises(DamageError, match="it has 10 sources where the dataset has 9"):
        read_times(path, num_sources=9)
