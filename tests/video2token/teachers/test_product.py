"""Product codes are learned: by strength, from a sample, and the nearest centroid is found."""

import numpy as np
import pytest
import torch

from vfm.shards.codecs.product import CODES
from vfm.trainer.data.features import ProductFeatures
from vfm.video2token.teachers.product import Principal, ProductEncoder, group_widths


def related_levels(num_tokens: int, *, seed: int = 0, dim: int = 24) -> torch.Tensor:
    """Return unit vectors [N, 3, dim] whose levels repeat each other, in a few strong directions."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=torch.Generator().manual_seed(9))
    mix = mix * (0.8 ** torch.arange(dim))[:, None]
    deep = torch.randn(num_tokens, dim, generator=generator)
    levels = [deep + 0.1 * torch.randn(num_tokens, dim, generator=generator) for _ in range(3)]
    return torch.nn.functional.normalize(torch.stack(levels, 1) @ mix, dim=-1)


def cosine(one: np.ndarray, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(torch.from_numpy(one), other, dim=-1).mean())


def test_strong_directions_make_narrow_groups() -> None:
    widths = group_widths(0.9 ** np.arange(200.0), num_groups=8)
    assert len(widths) == 8
    assert (np.diff(widths) >= 0).all()
    assert widths[0] < widths[-1]
    assert widths.sum() < 200  # the weakest take no bits
    equal = group_widths(np.full(64, 2.0), num_groups=8)
    assert equal.tolist() == [8] * 8


@pytest.mark.parametrize(("variances", "expected"), [([1.0, 1.0], 2), ([1.0, 0.0, 0.0], 1), ([0.0, 0.0], 1)])
def test_there_are_no_more_groups_than_directions_that_vary(variances: list[float], expected: int) -> None:
    widths = group_widths(np.array(variances), num_groups=5)
    assert len(widths) == expected
    assert widths.sum() <= len(variances)


def test_more_bytes_are_truer_and_other_tokens_are_met_as_well() -> None:
    principal, other = Principal(related_levels(6000)), related_levels(2000, seed=1)
    found = []
    for num_groups in (4, 8, 16):
        tables = principal.tables(num_groups, seed=0)
        codes = ProductEncoder(tables, device="cpu").encode(other)
        assert (codes.shape, codes.dtype) == ((2000, num_groups), torch.uint8)
        found.append(cosine(tables.decode(codes.numpy()), other))
    assert found == sorted(found)
    assert found[0] > 0.8
    assert found[-1] > 0.97


def test_every_group_takes_its_nearest_centroid() -> None:
    features = related_levels(3000)
    tables = Principal(features).tables(5, seed=0)
    codes = ProductEncoder(tables, device="cpu").encode(features[:50]).numpy()
    coordinates = (features[:50].flatten(1).numpy() - tables.mean) @ tables.directions.T
    for run in tables.runs():
        table = tables.table(run)
        points = coordinates[:, run.directions].reshape(50, -1, run.width)
        distances = ((points[:, :, None] - table[None]) ** 2).sum(-1)
        chosen = np.take_along_axis(distances, codes[:, run.groups, None].astype(int), axis=2)[..., 0]
        np.testing.assert_allclose(chosen, distances.min(2), atol=1e-5)


def test_tables_follow_from_sample_and_seed() -> None:
    features = related_levels(3000)
    first, again = (Principal(features).tables(6, seed=3).to_bytes() for _ in range(2))
    assert first == again
    assert Principal(features).tables(6, seed=4).to_bytes() != first


def test_codes_of_a_token_do_not_depend_on_its_neighbours() -> None:
    features = related_levels(3000)
    encoder = ProductEncoder(Principal(features).tables(6, seed=0), device="cpu")
    whole = encoder.encode(features[:64])
    torch.testing.assert_close(encoder.encode(features[:64]), whole, rtol=0, atol=0)
    assert (encoder.encode(features[:16]) == whole[:16]).float().mean() > 0.99


def test_a_sample_of_equal_tokens_is_coded_exactly() -> None:
    features = related_levels(1).expand(300, -1, -1).contiguous()
    tables = Principal(features).tables(4, seed=0)
    codes = ProductEncoder(tables, device="cpu").encode(features)
    assert cosine(tables.decode(codes.numpy()), features) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("num_levels", [3, 1])
def test_the_trainer_decodes_what_numpy_decodes(num_levels: int) -> None:
    features = related_levels(3000)
    tables = Principal(features).tables(7, seed=0)
    codes = ProductEncoder(tables, device="cpu").encode(features[:60]).reshape(3, 20, -1)
    module = ProductFeatures(tables, num_levels=num_levels)
    expected = torch.from_numpy(tables.decode(codes.numpy()))[..., -num_levels:, :]
    torch.testing.assert_close(module({CODES: codes}), expected, atol=1e-6, rtol=1e-5)
    assert module.state_dict() == {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(module({CODES: codes}), expected, atol=1e-6, rtol=1e-5)
