import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.beside import check_kept
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.preview.contact_sheet import make_sheet
from vfm.video2token.target import TargetOptions
from vfm.video2token.targets import build_target
from vfm.video2token.tokenizers.dalle.model import (
    DalleConfig,
    DalleDecoder,
    DalleEncoder,
    map_pixels,
    unmap_pixels,
)
from vfm.video2token.tokenizers.dalle.tokenizer import load_dalle
from vfm.video2token.tokenizers.dalle.weights import load_decoder, load_encoder, read_weights
from vfm.video2token.tokenizers.saved import load_saved

TINY = DalleConfig(hidden=4, num_blocks=1, vocab_size=7, first=3)


def make(module):
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(generator=generator)
    return module.requires_grad_(False)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_file(make(DalleEncoder(TINY)).state_dict(), tmp_path / "encoder.safetensors")
    save_file(make(DalleDecoder(TINY)).state_dict(), tmp_path / "decoder.safetensors")
    return tmp_path


def test_the_released_sizes_have_the_published_numbers_of_parameters():
    with torch.device("meta"):
        encoder, decoder = DalleEncoder(DalleConfig()), DalleDecoder(DalleConfig())
    assert (len(encoder.state_dict()), sum(p.numel() for p in encoder.parameters())) == (74, 53_786_240)
    assert (len(decoder.state_dict()), sum(p.numel() for p in decoder.parameters())) == (76, 43_829_766)
    shapes = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    assert shapes["blocks.group_3.block_1.res_path.conv_1.w"] == (256, 512, 3, 3)
    assert shapes["blocks.group_4.block_1.id_path.w"] == (2048, 1024, 1, 1)
    shapes = {name: tuple(tensor.shape) for name, tensor in decoder.state_dict().items()}
    assert shapes["blocks.group_1.block_1.res_path.conv_1.w"] == (512, 128, 1, 1)
    assert shapes["blocks.group_4.block_2.res_path.conv_4.w"] == (256, 64, 3, 3)


@pytest.mark.needs("shared")
def test_logits_and_codes_are_those_of_the_reference(shared):
    encoder, _ = load_encoder(shared / "golden" / "dvae_encoder_pickle_a.pkl")
    expected = load_file(shared / "golden" / "dvae_encoder_a.safetensors")
    mapped = map_pixels(expected["input/images"])
    torch.testing.assert_close(mapped, expected["output/mapped"], atol=0, rtol=0)
    x = encoder.blocks.input(mapped)
    for group in range(1, 5):
        x = encoder.blocks.get_submodule(f"group_{group}")(x)
        torch.testing.assert_close(x, expected[f"output/group_{group}"], atol=1e-4, rtol=1e-4)
    logits = encoder(mapped)
    torch.testing.assert_close(logits, expected["output/logits"], atol=1e-4, rtol=1e-4)
    assert torch.equal(logits.argmax(1), expected["output/codes"])


@pytest.mark.needs("shared")
def test_reconstructions_are_those_of_the_reference(shared):
    decoder, _ = load_decoder(shared / "golden" / "dvae_decoder_pickle_a.pkl")
    expected = load_file(shared / "golden" / "dvae_decoder_a.safetensors")
    codes = expected["input/codes"]
    torch.testing.assert_close(decoder(codes), expected["output/stats"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(decoder.images(codes), expected["output/reconstruction"], atol=1e-5, rtol=0)


@pytest.mark.needs("shared")
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_pickle_holds_the_same_tensors_as_the_safetensors(shared, part):
    pickled = read_weights(shared / "golden" / f"dvae_{part}_pickle_a.pkl").tensors
    plain = load_file(shared / "golden" / f"dvae_{part}_a.safetensors")
    expected = {name.removeprefix("param/"): t for name, t in plain.items() if name.startswith("param/")}
    assert pickled.keys() == expected.keys()
    assert all(torch.equal(pickled[name], expected[name]) for name in expected)


def test_sides_that_are_no_multiple_of_8_lose_their_rest():
    encoder = make(DalleEncoder(TINY))
    image = torch.rand(1, 3, 50, 37, generator=torch.Generator().manual_seed(1))
    assert encoder(map_pixels(image)).shape == (1, 7, 6, 4)
    cut = encoder(map_pixels(torch.rand(1, 3, 16, 24)))
    assert cut.shape == (1, 7, 2, 3)


def test_pixels_are_mapped_and_unmapped():
    pixels = torch.tensor([0.0, 0.5, 1.0])
    torch.testing.assert_close(map_pixels(pixels), torch.tensor([0.1, 0.5, 0.9]))
    torch.testing.assert_close(
        unmap_pixels(torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])), torch.tensor([0.0, 0, 0.5, 1, 1])
    )


def test_looking_codes_up_is_the_convolution_of_one_hot_codes():
    decoder = make(DalleDecoder(TINY))
    codes = torch.tensor([[[0, 6], [3, 2]]])
    one_hot = torch.nn.functional.one_hot(codes, 7).permute(0, 3, 1, 2).float()
    x = one_hot
    for layer in decoder.blocks.children():
        x = layer(x)
    torch.testing.assert_close(decoder(codes), x)


def test_sizes_are_told_by_the_shapes(saved):
    encoder, digest = load_encoder(saved / "encoder.safetensors")
    assert encoder.config == replace(TINY, first=128)
    assert len(digest) == 64
    decoder, _ = load_decoder(saved / "decoder.safetensors")
    assert decoder.config == TINY
    assert not any(parameter.requires_grad for parameter in decoder.parameters())


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["VFM_EVIL"],)


def test_a_pickle_that_runs_code_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("VFM_EVIL", str(tmp_path / "ran"))
    torch.save({"w": Evil()}, tmp_path / "zip.pkl")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("zip.pkl", "plain.pkl"):
        with pytest.raises(UsageError, match=rf"{name} .*take the file that OpenAI released"):
            load_encoder(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_wrong_and_damaged_files_are_told(saved, tmp_path):
    with pytest.raises(UsageError, match=r"decoder\.safetensors does not fit .* or the decoder"):
        load_encoder(saved / "decoder.safetensors")
    with pytest.raises(
        UsageError, match=r"gone\.pkl cannot be read \(No such file or directory\): name the folder"
    ):
        load_encoder(tmp_path / "gone.pkl")
    data = (saved / "encoder.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match=r"cut\.safetensors holds no weights of DALL-E's tokenizer"):
        load_encoder(tmp_path / "cut.safetensors")
    torch.save(np.zeros(3).tolist(), tmp_path / "list.pkl")
    with pytest.raises(UsageError, match=r"list\.pkl holds no weights"):
        load_encoder(tmp_path / "list.pkl")
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match=r"x\.safetensors holds no weights"):
        load_decoder(tmp_path / "x.safetensors")


def test_codes_of_a_dataset_are_those_of_the_encoder(saved, stills):
    data = stills()
    (result,) = tokenize(data, ["vq:dalle"], TargetOptions(own={"crop_px": 32, "weights": str(saved)}))
    assert result.column == "vq.dalle"
    dataset = open_dataset(data, columns=("frames", "vq.dalle"))
    options = dataset.manifest.columns["vq.dalle"].options
    assert (options["vocab_size"], options["stride"], options["dtype"]) == (7, 8, "uint8")
    encoder, digest = load_encoder(saved / "encoder.safetensors")
    assert options["weights_sha256"] == digest
    frames = apply_view(np.stack(dataset.frames(1, range(int(dataset.num_frames[1])))), centre(32))
    logits = encoder(map_pixels(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255))
    assert np.array_equal(dataset.array(1, "vq.dalle", "codes")[0], logits.argmax(1).numpy())


def test_any_number_of_processes_makes_the_same_codes(saved, stills, monkeypatch):
    monkeypatch.setattr("vfm.video2token.target.Target.frames_per_worker", 1)
    data = stills()
    tokenize(data, ["vq:dalle"], TargetOptions(own={"crop_px": 32, "weights": str(saved)}), num_workers=1)
    tars = {path.name: path.read_bytes() for path in (data / "vq.dalle").glob("*.tar")}
    shutil.rmtree(data / "vq.dalle")
    tokenize(data, ["vq:dalle"], TargetOptions(own={"crop_px": 32, "weights": str(saved)}), num_workers=2)
    assert {path.name: path.read_bytes() for path in (data / "vq.dalle").glob("*.tar")} == tars


def test_a_column_keeps_the_decoder_and_can_be_looked_at(saved, stills, tmp_path):
    data = stills()
    tokenize(data, ["vq:dalle"], TargetOptions(own={"crop_px": 32, "weights": str(saved)}))
    codes = torch.randint(0, 7, (3, 2, 4), generator=torch.Generator().manual_seed(0))
    kept = load_saved(data / "vq.dalle" / "codebook")
    full = load_dalle(saved)
    assert (kept.weights_sha256, kept.vocab_size) == (full.weights_sha256, full.vocab_size)
    rebuilt = kept.decode(codes).int()
    assert rebuilt.shape == (3, 16, 32, 3)
    # It is kept in half precision.
    assert (rebuilt - full.decode(codes).int()).abs().max() <= 1
    make_sheet(data, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    with pytest.raises(UsageError, match="encoding takes DALL-E's encoder"):
        kept.encode(torch.zeros(1, 8, 8, 3, dtype=torch.uint8))
    path = data / "vq.dalle" / "codebook" / "decoder.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamageError, match=r"decoder\.safetensors is damaged .*SHA-256"):
        load_saved(data / "vq.dalle" / "codebook")


@pytest.mark.parametrize("wrong", [None, -1, 10**30, "x", [], 3.5])
def test_a_forged_description_of_the_decoder_is_told(saved, stills, wrong):
    data = stills()
    tokenize(data, ["vq:dalle"], TargetOptions(own={"crop_px": 32, "weights": str(saved)}))
    folder = data / "vq.dalle" / "codebook"
    assert list(check_kept(folder, weights_sha256=load_saved(folder).weights_sha256)) == []
    config = read_sealed(folder / "config.json")
    sizes = [{**config, "decoder": {**config["decoder"], name: wrong}} for name in config["decoder"]]
    for forged in [
        *sizes,
        *({**config, name: wrong} for name in ("decoder", "decoder_sha256", "vocab_size")),
    ]:
        write_sealed(folder / "config.json", forged)
        with pytest.raises(DamageError, match="is damaged"):
            load_saved(folder)


def test_without_a_decoder_codes_are_made_and_not_looked_at(saved, stills, tmp_path):
    (saved / "decoder.safetensors").unlink()
    data = stills()
    tokenize(data, ["vq:dalle"], TargetOptions(own={"crop_px": 32, "weights": str(saved)}))
    with pytest.raises(UsageError, match=r"keeps no decoder of DALL-E: make the column with decoder\.pkl"):
        make_sheet(data, tmp_path / "sheet.png")


def test_weights_that_are_not_there_are_told(saved, tmp_path):
    with pytest.raises(UsageError, match="needs DALL-E's weights: give --weights the folder of encoder.pkl"):
        build_target("vq:dalle", TargetOptions())
    with pytest.raises(UsageError, match=r"holds no encoder\.pkl or encoder\.safetensors: put there"):
        build_target("vq:dalle", TargetOptions(own={"weights": str(tmp_path / "nothing")}))
    with pytest.raises(UsageError, match="has its weights in its folder: remove --weights"):
        build_target("vq:some/folder", TargetOptions(own={"weights": str(saved)}))
    save_file(make(DalleDecoder(replace(TINY, vocab_size=9))).state_dict(), saved / "decoder.safetensors")
    with pytest.raises(UsageError, match=r"has 9 codes and .*encoder\.safetensors 7: take both from one"):
        build_target("vq:dalle", TargetOptions(own={"weights": str(saved)}))
