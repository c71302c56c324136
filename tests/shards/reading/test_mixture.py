"""Several datasets as one: every sample is that of its part, and nothing that differs is mixed in silence."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.order import Share
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.reading.mixture import Mixture, Source, open_mixture, parse_source

BOTH = ("frames", "vq.toy")
WriteDataset = Callable[..., Path]


@pytest.fixture
def folders(toy_dataset: WriteDataset) -> list[Path]:
    return [
        toy_dataset("one", num_samples=12),
        toy_dataset("two", num_samples=7, classes=("up", "left", "down"), unlabelled=(3,)),
    ]


@pytest.fixture
def mixture(folders: list[Path]) -> Mixture:
    mixed = open_mixture([Source(data=folders[0]), Source(data=folders[1], weight=2.5)], columns=BOTH)
    assert isinstance(mixed, Mixture)
    return mixed


def test_every_sample_is_that_of_its_part(mixture: Mixture, folders: list[Path]) -> None:
    parts = [open_dataset(folder, columns=BOTH) for folder in folders]
    assert (len(mixture), sum(share.per_epoch for share in mixture.shares)) == (19, 12 + 18)
    assert str(mixture) == f"{folders[0]} and {folders[1]}"
    rows = [(part, i) for part in parts for i in range(len(part))]
    for index, (part, i) in enumerate(rows):
        assert mixture.keys[index] == part.keys[i]
        assert mixture.meta(index) == part.meta(i)
        assert mixture.num_frames[index] == part.num_frames[i]
        assert mixture.splits[index] == part.splits[i]
        assert mixture.member(index, "vq.toy", "codes.npy") == part.member(i, "vq.toy", "codes.npy")
        assert np.array_equal(mixture.array(index, "vq.toy", "codes"), part.array(i, "vq.toy", "codes"))
        which = np.array([3, 0, 17])
        assert np.array_equal(
            mixture.rows(index, "vq.toy", "codes", which), part.rows(i, "vq.toy", "codes", which)
        )
        assert np.array_equal(mixture.frames(index, [2, 0]), part.frames(i, [2, 0]))


def test_classes_of_the_same_name_are_one(mixture: Mixture) -> None:
    assert mixture.classes == ("down", "left", "right", "up")
    named = [None if i < 0 else mixture.classes[i] for i in mixture.class_indices.tolist()]
    assert named[:4] == ["left", "right", "left", "right"]
    assert named[12:] == ["up", "left", "down", None, "left", "down", "up"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("up", "fly", "down"), ("up", "fly", "down"), ("up", "fly", "down")),
        (("up", "fly", "down"), ("fly", "up", "down"), ("down", "fly", "up")),
        (("10", "2", "9"), ("2", "9", "10"), ("2", "9", "10")),
        (("10", "2"), ("2", "11"), ("2", "10", "11")),
        (("10", "2"), ("2", "up"), ("10", "2", "up")),
    ],
)
def test_classes_keep_the_order_that_all_share(
    toy_dataset: WriteDataset, one: tuple[str, ...], other: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    folders = [
        toy_dataset("one", num_samples=3, classes=one),
        toy_dataset("two", num_samples=3, classes=other),
    ]
    mixed = open_mixture([Source(data=folder) for folder in folders])
    assert mixed.classes == expected
    named = [mixed.classes[index] for index in mixed.class_indices.tolist()]
    assert named == [labels[i % len(labels)] for labels in (one, other) for i in range(3)]


def test_shares_follow_the_weights(mixture: Mixture) -> None:
    assert mixture.shares == (
        Share(start=0, num_samples=12, per_epoch=12),
        Share(start=12, num_samples=7, per_epoch=18),  # 17.5, rounded to even
    )


def test_selections_keep_parts_and_weights(mixture: Mixture) -> None:
    chosen = mixture.select([1, 4, 12, 15, 18])
    assert [chosen.keys[i] for i in range(5)] == [mixture.keys[i] for i in (1, 4, 12, 15, 18)]
    assert chosen.shares == (
        Share(start=0, num_samples=2, per_epoch=2),
        Share(start=2, num_samples=3, per_epoch=8),
    )
    assert [len(part) for part in mixture.select([13]).parts] == [0, 1]
    assert len(mixture.select([])) == 0
    every = chosen.every_sample()
    assert list(every.keys) == list(mixture.keys)
    assert every.weights == (1.0, 2.5)


def test_splits_are_selected_in_each(folders: list[Path]) -> None:
    sources = [Source(data=folder) for folder in folders]
    mixed = open_mixture(sources, columns=BOTH, select_split="val")
    assert mixed.splits.tolist() == ["val"] * 6
    with pytest.raises(UsageError, match=r"one has no sample of split 'held'"):
        open_mixture(sources, columns=BOTH, select_split="held")


def test_the_fingerprint_tells_parts_and_weights(mixture: Mixture, folders: list[Path]) -> None:
    def of(*weights: float) -> str:
        sources = [Source(data=data, weight=w) for data, w in zip(folders, weights, strict=True)]
        return open_mixture(sources, columns=BOTH).fingerprint

    assert of(1.0, 2.5) == mixture.fingerprint
    assert len({of(1.0, 2.5), of(1.0, 2.0), of(2.0, 2.5), open_dataset(folders[0]).fingerprint}) == 4
    assert mixture.tars_sha256("vq.toy") != open_dataset(folders[0], columns=BOTH).tars_sha256("vq.toy")


def test_workers_get_the_same_mixture(mixture: Mixture) -> None:
    copy = pickle.loads(pickle.dumps(mixture))
    assert copy.fingerprint == mixture.fingerprint
    assert np.array_equal(copy.array(14, "vq.toy", "codes"), mixture.array(14, "vq.toy", "codes"))


def test_one_dataset_alone_is_opened_as_it_is(folders: list[Path]) -> None:
    alone = open_mixture([Source(data=folders[0])], columns=BOTH, select_split="train")
    assert alone.fingerprint == open_dataset(folders[0], columns=BOTH, select_split="train").fingerprint
    assert alone.parts == (alone,)
    assert alone.shares == (Share(num_samples=8, per_epoch=8),)


def test_every_sample_of_a_dataset_are_those_before_selections(folders: list[Path]) -> None:
    whole = open_dataset(folders[0], columns=BOTH)
    every = whole.select([3, 1]).select([1]).every_sample()
    assert list(every.keys) == list(whole.keys)
    assert every.class_indices.tolist() == whole.class_indices.tolist()


def test_columns_that_mean_different_things_are_refused(toy_dataset: WriteDataset) -> None:
    one, other = toy_dataset("one"), toy_dataset("other", codebook="mine")
    with pytest.raises(UsageError, match=r"Column vq\.toy differs .*one.* and .*other in codebook, so they"):
        open_mixture([Source(data=one), Source(data=other)], columns=("vq.toy",))
    larger = toy_dataset("larger", enlargement=1.5)  # is told by the recipe's check, of each dataset
    assert len(open_mixture([Source(data=one), Source(data=larger)], columns=("vq.toy",))) == 24


def test_a_column_that_one_lacks_is_named(toy_dataset: WriteDataset) -> None:
    one, other = toy_dataset("one"), toy_dataset("other", columns=())
    with pytest.raises(UsageError, match=r"other has no column vq\.toy"):
        open_mixture([Source(data=one), Source(data=other)], columns=("vq.toy",))


def test_the_same_dataset_twice_is_refused(folders: list[Path]) -> None:
    again = folders[0].parent / "x" / ".." / folders[0].name
    with pytest.raises(UsageError, match="given twice"):
        open_mixture([Source(data=folders[0]), Source(data=again)])


def test_a_weight_of_one_dataset_alone_is_refused(folders: list[Path]) -> None:
    with pytest.raises(UsageError, match="only dataset and has weight 2: weights say how often"):
        open_mixture([Source(data=folders[0], weight=2)])


def test_sources_are_paths_with_weights(tmp_path: Path) -> None:
    assert parse_source("data/mine") == Source(data=Path("data/mine"))
    assert parse_source("data/mine=0.5") == Source(data=Path("data/mine"), weight=0.5)
    assert parse_source("a=b=3") == Source(data=Path("a=b"), weight=3)
    (tmp_path / "fps=2").mkdir()
    assert parse_source(str(tmp_path / "fps=2")) == Source(data=tmp_path / "fps=2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data/mine=much", "'much' no weight: write PATH=WEIGHT"),
        ("data/mine=", "'' no weight"),
        ("data/mine=0", "weight 0: use a number above 0"),
        ("data/mine=-1", "weight -1: use"),
        ("data/mine=nan", "weight nan: use"),
        ("data/mine=inf", "weight inf: use"),
    ],
)
def test_other_weights_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_source(text)
