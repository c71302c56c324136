"""The stream of samples is one, whatever the batch size, the ranks, and the place it is resumed from."""

from itertools import islice

import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.order import (
    Place,
    SampleDraw,
    Share,
    batches,
    epoch_draws,
    epoch_len,
    epoch_order,
    eval_share,
    rank_share,
    sample_rng,
)

START = Place(seed=3)


def once(num_samples: int) -> list[Share]:
    """Return a dataset of its own, each sample of it once an epoch."""
    return [Share(num_samples=num_samples, per_epoch=num_samples)]


def stream(num_samples: int, *, place: Place, batch_size: int, count: int) -> list[SampleDraw]:
    """Return ``count`` batches, joined."""
    drawn = islice(batches(once(num_samples), place=place, batch_size=batch_size), count)
    return [draw for _, batch in drawn for draw in batch]


def test_the_order_never_changes() -> None:
    # Written down once: a change here breaks the resume of every run. ITERATION ORDER.
    assert epoch_order(10, seed=0, epoch=0).tolist() == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]
    assert epoch_order(10, seed=0, epoch=1).tolist() == [7, 4, 5, 1, 9, 8, 6, 2, 0, 3]


@pytest.mark.parametrize("num_samples", [1, 2, 7, 1000])
def test_an_epoch_is_a_permutation(num_samples: int) -> None:
    order = epoch_order(num_samples, seed=1, epoch=5)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(num_samples))


def test_seeds_and_epochs_differ() -> None:
    orders = [tuple(epoch_order(50, seed=seed, epoch=epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9


def test_the_stream_is_the_epochs_one_after_the_other() -> None:
    expected = [
        (epoch, index) for epoch in range(3) for index in epoch_order(7, seed=3, epoch=epoch).tolist()
    ]
    assert stream(7, place=START, batch_size=3, count=7) == expected


@pytest.mark.parametrize("seed", range(20))
def test_any_batch_size_and_resume_point_gives_the_same_stream(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_samples = int(rng.integers(1, 40))
    whole = stream(num_samples, place=START, batch_size=1, count=200)
    place, seen = START, 0
    while seen < 100:
        batch_size = int(rng.integers(1, 30))
        count = int(rng.integers(1, 4))
        drawn = list(islice(batches(once(num_samples), place=place, batch_size=batch_size), count + 1))
        assert drawn[0][0] == place.advance(0, num_samples=num_samples)
        joined = [draw for _, batch in drawn[:-1] for draw in batch]
        assert joined == whole[seen : seen + len(joined)]
        place, seen = drawn[-1][0], seen + len(joined)
        assert place.epoch * num_samples + place.samples_seen == seen


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6])
def test_any_world_size_gives_the_same_batches(world_size: int) -> None:
    for _, batch in islice(batches(once(10), place=START, batch_size=12), 5):
        shares = [rank_share(batch, rank=rank, world_size=world_size) for rank in range(world_size)]
        assert [draw for share in shares for draw in share] == batch
        assert {len(share) for share in shares} == {12 // world_size}


@pytest.mark.parametrize("batch_size", [1, 4, 5, 10, 23])
def test_every_epoch_has_every_sample_once(batch_size: int) -> None:
    drawn = stream(10, place=START, batch_size=batch_size, count=-(-50 // batch_size))
    for epoch in range(5):
        assert sorted(index for at, index in drawn if at == epoch) == list(range(10))


@pytest.mark.parametrize("batch_size", [4, 7, 20])
def test_epochs_of_whole_batches_hold_no_sample_twice_in_a_batch(batch_size: int) -> None:
    in_epoch = 20 - 20 % batch_size
    whole = list(islice(batches(once(20), place=START, batch_size=batch_size, epoch_samples=in_epoch), 12))
    for place, batch in whole:
        assert len({index for _, index in batch}) == batch_size
        assert {epoch for epoch, _ in batch} == {place.epoch}
    expected = [
        (epoch, index)
        for epoch in range(12)
        for index in epoch_order(20, seed=3, epoch=epoch)[:in_epoch].tolist()
    ]
    assert [draw for _, batch in whole for draw in batch] == expected[: 12 * batch_size]
    for place, batch in whole:
        assert next(batches(once(20), place=place, batch_size=batch_size, epoch_samples=in_epoch)) == (
            place,
            batch,
        )


MIXED = [
    Share(start=0, num_samples=4, per_epoch=8),  # twice
    Share(start=4, num_samples=6, per_epoch=3),  # every other time
    Share(start=10, num_samples=5, per_epoch=7),
]


def test_the_order_of_a_mixture_never_changes() -> None:
    # Written down once, as that of one dataset. ITERATION ORDER.
    draws = epoch_draws(MIXED[:2], seed=0, epoch=1)
    assert draws.dtype == np.int64
    assert [*map(tuple, draws.tolist())] == [
        (0, 4),
        (2, 2),
        (3, 3),
        (3, 0),
        (3, 1),
        (2, 3),
        (3, 2),
        (0, 8),
        (0, 9),
        (2, 1),
        (2, 0),
    ]


def test_a_dataset_alone_keeps_its_order() -> None:
    draws = epoch_draws(once(9), seed=2, epoch=4)
    assert draws.tolist() == [[4, index] for index in epoch_order(9, seed=2, epoch=4).tolist()]


@pytest.mark.parametrize("num_epochs", [1, 2, 15])
def test_an_epoch_draws_from_each_share_what_is_its_own(num_epochs: int) -> None:
    drawn = [epoch_draws(MIXED, seed=7, epoch=epoch) for epoch in range(num_epochs)]
    for draws in drawn:
        counts = [
            int(((draws[:, 1] >= s.start) & (draws[:, 1] < s.start + s.num_samples)).sum()) for s in MIXED
        ]
        assert counts == [8, 3, 7]
    every = np.concatenate(drawn)
    assert len({tuple(draw) for draw in every.tolist()}) == len(every)  # so each has chance of its own
    for share in MIXED:
        times = [int((every[:, 1] == share.start + i).sum()) for i in range(share.num_samples)]
        assert max(times) - min(times) <= 1


def test_shares_are_mixed_and_not_one_after_the_other() -> None:
    large = [Share(num_samples=1000, per_epoch=1000), Share(start=1000, num_samples=500, per_epoch=1000)]
    first_half = epoch_draws(large, seed=0, epoch=0)[:1000, 1]
    assert 450 < int((first_half < 1000).sum()) < 550


def test_a_mixture_is_one_stream_whatever_the_batch_and_the_place() -> None:
    whole = [draw for _, batch in islice(batches(MIXED, place=START, batch_size=1), 90) for draw in batch]
    place = START
    for _ in range(9):
        at = 18 * place.epoch + place.samples_seen
        place_found, batch = next(batches(MIXED, place=place, batch_size=7))
        assert (place_found, batch) == (place, whole[at : at + 7])
        place = place.advance(7, num_samples=18)


KINDS = [
    Share(num_samples=10, per_epoch=10, kind="videos"),
    Share(start=10, num_samples=7, per_epoch=7, kind="images"),
    Share(start=17, num_samples=5, per_epoch=10, kind="videos"),
]


def test_batches_hold_one_kind_and_alternate_until_all_are_exhausted() -> None:
    assert epoch_len(KINDS, batch_size=3) == 18 + 6
    orders = set()
    for epoch in range(5):
        draws = epoch_draws(KINDS, seed=1, epoch=epoch, batch_size=3)
        is_image = ((draws[:, 1] >= 10) & (draws[:, 1] < 17)).reshape(-1, 3)
        assert (is_image == is_image[:, :1]).all()
        assert is_image[:, 0].sum() == 2
        assert len({tuple(draw) for draw in draws.tolist()}) == 24
        orders.add(tuple(is_image[:, 0].tolist()))
        both = draws[np.repeat(~is_image[:, 0], 3), 1]
        assert {"first": (both < 10).any(), "second": (both >= 17).any()} == {"first": True, "second": True}
    assert len(orders) > 2
    images = np.concatenate([epoch_draws(KINDS, seed=1, epoch=e, batch_size=3)[:, 1] for e in range(9)])
    assert set(images.tolist()) == set(range(22))  # no image is always the one that is left over


def test_a_stream_of_kinds_goes_on_from_any_batch() -> None:
    whole = [batch for _, batch in islice(batches(KINDS, place=START, batch_size=3), 20)]
    place = START
    for number in range(20):
        found, batch = next(batches(KINDS, place=place, batch_size=3))
        assert (found, batch) == (place, whole[number])
        place = place.advance(3, num_samples=24)


def test_a_kind_without_a_whole_batch_is_refused() -> None:
    with pytest.raises(UsageError, match="holds 8 samples of one kind, and the data have 7 that are images"):
        epoch_len(KINDS, batch_size=8)


def test_a_place_at_the_end_of_an_epoch_is_the_start_of_the_next() -> None:
    end = Place(seed=3, epoch=0, samples_seen=10)
    place, batch = next(batches(once(10), place=end, batch_size=4))
    assert place == Place(seed=3, epoch=1, samples_seen=0)
    assert {epoch for epoch, _ in batch} == {1}


def test_places_survive_as_json_values() -> None:
    place = Place(seed=3, epoch=2, samples_seen=9)
    assert place.to_dict() == {"seed": 3, "epoch": 2, "samples_seen": 9}
    assert Place.from_dict(place.to_dict()) == place


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "message"),
    [(0, 1, "No samples to draw from"), (5, 0, "cannot hold 0 samples")],
)
def test_streams_of_nothing_are_refused(num_samples: int, batch_size: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        next(batches(once(num_samples), place=START, batch_size=batch_size))


@pytest.mark.parametrize("size", [5, 1])
def test_a_batch_that_does_not_divide_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match=f"A batch of {size} does not divide among 2 ranks"):
        rank_share([(0, 0)] * size, rank=0, world_size=2)


def test_a_place_below_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="use 0 or more"):
        Place(seed=-1)


@pytest.mark.parametrize("num_samples", [0, 1, 7, 101])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_evaluation_sees_every_sample_once(num_samples: int, world_size: int) -> None:
    shares = [eval_share(num_samples, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert np.concatenate(shares).tolist() == list(range(num_samples))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_generator_of_a_sample_depends_on_seed_epoch_and_key() -> None:
    def draw(**changes: object) -> int:
        return int(sample_rng(**{"seed": 1, "epoch": 2, "key": "a", **changes}).integers(1 << 40))  # type: ignore[arg-type]

    assert draw() == draw()
    assert len({draw(), draw(seed=2), draw(epoch=3), draw(key="b")}) == 4
    assert draw() == int(np.random.default_rng([1, 2, 0xE8B7BE43]).integers(1 << 40))
