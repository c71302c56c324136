"""``vfm tokenize --target clip:NAME``: from stored frames to features and attention."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from vfm.cli.commands.tokenize import command
from vfm.shards.codecs.product import read_tables
from vfm.shards.codecs.scalar import decode
from vfm.shards.columns.options import views_in
from vfm.shards.columns.views import parse_views
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.progress import Progress
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.verification.verify import verify
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions
from vfm.video2token.targets import build_target
from vfm.video2token.teachers.loading import load_teacher
from vfm.video2token.teachers.storage import Sample, Storage
from vfm.video2token.teachers.vit import normalized

Stills = Callable[..., Path]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(data: Path, tiny_vit: Path, *, num_workers: int = 1, batch: int = 4, **own: Any) -> Dataset:
    options = {"crop_px": 32, "levels": 2, "store": "int8", "weights": str(tiny_vit), **own}
    tokenize(data, ["clip:test_vit"], TargetOptions(batch_size=batch, own=options), num_workers=num_workers)
    return open_dataset(data, columns=("frames", "clip.test_vit"))


def expected(dataset: Dataset, index: int, tiny_vit: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return features [T, h, w, K, C] and attention [T, h, w], each frame computed alone."""
    teacher = load_teacher("test_vit", grid=2, num_levels=2, weights=tiny_vit).teacher
    frames = np.stack(dataset.frames(index, range(int(dataset.num_frames[index]))))
    squares = torch.from_numpy(apply_view(frames, centre(32)))
    with torch.inference_mode():
        found = [teacher(normalized(one[None], mean=MEAN, std=STD, input_px=32)) for one in squares]
    features = torch.cat([one.features for one in found]).reshape(-1, 2, 2, 2, 64)
    return features.numpy(), torch.cat([one.attention for one in found]).reshape(-1, 2, 2).numpy()


@pytest.mark.parametrize(("store", "atol"), [("fp32", 1e-5), ("fp16", 3e-4), ("int8", 4e-3)])
def test_a_column_is_what_the_teacher_says_of_the_stored_frames(
    stills: Stills, tiny_vit: Path, store: str, atol: float
) -> None:
    dataset = run(stills(), tiny_vit, store=store)
    for index in range(len(dataset)):
        features, attention = expected(dataset, index, tiny_vit)
        names = ("features", "scale") if store == "int8" else ("features",)
        members = {f"{name}.npy": dataset.array(index, "clip.test_vit", name) for name in names}
        found = decode(members)[0]
        np.testing.assert_allclose(found, features, atol=atol, rtol=0)
        cosine = (found * features).sum(-1) / np.linalg.norm(found, axis=-1)
        assert cosine.min() > 0.9999
        stored = dataset.array(index, "clip.test_vit", "attention")
        assert stored.dtype == (np.float32 if store == "fp32" else np.float16)
        np.testing.assert_allclose(stored[0], attention, rtol=1e-3)
    assert [finding for finding in verify(dataset.data) if finding.file != "plan.parquet"] == []


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"normalization": "model"}, r"mean \[0.485, 0.456, 0.406\] there, \[0.5, 0.5, 0.5\] requested"),
        (
            {"views": "random:2"},
            r"views crop 32 px there, crop 32 px of a box(, mirrored)? and crop 32",
        ),
        ({"views": "resized:1"}, "views crop 32 px there, crop 32 px of a share of the area"),
    ],
)
def test_what_a_column_of_that_name_differs_in_is_told(
    stills: Stills, tiny_vit: Path, own: dict[str, Any], told: str
) -> None:
    data = stills(num_samples=3, size=(60, 50))
    run(data, tiny_vit)
    with pytest.raises(UsageError, match=f"holds another column \\({told}"):
        run(data, tiny_vit, **own)


@pytest.mark.parametrize("kind", ["random", "resized"])
def test_every_view_is_computed_from_its_own_pixels(stills: Stills, tiny_vit: Path, kind: str) -> None:
    data = stills(num_samples=3, size=(60, 50))
    dataset = run(data, tiny_vit, store="fp32", views=f"{kind}:3")
    views = views_in(dataset.manifest.columns["clip.test_vit"].options, name="c")
    assert views == parse_views(f"{kind}:3", crop_px=32)
    teacher = load_teacher("test_vit", grid=2, num_levels=2, weights=tiny_vit).teacher
    for index in range(3):
        frames = np.stack(dataset.frames(index, range(int(dataset.num_frames[index]))))
        stored = dataset.array(index, "clip.test_vit", "features")
        for number, view in enumerate(views):
            images = normalized(torch.from_numpy(apply_view(frames, view)), mean=MEAN, std=STD, input_px=32)
            with torch.inference_mode():
                features = teacher(images).features.reshape(-1, 2, 2, 2, 64)
            np.testing.assert_allclose(stored[number], features, atol=1e-5)
    assert [finding for finding in verify(data) if finding.file != "plan.parquet"] == []


def test_views_that_would_enlarge_pixels_are_told(stills: Stills, tiny_vit: Path) -> None:
    told = r"from frames of 49 px, .* has frames of 32 px, which would be enlarged 1.53 times"
    with pytest.raises(UsageError, match=told):  # 32 px of a crop of 0.66 of the short side
        run(stills(), tiny_vit, views="random:8")


def test_the_column_is_the_same_bytes_for_any_number_of_workers(
    stills: Stills, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfm.video2token.targets.clip.ClipTarget.frames_per_worker", 1)
    monkeypatch.setattr("vfm.video2token.frame_target.PART_FRAMES", 8)
    digests = []
    for num_workers in (1, 2):
        data = stills(f"of-{num_workers}", num_samples=9, num_frames=7)
        run(data, tiny_vit, num_workers=num_workers, store="fp32")
        tars = sorted((data / "clip.test_vit").glob("*.tar"))
        digests.append([hashlib.sha256(tar.read_bytes()).hexdigest() for tar in tars])
    assert len(digests[0]) == 3
    assert digests[0] == digests[1]


def test_a_frame_is_computed_alike_wherever_its_shard_ends(stills: Stills, tiny_vit: Path) -> None:
    """The last batch is filled up: what a frame gives does not depend on how many are left."""
    target = build_target("clip:test_vit", TargetOptions(batch_size=8, own=own(tiny_vit, store="fp32")))
    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    whole, part = target.compute(frames), target.compute(frames[:3])
    for field, array in whole.items():
        np.testing.assert_array_equal(part[field], array[:3])


def own(tiny_vit: Path, **changes: Any) -> dict[str, Any]:
    return {"crop_px": 32, "levels": 2, "store": "int8", "weights": str(tiny_vit), **changes}


def test_the_column_tells_all_that_its_values_follow_from(tiny_vit: Path) -> None:
    target = build_target("clip:test_vit", TargetOptions(batch_size=4, own=own(tiny_vit)))
    assert (target.name, target.kind) == ("clip.test_vit", "clip")
    assert target.fields == ("features.npy", "scale.npy", "attention.npy")
    digest = target.options.pop("weights_sha256")
    assert len(digest) == 64
    assert target.options == {
        "teacher": "test_vit",
        "projected": False,
        "levels": 2,
        "level_interval": 1,
        "dim": 64,
        "token_px": 16,
        "input_px": 32,
        "mean": list(MEAN),
        "std": list(STD),
        "precision": "fp32",
        "batch_size": 4,
        "store": "int8",
        "views": [centre(32).to_dict()],
    }


def test_the_teacher_sees_as_many_tokens_as_the_student(tiny_vit: Path) -> None:
    """Patches of 8 px make a grid of 4 x 4, for which this teacher needs frames of 64 px."""
    target = build_target("clip:test_vit", TargetOptions(batch_size=2, own=own(tiny_vit, token_px=8)))
    assert target.options["input_px"] == 64
    arrays = target.compute(np.zeros((1, 32, 32, 3), np.uint8))
    assert arrays["features.npy"].shape == (1, 4, 4, 2, 64)
    assert arrays["attention.npy"].shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"crop_px": 40}, "Frames of 40 px cannot be cut into patches of 16 px"),
        ({"levels": 7}, "has 6 blocks, so it cannot give 7 levels"),
        ({"store": "int4"}, "--store of target clip cannot be 'int4': use one of fp32, fp16, int8"),
        ({"precision": "fp8"}, "--precision of target clip cannot be 'fp8'"),
        ({"normalization": "none"}, "--normalization of target clip cannot be 'none'"),
    ],
)
def test_what_it_cannot_do_is_refused(tiny_vit: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        build_target("clip:test_vit", TargetOptions(own=own(tiny_vit, **changes)))


def test_weights_that_are_not_finite_store_nothing(stills: Stills, tiny_vit: Path, tmp_path: Path) -> None:
    state = timm.create_model("test_vit").state_dict()
    state["norm.weight"] = state["norm.weight"] * float("nan")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "nan.safetensors")
    with pytest.raises(DamageError, match="holds NaN or infinity, so nothing of it was stored: check the"):
        run(stills(), tmp_path / "nan.safetensors", store="fp32")


@pytest.fixture
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let product codes be learned from what a test has."""
    monkeypatch.setattr("vfm.video2token.teachers.storage._MIN_TOKENS", 1)


@pytest.mark.usefixtures("few_tokens")
def test_product_codes_lie_with_their_tables(stills: Stills, tiny_vit: Path) -> None:
    data = stills(num_samples=12, num_frames=9)
    dataset = run(data, tiny_vit, store="pq:16")
    column = dataset.manifest.columns["clip.test_vit"]
    assert column.fields == ("pq.npy", "attention.npy")
    assert column.options["store"] == "pq:16"
    assert column.fidelity is not None
    assert column.fidelity["bytes_per_token"] == column.options["pq_codes"]
    tables = read_tables(
        data / "clip.test_vit" / "pq.safetensors", num_levels=2, digest=column.options["pq_sha256"]
    )
    cosines = []
    for index in range(len(dataset)):
        features, _ = expected(dataset, index, tiny_vit)
        codes = dataset.array(index, "clip.test_vit", "pq")
        assert (codes.dtype, codes.shape[-1]) == (np.uint8, column.options["pq_codes"])
        found = tables.decode(codes)[0]
        cosines.append((found * features).sum(-1) / np.linalg.norm(found, axis=-1))
    assert np.mean([one.mean() for one in cosines]) > 0.97
    assert [finding for finding in verify(data) if finding.file != "plan.parquet"] == []


@pytest.mark.usefixtures("few_tokens")
def test_a_job_goes_on_with_the_tables_it_began_with(
    stills: Stills, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stills(num_samples=12, num_frames=9)
    run(data, tiny_vit, store="pq")
    folder = data / "clip.test_vit"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    manifest = (data / "dataset.json").read_bytes()
    (folder / "000001.json").unlink()
    (folder / "000001.tar").unlink()
    learned = "vfm.video2token.teachers.storage.choose_storage"
    monkeypatch.setattr(learned, lambda *_, **__: pytest.fail("learned once more"))
    run(data, tiny_vit, store="pq")
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {k: v for k, v in after.items() if k != "000001.json"} == {
        k: v for k, v in before.items() if k != "000001.json"
    }
    assert (data / "dataset.json").read_bytes() == manifest


@pytest.mark.usefixtures("few_tokens")
def test_product_codes_are_the_same_bytes_in_processes(
    stills: Stills, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tars = []
    for number, workers in enumerate((1, 2)):
        if workers > 1:
            monkeypatch.setattr("vfm.video2token.targets.clip.ClipTarget.frames_per_worker", 1)
        data = stills(f"data{number}", num_samples=12, num_frames=9)
        run(data, tiny_vit, store="pq:16", num_workers=workers)
        tars.append([path.read_bytes() for path in sorted((data / "clip.test_vit").glob("*.tar"))])
    assert tars[0] == tars[1]


@pytest.mark.usefixtures("few_tokens")
def test_tables_that_are_lost_or_changed_are_told(stills: Stills, tiny_vit: Path) -> None:
    data = stills(num_samples=12, num_frames=9)
    run(data, tiny_vit, store="pq:16")
    path = data / "clip.test_vit" / "pq.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = [(one.file, one.message) for one in verify(data) if "pq" in one.file]
    assert found[0][0] == "clip.test_vit/pq.safetensors"
    assert "Its SHA-256 is not the column's: restore it" in found[0][1]
    with pytest.raises(DamageError, match="its SHA-256 is not the column's"):
        run(data, tiny_vit, store="pq:16")
    path.unlink()
    assert any("It is missing: restore it" in one.message for one in verify(data))


@pytest.mark.parametrize(("num_samples", "num_held_out"), [(1, 0), (2, 1), (3, 1), (40, 4)])
def test_a_quarter_of_the_videos_looked_at_is_held_out(
    stills: Stills, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch, num_samples: int, num_held_out: int
) -> None:
    """However many videos there are: of forty, sixteen are looked at here."""
    monkeypatch.setattr("vfm.video2token.targets.clip._LEARNED_FRAMES", 16)
    taken: list[Sample] = []

    def take(_: str, sample: Sample, *, progress: Progress) -> Storage:
        taken.append(sample)
        return Storage(store="int8", tables=None, fidelity={})

    monkeypatch.setattr("vfm.video2token.teachers.storage.choose_storage", take)
    run(stills(num_samples=num_samples, num_frames=9, samples_per_shard=num_samples), tiny_vit, store="pq")
    assert len(taken[0].held_out) == len(taken[0].attention) * 4  # tokens of a frame
    num_drawn = (len(taken[0].learned) + len(taken[0].held_out)) // 4
    if num_samples == 40:
        assert num_drawn == 16
        assert len(taken[0].attention) == num_held_out
    assert (len(taken[0].attention) > 0) == (num_held_out > 0)
    assert len(taken[0].learned) > 0


def test_a_small_dataset_is_stored_as_int8_aloud(stills: Stills, tiny_vit: Path, tmp_path: Path) -> None:
    data = stills()
    line = [
        str(data),
        "--target",
        "clip:test_vit",
        "--crop",
        "32",
        "--levels",
        "2",
        "--weights",
        str(tiny_vit),
    ]
    done = CliRunner().invoke(command, line)
    assert done.exit_code == 0, done.output
    assert "features are stored as int8" in done.output
    assert open_dataset(data).manifest.columns["clip.test_vit"].options["store"] == "int8"
    again = CliRunner().invoke(command, line)
    assert again.exit_code == 0
    told = r"holds another column \(store int8 there, fp16 requested\)"
    with pytest.raises(UsageError, match=told):
        run(data, tiny_vit, store="fp16", batch=64)


def test_another_teacher_is_refused_at_resume(stills: Stills, tiny_vit: Path, tmp_path: Path) -> None:
    data = stills()
    run(data, tiny_vit)
    torch.manual_seed(1)
    other = {k: v.contiguous() for k, v in timm.create_model("test_vit").state_dict().items()}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match=r"holds another column \(weights_sha256 .* there, .* requested\)"):
        run(data, tmp_path / "other.safetensors")
    assert [finding for finding in verify(data) if finding.file != "plan.parquet"] == []


def test_the_command(stills: Stills, tiny_vit: Path) -> None:
    data = stills()
    line = [
        str(data),
        "--target",
        "clip:test_vit",
        "--weights",
        str(tiny_vit),
        "--crop",
        "32",
        "--levels",
        "1",
    ]
    done = CliRunner().invoke(command, [*line, "--batch", "4", "--store", "fp16"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "clip.test_vit: 6 samples, 20 frames" in done.output
    without = CliRunner().invoke(command, [str(data), "--target", "clip"])
    assert isinstance(without.exception, UsageError)
    assert "write clip:NAME, such as clip:vit_base_patch16_clip_quickgelu_224.openai" in str(
        without.exception
    )


@pytest.mark.needs("shared")
def test_a_real_vit_at_another_size(shared: Path) -> None:
    """Its attention finds what stands out: a bright square on a plain ground, wherever it is."""
    path = str(shared / "weights" / "vit_tiny_patch16_224.safetensors")
    options = {"crop_px": 160, "levels": 1, "weights": path, "store": "fp32"}
    target = build_target("clip:vit_tiny_patch16_224", TargetOptions(batch_size=2, own=options))
    frames = np.full((2, 160, 160, 3), 90, np.uint8)
    frames[0, 32:64, 32:64] = frames[1, 96:128, 112:144] = (250, 60, 20)
    attention = target.compute(frames)["attention.npy"]
    for one, (top, left) in zip(attention, [(2, 2), (6, 7)], strict=True):
        inside = one[top : top + 2, left : left + 2].mean()
        assert inside > 2 * one.mean()
