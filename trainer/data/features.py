"""A teacher's features as they are stored, made into numbers on the device that learns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vfm.shards.codecs import product, scalar
from vfm.shards.codecs.product import ProductTables, read_tables


class ScalarFeatures(nn.Module):
    """Features that are stored number by number; see `codecs.scalar`.

    Attributes:
        fields: what a batch has to hold, by the name of the member.
    """

    def __init__(self, fields: tuple[str, ...], *, num_levels: int) -> None:
        """Take the stored fields, and how many of the last levels are wanted."""
        super().__init__()
        self.fields = fields
        self._num_levels = num_levels

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float32 [..., num_levels, C] of ``features`` [..., K, C] and, with int8, ``scale``."""
        features = batch[scalar.FEATURES][..., -self._num_levels :, :].float()
        if scalar.SCALE not in self.fields:
            return features
        return features * batch[scalar.SCALE][..., -self._num_levels :, None].to(torch.float32)


class ProductFeatures(nn.Module):
    """Features that are stored as product codes; see `codecs.product`.

    Attributes:
        fields: what a batch has to hold, by the name of the member.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, tables: ProductTables, *, num_levels: int) -> None:
        """Take the tables of a column, and how many of the last levels are wanted."""
        super().__init__()
        self.fields = (product.CODES,)
        self._num_levels = num_levels
        self._runs = list(tables.runs())
        kept = num_levels * (tables.mean.size // tables.num_levels)
        # None of it is learned, and a checkpoint is the method's own alone.
        self.register_buffer("mean", torch.from_numpy(tables.mean[-kept:].copy()), persistent=False)
        self.register_buffer(
            "directions", torch.from_numpy(tables.directions[:, -kept:].copy()), persistent=False
        )
        for number, run in enumerate(self._runs):
            table = torch.from_numpy(tables.table(run).copy())
            self.register_buffer(f"table{number}", table, persistent=False)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float32 [..., num_levels, C] of codes [..., M]."""
        codes = batch[product.CODES]
        flat = codes.flatten(0, -2).long()
        parts = []
        for number, run in enumerate(self._runs):
            table: Tensor = getattr(self, f"table{number}")
            group = torch.arange(len(table), device=table.device)
            parts.append(table[group, flat[:, run.groups]].flatten(1))
        with torch.autocast(flat.device.type, enabled=False):
            features: Tensor = torch.cat(parts, dim=1) @ self.directions + self.mean
        return features.reshape(*codes.shape[:-1], self._num_levels, -1)


def open_features(
    folder: Path, options: Mapping[str, Any], *, num_levels: int
) -> ScalarFeatures | ProductFeatures:
    """Return what decodes a column of a teacher.

    Args:
        folder: of the column.
        options: of the column.
        num_levels: how many of its last levels are wanted.

    Raises:
        DamageError: the tables of product codes are not as they were written.
    """
    store = str(options["store"])
    if store.startswith(product.PRODUCT):
        path, digest = folder / product.TABLES, options.get("pq_sha256")
        tables = read_tables(path, num_levels=options["levels"], digest=digest)
        return ProductFeatures(tables, num_levels=num_levels)
    fields = (scalar.FEATURES, *((scalar.SCALE,) if store == "int8" else ()))
    return ScalarFeatures(fields, num_levels=num_levels)
