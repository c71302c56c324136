"""Product codes: what codes stand for, by hand and from a file."""

from pathlib import Path

import numpy as np
import pytest

from vfm.shards.codecs.product import ProductTables, read_tables
from vfm.shards.errors import DamageError
from vfm.shards.io.hashing import sha256


def some_tables(*, widths: tuple[int, ...] = (1, 1, 2), num_levels: int = 2) -> ProductTables:
    rng = np.random.default_rng(0)
    num_directions = sum(widths)
    directions = np.linalg.qr(rng.standard_normal((6, 6)))[0][:num_directions]
    return ProductTables(
        mean=rng.standard_normal(6).astype(np.float32),
        directions=directions.astype(np.float32),
        widths=np.array(widths, np.int64),
        centroids=rng.standard_normal(256 * num_directions).astype(np.float32),
        num_levels=num_levels,
    )


def test_codes_are_decoded_group_by_group() -> None:
    tables = some_tables()
    codes = np.random.default_rng(1).integers(0, 256, (5, 4, 3), np.uint8)
    found = tables.decode(codes)
    assert (found.shape, found.dtype) == ((5, 4, 2, 3), np.float32)
    narrow = [tables.centroids[:256], tables.centroids[256:512]]
    wide = tables.centroids[512:].reshape(256, 2)
    for place in np.ndindex(5, 4):
        one, two, three = codes[place]
        coordinates = [narrow[0][one], narrow[1][two], *wide[three]]
        expected = tables.mean + np.array(coordinates) @ tables.directions
        np.testing.assert_allclose(found[place], expected.reshape(2, 3), rtol=1e-5, atol=1e-6)


def test_groups_of_one_width_are_looked_up_together() -> None:
    runs = list(some_tables().runs())
    assert [(run.groups, run.directions, run.width) for run in runs] == [
        (slice(0, 2), slice(0, 2), 1),
        (slice(2, 3), slice(2, 4), 2),
    ]


def test_tables_come_back_from_their_file(tmp_path: Path) -> None:
    tables, path = some_tables(), tmp_path / "pq.safetensors"
    path.write_bytes(tables.to_bytes())
    assert tables.to_bytes() == some_tables().to_bytes()
    found = read_tables(path, num_levels=2, digest=sha256(path.read_bytes()))
    codes = np.arange(3, dtype=np.uint8)[None]
    np.testing.assert_array_equal(found.decode(codes), tables.decode(codes))


def test_tables_that_are_not_the_columns_are_told(tmp_path: Path) -> None:
    path = tmp_path / "pq.safetensors"
    with pytest.raises(DamageError, match=r"pq.safetensors does not hold the tables .* from a copy"):
        read_tables(path, num_levels=2, digest=None)
    path.write_bytes(some_tables().to_bytes())
    with pytest.raises(DamageError, match="its SHA-256 is not the column's"):
        read_tables(path, num_levels=2, digest="0" * 64)
    path.write_bytes(b"tables")
    with pytest.raises(DamageError, match="does not hold the tables of product codes"):
        read_tables(path, num_levels=2, digest=sha256(b"tables"))


@pytest.mark.parametrize(
    "changed",
    [
        {"widths": np.array([1, 1, 3], np.int64)},
        {"widths": np.array([], np.int64)},
        {"widths": np.array([4, 0, 0], np.int64)},
        {"centroids": np.full(256 * 4, np.nan, np.float32)},
        {"mean": np.zeros(5, np.float32)},
        {"directions": np.zeros((4, 6))},
    ],
)
def test_tables_that_do_not_fit_together_are_told(tmp_path: Path, changed: dict[str, np.ndarray]) -> None:
    tables, path = some_tables(), tmp_path / "pq.safetensors"
    kept = {name: getattr(tables, name) for name in ("mean", "directions", "widths", "centroids")}
    path.write_bytes(ProductTables(**{**kept, **changed}, num_levels=2).to_bytes())
    with pytest.raises(DamageError, match="does not hold the tables of product codes"):
        read_tables(path, num_levels=2, digest=sha256(path.read_bytes()))
