"""Product codes of features: tables learned from a sample, and the codes of a batch; on any device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vfm.shards.array_types import Int64
from vfm.shards.codecs.product import NUM_CENTROIDS, ProductTables, Run

_NUM_ITERATIONS = 12
_BITS = 8.0
_CHUNK_TOKENS = 2048


class Principal:
    """The principal directions of a sample of tokens, for tables of several sizes.

    Args:
        features: float32 [N, K, C].
    """

    def __init__(self, features: Tensor) -> None:
        self.num_levels = features.shape[1]
        flat = features.flatten(1)
        self.mean = flat.mean(0)
        centred = flat - self.mean
        covariance = (centred.T @ centred).double() / len(flat)
        variances, vectors = torch.linalg.eigh(covariance)
        self.variances = variances.flip(0).clamp_min(0)
        self.directions = vectors.flip(1).T.float().contiguous()
        self.coordinates = centred @ self.directions.T

    def tables(self, num_groups: int, *, seed: int) -> ProductTables:
        """Return tables of ``num_groups`` bytes a token, or of fewer where there is no more to say."""
        widths = group_widths(self.variances.cpu().numpy(), num_groups=num_groups)
        num_directions = int(widths.sum())
        generator = torch.Generator().manual_seed(seed)
        centroids, start = [], 0
        for width in widths.tolist():
            points = self.coordinates[:, start : start + width]
            centroids.append(_k_means(points, generator=generator).flatten())
            start += width
        return ProductTables(
            mean=self.mean.cpu().numpy(),
            directions=self.directions[:num_directions].cpu().numpy(),
            widths=widths,
            centroids=torch.cat(centroids).cpu().numpy(),
            num_levels=self.num_levels,
        )


def group_widths(variances: np.ndarray, *, num_groups: int) -> Int64:
    """Return how many directions each group gets, int64 [M], so that each carries about 8 bits.

    Directions take bits as by reverse water-filling of Gaussian variables (Cover and Thomas, section 10.3.3),
    8 at most; those that get none are left out.

    Args:
        variances: float64 [D], descending.
        num_groups: M, at most; fewer where there are fewer directions that vary.
    """
    varying = variances[variances > variances[0] * 1e-9] if variances[0] > 0 else variances[:1]
    num_groups = min(num_groups, len(varying))
    logs = np.log2(np.maximum(varying, np.finfo(np.float64).tiny)) / 2
    low, high = logs.min() - _BITS, logs.max()
    for _ in range(100):
        level = (low + high) / 2
        total = np.clip(logs - level, 0, _BITS).sum()
        low, high = (level, high) if total > _BITS * num_groups else (low, level)
    bits = np.clip(logs - high, 1e-9, _BITS)[: max(int((logs > high).sum()), num_groups)]
    middles = np.cumsum(bits) - bits / 2
    groups = np.minimum((middles * num_groups / bits.sum()).astype(np.int64), num_groups - 1)
    widths = np.bincount(groups, minlength=num_groups)
    # Ascending but for rounding; in order, fewer lookups decode them.
    return np.sort(widths[widths > 0]).astype(np.int64)


class ProductEncoder:
    """Codes of features, on the device of the teacher.

    Args:
        tables: what codes stand for.
        device: where to compute.
    """

    def __init__(self, tables: ProductTables, *, device: torch.device | str) -> None:
        self._mean = torch.from_numpy(tables.mean).to(device)
        self._directions = torch.from_numpy(tables.directions).to(device)
        self._runs = [(run, torch.from_numpy(tables.table(run)).to(device)) for run in tables.runs()]

    def encode(self, features: Tensor) -> Tensor:
        """Return codes, uint8 [N, M], of features, float32 [N, K, C]."""
        flat = features.flatten(1)
        return torch.cat([self._codes(chunk) for chunk in torch.split(flat, _CHUNK_TOKENS)])

    def _codes(self, flat: Tensor) -> Tensor:
        coordinates = (flat - self._mean) @ self._directions.T
        return torch.cat([_nearest(coordinates, run, table) for run, table in self._runs], dim=1)


def _nearest(coordinates: Tensor, run: Run, table: Tensor) -> Tensor:
    """Return the nearest centroids, uint8 [N, groups], of coordinates [N, D] for one run."""
    points = coordinates[:, run.directions].reshape(len(coordinates), -1, run.width).transpose(0, 1)
    # The length of the point itself is the same for all centroids.
    scores = torch.baddbmm(table.square().sum(-1)[:, None], points, table.transpose(1, 2), alpha=-2)
    return scores.argmin(-1).T.to(torch.uint8)


def _k_means(points: Tensor, *, generator: torch.Generator) -> Tensor:
    """Return 256 centroids, float32 [256, width], of points [N, width] (Lloyd's algorithm)."""
    order = torch.randperm(len(points), generator=generator)
    centroids = points[order[torch.arange(NUM_CENTROIDS) % len(points)].to(points.device)]
    for _ in range(_NUM_ITERATIONS):
        nearest = torch.cat(list(_assigned(points, centroids)))
        counts = torch.bincount(nearest, minlength=NUM_CENTROIDS)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, points)
        # A centroid that no point is next to moves beside one of the fullest: it shares the points there.
        empty = counts == 0
        centroids = torch.where(empty[:, None], centroids, sums / counts.clamp_min(1)[:, None])
        if empty.any():
            fullest = counts.argsort(descending=True, stable=True)[: int(empty.sum())]
            shift = 1e-3 * points.std(0)
            centroids[empty] = centroids[fullest] + shift
    return centroids


def _assigned(points: Tensor, centroids: Tensor) -> Iterator[Tensor]:
    lengths = centroids.square().sum(1)
    for chunk in torch.split(points, 1 << 15):
        yield torch.addmm(lengths, chunk, centroids.T, alpha=-2).argmin(1)
