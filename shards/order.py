"""Which sample comes when: pure arithmetic, a function of (number of samples, seed, place) alone."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self
from zlib import crc32

import numpy as np

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError

SampleDraw = tuple[int, int]  # (epoch of its share, index of the sample in the dataset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Samples that lie together in a dataset, and how many draws of each epoch are theirs.

    Attributes:
        start: the first of them, its index in the dataset.
        num_samples: how many they are.
        per_epoch: their draws in an epoch: ``num_samples`` to see each once.
        kind: of its samples; no batch holds samples of two kinds.
    """

    start: int = 0
    num_samples: int
    per_epoch: int
    kind: str = "videos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a loader stands in the endless stream of epochs, over all ranks together.

    Attributes:
        seed: of the order and of what is random in each sample; 0 or more.
        epoch: which pass over the dataset.
        samples_seen: how many samples of that epoch are behind us.
    """

    seed: int
    epoch: int = 0
    samples_seen: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no place has."""
        if min(self.seed, self.epoch, self.samples_seen) < 0:
            raise UsageError(
                f"Seed {self.seed}, epoch {self.epoch} and samples seen {self.samples_seen} name no place: "
                "use 0 or more for each."
            )

    def advance(self, count: int, *, num_samples: int) -> "Place":
        """Return the place ``count`` samples further on, crossing into later epochs of ``num_samples``."""
        epochs, samples_seen = divmod(self.samples_seen + count, num_samples)
        return Place(seed=self.seed, epoch=self.epoch + epochs, samples_seen=samples_seen)

    def to_dict(self) -> dict[str, int]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """Return the place of ``to_dict``."""
        return cls(**value)


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> Int64:
    """Return the order of an epoch: int64 [num_samples], a permutation.

    It sorts raw 64-bit numbers of PCG64, whose stream NumPy never changes, unlike that of ``permutation``;
    so a run can be resumed with another version of NumPy.
    """
    return _permutation(num_samples, entropy=[seed, epoch])


def _permutation(length: int, *, entropy: Sequence[int]) -> Int64:
    draws = np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(length)
    return np.argsort(draws, kind="stable").astype(np.int64, copy=False)


def epoch_len(shares: Sequence[Share], *, batch_size: int) -> int:
    """Return how many draws an epoch has: those of all shares or, of several kinds, each one's whole batches.

    Raises:
        UsageError: a kind of several has not one whole batch.
    """
    totals = {kind: sum(share.per_epoch for share in own) for kind, own in _by_kind(shares).items()}
    if len(totals) == 1:
        return sum(totals.values())
    for kind, total in totals.items():
        if total < batch_size:
            raise UsageError(
                f"A batch holds {batch_size} samples of one kind, and the data have {total} that are {kind}: "
                f"lower it with --batch-size {total} or less."
            )
    return sum(total - total % batch_size for total in totals.values())


def epoch_draws(shares: Sequence[Share], *, seed: int, epoch: int, batch_size: int = 1) -> Int64:
    """Return the draws of an epoch: int64 [M, 2], the epoch of the share and the index of the sample.

    Every share has epochs of its own, permutations of its samples, which it goes through as fast as its draws
    allow: with 50 draws an epoch for 100 samples, one half of them comes in one epoch and the other half in
    the next. So over epochs all samples of a share come equally often, and none looks the same twice. A share
    alone, each sample once, has the order of `epoch_order`.

    Of several kinds each is drawn by itself and cut into whole batches, and the batches of all are shuffled.
    """
    by_kind = [_mixed(own, seed=seed, epoch=epoch) for own in _by_kind(shares).values()]
    if len(by_kind) == 1:
        return by_kind[0]
    whole = [draws[: len(draws) - len(draws) % batch_size] for draws in by_kind]
    cut = np.concatenate(whole).reshape(-1, batch_size, 2)
    order = _permutation(len(cut), entropy=[seed, epoch, 0, len(by_kind)])
    return cut[order].reshape(-1, 2)


def _by_kind(shares: Sequence[Share]) -> dict[str, list[Share]]:
    """Return the shares of each kind that is drawn from, in the order in which kinds come first."""
    drawn: dict[str, list[Share]] = {}
    for share in shares:
        if share.per_epoch:
            drawn.setdefault(share.kind, []).append(share)
    return drawn


def _mixed(shares: Sequence[Share], *, seed: int, epoch: int) -> Int64:
    """Return the draws of shares of one kind."""
    drawn = [_share_draws(share, seed=seed, epoch=epoch) for share in shares]
    if len(drawn) == 1:
        return drawn[0]
    mixed = np.concatenate(drawn)
    return mixed[_permutation(len(mixed), entropy=[seed, epoch, len(drawn)])]


def _share_draws(share: Share, *, seed: int, epoch: int) -> Int64:
    places = np.arange(epoch * share.per_epoch, (epoch + 1) * share.per_epoch, dtype=np.int64)
    own_epochs, ranks = np.divmod(places, share.num_samples)
    indices = np.empty_like(places)
    for own_epoch in np.unique(own_epochs).tolist():
        order = epoch_order(share.num_samples, seed=seed, epoch=own_epoch)
        is_in = own_epochs == own_epoch
        indices[is_in] = order[ranks[is_in]]
    return np.stack([own_epochs, share.start + indices], axis=1)


def batches(
    shares: Sequence[Share], *, place: Place, batch_size: int, epoch_samples: int | None = None
) -> Iterator[tuple[Place, list[SampleDraw]]]:
    """Yield batches of one endless stream: the orders of all epochs, one after the other.

    Batches run across the border of epochs, so that every batch is full, nothing is lost or repeated, and
    all ranks take equal steps. The stream after a place is the same whatever the batch size was before it.

    Args:
        shares: of the dataset, see `epoch_draws`.
        place: where to begin.
        batch_size: draws of a batch.
        epoch_samples: how many of each epoch's draws are taken, all unless given. A multiple of the
            batch size makes batches end with the epoch.

    Yields:
        The place before the batch, and its ``batch_size`` draws as (epoch, index).

    Raises:
        UsageError: no samples, or a batch of none.
    """
    if batch_size < 1:
        raise UsageError(f"A batch cannot hold {batch_size} samples: use 1 or more.")
    if not any(share.per_epoch for share in shares):
        raise UsageError("No samples to draw from: choose another split or another dataset.")
    total = epoch_len(shares, batch_size=batch_size)
    length = total if epoch_samples is None else epoch_samples
    # A place at the very end of an epoch is the start of the next.
    place = place.advance(0, num_samples=length)
    stream = _stream(shares, place=place, batch_size=batch_size, epoch_samples=length)
    while True:
        yield place, [next(stream) for _ in range(batch_size)]
        place = place.advance(batch_size, num_samples=length)


def _stream(
    shares: Sequence[Share], *, place: Place, batch_size: int, epoch_samples: int
) -> Iterator[SampleDraw]:
    epoch, start = place.epoch, place.samples_seen
    while True:
        draws = epoch_draws(shares, seed=place.seed, epoch=epoch, batch_size=batch_size)
        yield from zip(*draws[start:epoch_samples].T.tolist(), strict=True)
        epoch, start = epoch + 1, 0


def rank_share(batch: Sequence[SampleDraw], *, rank: int, world_size: int) -> list[SampleDraw]:
    """Return the part of a batch that belongs to one rank: contiguous, of equal size on all ranks.

    Raises:
        UsageError: the batch does not divide by the number of ranks.
    """
    share, rest = divmod(len(batch), world_size)
    if rest or not share:
        raise UsageError(
            f"A batch of {len(batch)} does not divide among {world_size} ranks: "
            f"use a multiple of {world_size} as batch size."
        )
    return list(batch[rank * share : (rank + 1) * share])


def sample_rng(*, seed: int, epoch: int, key: str) -> np.random.Generator:
    """Return the generator for everything random in one sample in one epoch, on whatever rank or worker."""
    return np.random.default_rng([seed, epoch, crc32(key.encode())])


def eval_share(num_samples: int, *, rank: int, world_size: int) -> Int64:
    """Return the samples one rank evaluates: each on one rank, contiguous, shares differ by at most 1."""
    start = num_samples * rank // world_size
    end = num_samples * (rank + 1) // world_size
    return np.arange(start, end, dtype=np.int64)
