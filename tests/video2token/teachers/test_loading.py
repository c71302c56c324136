"""Names of models, and files of weights: what is taken, and what is refused in one sentence."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vfm.shards.errors import MachineError, UsageError
from vfm.video2token.teachers import loading
from vfm.video2token.teachers.loading import find_teacher, load_teacher
from vfm.video2token.teachers.weights import read_weights

CLIP = "vit_base_patch16_clip_quickgelu_224"
SIZES: dict[str, Any] = {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}


class Block(nn.Module):
    """Holds what a block of OpenAI's CLIP holds."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(16, 2)
        self.ln_1, self.ln_2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(16, 64))
        self.mlp.add_module("c_proj", nn.Linear(64, 16))

    def forward(self, x: Tensor) -> Tensor:
        return self.ln_1(x)


class Tower(nn.Module):
    """Holds what the image tower of OpenAI's CLIP holds, for a grid of 3 x 3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 8, 8, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(16))
        self.positional_embedding = nn.Parameter(torch.randn(10, 16))
        self.ln_pre, self.ln_post = nn.LayerNorm(16), nn.LayerNorm(16)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(Block(), Block())
        self.proj = nn.Parameter(torch.randn(16, 12))

    def forward(self, x: Tensor) -> Tensor:
        return self.ln_post(x)


class Clip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = Tower()
        self.logit_scale = nn.Parameter(torch.ones([]))
        self.token_embedding = nn.Embedding(5, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.visual(x)


@pytest.fixture(scope="module")
def clip() -> Clip:
    torch.manual_seed(0)
    return Clip()


def save_program(clip: Clip, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch has better ways now, OpenAI's files stay
        torch.jit.save(torch.jit.script(clip), path)


def write(clip: Clip, path: Path, form: str) -> Path:
    """Write the same weights in one of the forms in which they are handed around."""
    tower = {name: tensor.clone() for name, tensor in clip.visual.state_dict().items()}
    whole = {name: tensor.clone() for name, tensor in clip.state_dict().items()}
    if form == "safetensors":
        save_file(tower, path)
    elif form == "safetensors with the text":
        save_file(whole, path)
    elif form == "state dict":
        torch.save(tower, path)
    elif form == "checkpoint of open_clip":
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in whole.items()}}, path)
    elif form == "TorchScript":
        save_program(clip, path)
    elif form == "TorchScript in half precision":
        save_program(Clip().half(), path)
    return path


@pytest.mark.parametrize(
    "form",
    ["safetensors", "safetensors with the text", "state dict", "checkpoint of open_clip", "TorchScript"],
)
def test_the_same_weights_in_every_form(clip: Clip, tmp_path: Path, form: str) -> None:
    expected = read_weights(write(clip, tmp_path / "plain", "safetensors"))
    found = read_weights(write(clip, tmp_path / "weights", form))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)
    tower = clip.visual
    torch.testing.assert_close(found["head.weight"], tower.proj.data.T)
    torch.testing.assert_close(
        found["blocks.1.mlp.fc2.weight"], tower.transformer.resblocks[1].mlp.c_proj.weight.data
    )
    loaded = load_teacher(CLIP, grid=3, num_levels=2, weights=tmp_path / "weights", **SIZES)
    assert (loaded.projects, loaded.teacher.dim, loaded.input_px) == (True, 12, 24)


def test_halves_are_read_as_what_they_are(tmp_path: Path) -> None:
    found = read_weights(write(Clip(), tmp_path / "weights", "TorchScript in half precision"))
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    assert found["cls_token"].shape == (1, 1, 16)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def test_no_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Trap()}, "trap.pt")
    with pytest.raises(UsageError, match="trap.pt is a pickle that asks for more than weights"):
        read_weights(Path("trap.pt"))
    assert not Path("sprung").exists()


def test_a_program_is_not_run_either(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TorchScript archive whose description asks for something else than modules and tensors."""
    monkeypatch.chdir(tmp_path)
    write(clip, tmp_path / "clip.pt", "TorchScript")
    with zipfile.ZipFile("clip.pt") as good, zipfile.ZipFile("trap.pt", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, pickle.dumps(Trap()) if name.endswith("/data.pkl") else good.read(name))
    with pytest.raises(UsageError, match="trap.pt is a pickle that asks for more than weights"):
        read_weights(Path("trap.pt"))
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "holds no weights"),
        (b"PK\x03\x04 half an archive", "holds no weights"),
        (b"\x80\x02 half a pickle", "is a pickle that asks for more than weights|holds no weights"),
        (b"version https://git-lfs.github.com/spec/v1", "holds no weights"),
        (None, r"cannot be read \(No such file or directory\)"),
    ],
)
def test_what_holds_no_weights_is_one_sentence(tmp_path: Path, data: bytes | None, told: str) -> None:
    path = tmp_path / "weights"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=told):
        read_weights(path)


def test_weights_of_something_else(tmp_path: Path) -> None:
    of_a_resnet = {"visual.conv1.weight": torch.zeros(3, 3, 3, 3), "visual.bn1.weight": torch.zeros(3)}
    save_file(of_a_resnet, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="other.safetensors holds no vision transformer"):
        read_weights(tmp_path / "other.safetensors")


def test_weights_of_another_shape_name_the_first_that_differs(clip: Clip, tmp_path: Path) -> None:
    path = write(clip, tmp_path / "w.safetensors", "safetensors")
    with pytest.raises(UsageError, match="tensors differ, the first, blocks.0.attn.proj.bias, is"):
        load_teacher(CLIP, grid=3, num_levels=2, weights=path, **{**SIZES, "embed_dim": 32})
    with pytest.raises(UsageError, match="12 tensors differ, the first, blocks.2.attn.proj.bias, is absent"):
        load_teacher(CLIP, grid=3, num_levels=2, weights=path, **{**SIZES, "depth": 3})


def test_weights_of_quickgelu_are_refused_under_the_plain_name() -> None:
    with pytest.raises(
        UsageError,
        match="trained with QuickGELU.*use clip:vit_base_patch16_clip_quickgelu_224.openai",
    ):
        find_teacher("vit_base_patch16_clip_224.openai")
    right = find_teacher("vit_base_patch16_clip_quickgelu_224.openai")
    assert (right.architecture, right.tag) == ("vit_base_patch16_clip_quickgelu_224", "openai")
    assert right.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_openais_own_file_is_refused_under_the_plain_name(clip: Clip, tmp_path: Path) -> None:
    path = write(clip, tmp_path / "ViT-B-16.pt", "TorchScript")
    with pytest.raises(UsageError, match="QuickGELU, .* use clip:vit_base_patch16_clip_quickgelu_224"):
        load_teacher("vit_base_patch16_clip_224", grid=3, num_levels=2, weights=path, **SIZES)


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"timm has no model 'vit_tiny_patch16_225' \(nearest: vit_tiny_patch16_224"
    ):
        find_teacher("vit_tiny_patch16_225")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resnet18", "resnet18 is not a plain vision transformer"),
        ("vit_base_patch16_siglip_gap_224", "neither a class token nor attention pooling"),
    ],
)
def test_models_that_cannot_teach(name: str, told: str, tmp_path: Path) -> None:
    sizes = {"embed_dim": 16, "depth": 1, "num_heads": 2} if name.startswith("vit") else {}
    model = timm.create_model(name, **sizes)
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, tmp_path / "w")
    with pytest.raises(UsageError, match=told):
        load_teacher(name, grid=14, num_levels=1, weights=tmp_path / "w", **sizes)


def test_no_weights_and_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **options: Any) -> nn.Module:
        if options.get("pretrained"):
            raise OSError("We couldn't connect to the hub.\nMore words.")
        return built("test_vit")

    built = timm.create_model
    monkeypatch.setattr(loading.timm, "create_model", refuse)
    with pytest.raises(
        MachineError,
        match=r"test_vit cannot be downloaded \(We couldn't connect to the hub\): give a file",
    ):
        load_teacher("test_vit", grid=2, num_levels=1)
