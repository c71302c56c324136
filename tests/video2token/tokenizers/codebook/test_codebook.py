import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.video2token.tokenizers.codebook.codebook import (
    Codebook,
    CodebookConfig,
    load_codebook,
    nearest,
    save_codebook,
)
from vfm.video2token.tokenizers.codebook.network import to_frames, to_pixels


def make_codebook(*, vocab_size: int = 64) -> Codebook:
    """Return a codebook with random weights, spread enough for all kinds of codes."""
    generator = torch.Generator().manual_seed(0)
    codebook = Codebook(CodebookConfig(name="random", vocab_size=vocab_size))
    codebook.network.initialize(generator)
    codebook.table.copy_(torch.randn(codebook.table.shape, generator=generator))
    return codebook.requires_grad_(False).eval()


def noise(*shape: int) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_pixels_and_frames_are_inverse() -> None:
    frames = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 16, 16, 3)
    pixels = to_pixels(frames)
    assert (pixels.min(), pixels.max()) == (-1, 1)
    assert torch.equal(to_frames(pixels), frames)
    assert to_frames(2 * pixels).unique().tolist()[:: 255 // 5][0] == 0  # beyond white and black: cut off


def test_nearest_is_what_a_search_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, table = torch.randn(50, 4, generator=generator), torch.randn(9, 4, generator=generator)
    assert torch.equal(nearest(rows, table), torch.cdist(rows, table).argmin(1))


def test_one_code_for_64_pixels_and_back() -> None:
    codebook = make_codebook()
    codes = codebook.encode(noise(3, 16, 40, 3))
    assert (codes.shape, codes.dtype) == ((3, 2, 5), torch.int64)
    assert 0 <= codes.min() <= codes.max() < 64
    assert len(codes.unique()) > 10
    rebuilt = codebook.decode(codes)
    assert (rebuilt.shape, rebuilt.dtype) == ((3, 16, 40, 3), torch.uint8)
    assert rebuilt.is_contiguous()


def test_no_frames_give_no_codes() -> None:
    codebook = make_codebook()
    codes = codebook.encode(noise(0, 16, 24, 3))
    assert codes.shape == (0, 2, 3)
    assert codebook.decode(codes).shape == (0, 16, 24, 3)


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("side_px", [32, 128])
def test_codes_do_not_depend_on_the_frames_beside(num_threads: int, side_px: int) -> None:
    codebook, frames = make_codebook(vocab_size=1024), noise(15, side_px, side_px, 3)
    before = torch.get_num_threads()
    expected = codebook.encode(frames)
    torch.set_num_threads(num_threads)
    try:
        for batch_size in (1, 2, 7):
            codes = torch.cat([codebook.encode(batch) for batch in frames.split(batch_size)])
            assert torch.equal(codes, expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("side_px", "allowed"), [(60, 56), (7, 8), (0, 8), (129, 128)])
def test_a_side_that_cannot_be_cut_into_codes_is_refused(side_px: int, allowed: int) -> None:
    with pytest.raises(UsageError, match=rf"A frame side of {side_px} px .* use {allowed} or another"):
        make_codebook().encode(torch.zeros(1, side_px, 64, 3, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["", "a.b", "a b", "-a", "a/b", "ü", "a" * 65])
def test_a_name_that_cannot_be_a_columns_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="letters, digits, - and _"):
        CodebookConfig(name=name)


@pytest.mark.parametrize("vocab_size", [1, 65537])
def test_a_codebook_that_cannot_be_stored_is_refused(vocab_size: int) -> None:
    with pytest.raises(UsageError, match="use 2 to 65536"):
        CodebookConfig(name="a", vocab_size=vocab_size)


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    codebook = make_codebook()
    codebook.facts = {"quality": {"psnr_db": 20.5}}
    save_codebook(codebook, tmp_path)
    loaded = load_codebook(tmp_path)
    assert (loaded.config, loaded.facts) == (codebook.config, codebook.facts)
    assert (loaded.name, loaded.stride, loaded.vocab_size) == ("random", 8, 64)
    assert loaded.weights_sha256 == codebook.weights_sha256
    frames = noise(2, 32, 32, 3)
    assert torch.equal(loaded.encode(frames), codebook.encode(frames))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codebook.safetensors", "config.json"]


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_codebook(make_codebook(), tmp_path / name)
    for file in ("codebook.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.fixture
def copy(tiny_codebook: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_codebook, tmp_path / "copy"))


def test_a_folder_without_a_codebook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="is not a codebook, it has no config.json: make one with `vfm fit-codebook"
    ):
        load_codebook(tmp_path)
    (tmp_path / "config.json").write_text('{"model": "of something else"}')
    with pytest.raises(UsageError, match="is not a codebook, its config.json is of another kind"):
        load_codebook(tmp_path)
    write_sealed(tmp_path / "config.json", {"format": "something else"})
    with pytest.raises(UsageError, match="is not a codebook, its config.json is of another kind"):
        load_codebook(tmp_path)


def test_a_newer_format_is_refused(copy: Path) -> None:
    write_sealed(copy / "config.json", {**read_sealed(copy / "config.json"), "format_version": 2})
    with pytest.raises(UsageError, match="format 2 and this vfm reads format 1"):
        load_codebook(copy)


def test_any_flipped_bit_is_found(copy: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("codebook.safetensors", "config.json"):
        sound = (copy / name).read_bytes()
        for _ in range(20):
            damaged = bytearray(sound)
            damaged[rng.integers(len(sound))] ^= 1 << int(rng.integers(8))
            (copy / name).write_bytes(damaged)
            with pytest.raises((DamageError, UsageError)):
                load_codebook(copy)
        (copy / name).write_bytes(sound)
    assert load_codebook(copy).name == "tiny"


def test_lost_weights_are_named(copy: Path) -> None:
    (copy / "codebook.safetensors").unlink()
    with pytest.raises(DamageError, match=r"has lost its codebook\.safetensors: restore"):
        load_codebook(copy)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    value = read_sealed(copy / "config.json")
    value["config"]["vocab_size"] = 17
    write_sealed(copy / "config.json", value)
    with pytest.raises(DamageError, match=r"does not hold what its config\.json describes"):
        load_codebook(copy)
