"""How features are stored: chosen, learned where there is something to learn, measured on other videos."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vfm.shards.array_types import Float32
from vfm.shards.codecs import scalar
from vfm.shards.codecs.product import PRODUCT, ProductTables
from vfm.shards.errors import UsageError
from vfm.shards.progress import Progress
from vfm.video2token.teachers.product import Principal, ProductEncoder
from vfm.video2token.teachers.vit import TeacherOutput

SIZES = (12, 16, 24, 32, 48, 64)  # bytes a token and level, among which the default is chosen
GOAL = 0.98  # mean cosine that the default has to reach on videos it has not learned from
_MAX_SIZE = 512
_FIRST = SIZES.index(32)
_SAFE = "int8"
_MIN_TOKENS = 4096  # sixteen for each of 256 centroids; fewer are learned by heart
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a teacher says of frames drawn from a dataset.

    Attributes:
        learned: features float32 [N, K, C] of tokens to learn from.
        held_out: the same, of other videos.
        attention: float32 [B, N], of frames of these other videos.
    """

    learned: Tensor
    held_out: Tensor
    attention: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A way to store features, and how true it is.

    Attributes:
        store: ``fp32``, ``fp16``, ``int8`` or ``pq:BYTES``.
        tables: of product codes; None for the others.
        fidelity: JSON values: ``cosine`` to float32, mean and 1st percentile (``cosine_p1``) over tokens and
            levels, ``bytes_per_token``, ``attention_rank`` (Spearman's, mean of the frames), and what else
            was tried (``curve``).
        note: what was decided for want of something, a sentence; empty where nothing was.
    """

    store: str
    tables: ProductTables | None
    fidelity: dict[str, Any]
    note: str = ""


def check_store(store: str) -> None:
    """Refuse what is no way to store features.

    Raises:
        UsageError: naming those that there are.
    """
    kind, colon, size = store.partition(":")
    is_size = size.isascii() and size.isdigit() and 1 <= int(size) <= _MAX_SIZE
    if not (kind == PRODUCT and (is_size or not colon)) and store not in scalar.DTYPES:
        raise UsageError(
            f"--store of target clip cannot be {store!r}: use one of {', '.join(scalar.DTYPES)}, pq, or "
            f"pq:BYTES with 1 to {_MAX_SIZE} bytes a token and level."
        )


def choose_storage(store: str, sample: Sample, *, progress: Progress) -> Storage:
    """Return how to store features.

    Args:
        store: of the options; ``pq`` takes the fewest bytes that reach `GOAL`, or int8.
        sample: what to learn from and to measure on.
        progress: receives progress updates.

    Raises:
        UsageError: too few tokens to learn product codes from, which were asked for.
    """
    if store in scalar.DTYPES:
        return _scalar(store, sample)
    size = store.partition(":")[2]
    if told := _too_little(sample):
        if size:
            raise UsageError(f"{told}: use --store int8.")
        return _scalar(_SAFE, sample, note=f"{told}: features are stored as int8.")
    sizes = (int(size),) if size else SIZES
    progress.start(len(sizes), "sizes of product codes")
    try:
        measure = _Measured(sample, progress=progress)
        return measure(int(size)) if size else _smallest(measure)
    finally:
        progress.finish()


def _too_little(sample: Sample) -> str:
    """Return why no product codes can be learned from a sample, a clause; empty where they can."""
    num_tokens = len(sample.learned)
    if num_tokens < _MIN_TOKENS:
        return (
            f"Product codes are learned from {_MIN_TOKENS} tokens or more, and these frames give {num_tokens}"
        )
    if not len(sample.held_out):
        return "Product codes are measured on other videos than they are learned from, and there is one alone"
    return ""


class _Measured:
    """Tables of several sizes from one sample, each learned once."""

    def __init__(self, sample: Sample, *, progress: Progress) -> None:
        self.sample = sample
        self._progress = progress
        self._principal = Principal(sample.learned)
        self.found: dict[int, Storage] = {}

    def __call__(self, size: int) -> Storage:
        """Return the storage of ``size`` bytes a token and level."""
        if size not in self.found:
            num_levels = self.sample.learned.shape[1]
            tables = self._principal.tables(size * num_levels, seed=_SEED)
            codes = ProductEncoder(tables, device=self.sample.held_out.device).encode(self.sample.held_out)
            decoded = tables.decode(codes.cpu().numpy())
            fidelity = _fidelity(decoded, self.sample, store=PRODUCT, bytes_per_token=codes.shape[1])
            self.found[size] = Storage(store=f"{PRODUCT}:{size}", tables=tables, fidelity=fidelity)
            self._progress.advance(ok=1)
            self._progress.report(f"{size} B a level: mean cosine {fidelity['cosine']:.3f}")
        return self.found[size]

    def reaches(self, size: int) -> bool:
        """Return whether it is as true as the default has to be."""
        return bool(self(size).fidelity["cosine"] >= GOAL)


def _smallest(measure: _Measured) -> Storage:
    """Return the storage of the fewest bytes that reaches the goal."""
    place = _FIRST
    if measure.reaches(SIZES[place]):
        while place > 0 and measure.reaches(SIZES[place - 1]):
            place -= 1
    else:
        while place < len(SIZES) and not measure.reaches(SIZES[place]):
            place += 1
    curve = [{"store": one.store, **one.fidelity} for _, one in sorted(measure.found.items())]
    if place < len(SIZES):
        best = measure(SIZES[place])
        return Storage(store=best.store, tables=best.tables, fidelity={**best.fidelity, "curve": curve})
    most = SIZES[-1]
    note = (
        f"No product codes of up to {most} B a level reach a cosine of {GOAL}: features are stored as int8."
    )
    safe = _scalar(_SAFE, measure.sample, note=note)
    return Storage(store=safe.store, tables=None, fidelity={**safe.fidelity, "curve": curve}, note=note)


def _scalar(store: str, sample: Sample, *, note: str = "") -> Storage:
    members = scalar.encode(sample.held_out.cpu().numpy(), store)
    size = sum(array.nbytes for array in members.values()) // max(len(sample.held_out), 1)
    fidelity = _fidelity(scalar.decode(members), sample, store=store, bytes_per_token=size)
    return Storage(store=store, tables=None, fidelity=fidelity, note=note)


def _fidelity(decoded: Float32, sample: Sample, *, store: str, bytes_per_token: int) -> dict[str, Any]:
    """Return how near decoded features [N, K, C] are to those of the sample, and the attention's ranks."""
    truth = sample.held_out.cpu()
    if not len(truth):
        return {"num_tokens": 0}
    given = torch.from_numpy(decoded)
    cosine = functional.cosine_similarity(given.double(), truth.double(), dim=-1).numpy()
    attention = sample.attention.cpu().numpy()
    kept = scalar.encode_attention(attention, store).astype(np.float32)
    ranks = [_spearman(one, other) for one, other in zip(attention, kept, strict=True)]
    return {
        "cosine": round(float(cosine.mean()), 6),
        "cosine_p1": round(float(np.quantile(cosine, 0.01)), 6),
        "bytes_per_token": bytes_per_token,
        "attention_rank": round(float(np.mean(ranks)), 6),
        "num_tokens": len(truth),
    }


def _spearman(one: Float32, other: Float32) -> float:
    """Return the correlation of ranks; equal values share the mean of theirs."""
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (one, other)]
    size = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum() / size) if size else 1.0


def _ranks(values: Float32) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    firsts = np.cumsum(counts) - counts
    ranks: np.ndarray = (firsts + (counts - 1) / 2)[inverse]
    return ranks


def sample_of(looks: Iterable[tuple[TeacherOutput, bool]], *, tokens_per_frame: int) -> Sample:
    """Return a sample of some tokens of each frame; what is not kept may go at once.

    Args:
        looks: the teacher's output for one frame after the other, [1, N, ...], and whether it is held out;
            one at least.
        tokens_per_frame: how many tokens of a frame are kept.
    """
    generator = torch.Generator().manual_seed(_SEED)
    kept: dict[bool, list[Tensor]] = {False: [], True: []}
    attention: list[Tensor] = []
    for output, is_held_out in looks:
        features = output.features[0]
        which = torch.randperm(len(features), generator=generator)[:tokens_per_frame]
        kept[is_held_out].append(features[which.to(features.device)])
        # Of a frame that is not held out nothing, but in its shape.
        attention.append(output.attention[: int(is_held_out)].clone())
    none = features[:0]
    return Sample(
        learned=torch.cat([none, *kept[False]]),
        held_out=torch.cat([none, *kept[True]]),
        attention=torch.cat(attention),
    )
