"""``vfm tokenize --target hog``: from stored frames to a column."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from vfm.cli.commands.tokenize import command
from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.pixels.hog.compute import hog
from vfm.shards.pixels.hog.definition import DEFINITIONS, MASKFEAT, SKIMAGE, HogDefinition
from vfm.shards.pixels.hog.storage import from_stored, to_stored
from vfm.shards.pixels.views import View, apply_view, centre
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions
from vfm.video2token.targets import build_target
from vfm.video2token.targets.hog import HogTarget

Stills = Callable[..., Path]
SPECS = {"hog": "hog", "hog:mmselfsup": "hog.mmselfsup", "hog:skimage": "hog.skimage"}


def run(
    data: Path, spec: str = "hog", *, num_workers: int = 1, store: str | None = None, **options: Any
) -> None:
    own = {"crop_px": 32, **({} if store is None else {"store": store})}
    tokenize(data, [spec], TargetOptions(**options, own=own), num_workers=num_workers)


def digests(folder: Path) -> list[str]:
    paths = sorted([*folder.glob("*.tar"), *folder.glob("*.parquet")])
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def stored_frames(data: Path, index: int) -> np.ndarray:
    dataset = open_dataset(data)
    frames = np.stack(dataset.frames(index, range(int(dataset.num_frames[index]))))
    return apply_view(frames, centre(32))


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
@pytest.mark.parametrize(("store", "dtype"), [(None, np.uint8), ("uint8", np.uint8), ("fp16", np.float16)])
def test_a_column_is_the_hog_of_the_stored_frames(
    stills: Stills, definition: HogDefinition, store: str | None, dtype: type
) -> None:
    data = stills()
    spec = f"hog:{definition.name}"
    run(data, spec, store=store)
    column = "hog" if definition is MASKFEAT else f"hog.{definition.name}"
    dataset = open_dataset(data, columns=("frames", column))
    for index in range(6):
        found = dataset.array(index, column, "hog")
        expected = hog(stored_frames(data, index), definition)
        assert (found.dtype, found.shape) == (dtype, (1, len(expected), 2, 2, 108))
        assert np.array_equal(found[0], to_stored(expected, store or "uint8"))
        assert np.abs(from_stored(found[0]) - expected).max() < 1 / 509
    assert [finding for finding in verify(data) if finding.file != "plan.parquet"] == []


def test_the_column_tells_all_that_its_values_follow_from() -> None:
    target = build_target("hog", TargetOptions())
    assert (target.name, target.kind, target.fields) == ("hog", "hog", ("hog.npy",))
    assert target.options == {
        "definition": "maskfeat",
        "gradient": "sobel",
        "angle_from": "vertical",
        "num_bins": 9,
        "cell_px": 8,
        "token_px": 16,
        "window_px": 0,
        "epsilon": 0.0,
        "store": "uint8",
        "scale": 255,
        "views": [centre(224).to_dict()],
    }
    other = build_target("hog:skimage", TargetOptions(batch_size=2, own={"crop_px": 112, "store": "fp16"}))
    changes = {"definition": "skimage", "gradient": "central", "angle_from": "horizontal", "epsilon": 1e-5}
    changes |= {"store": "fp16", "scale": 1, "views": [centre(112).to_dict()]}
    assert other.options == {**target.options, **changes}
    assert build_target("hog:maskfeat", TargetOptions()).options == target.options


@pytest.mark.parametrize(("spec", "name"), SPECS.items())
def test_the_name_is_the_definitions_or_the_users(spec: str, name: str) -> None:
    assert build_target(spec, TargetOptions()).name == name
    assert build_target(spec, TargetOptions(name="mine")).name == "hog.mine"


def test_a_standard_frame_gives_14x14_tokens_of_108_values() -> None:
    target = build_target("hog", TargetOptions())
    assert isinstance(target, HogTarget)
    frames = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    values = target.compute(frames)["hog.npy"]
    assert (values.dtype, values.shape) == (np.uint8, (2, 14, 14, 108))
    assert np.array_equal(values, to_stored(hog(frames), "uint8"))


def test_torch_operations_give_the_column_of_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 48, 48, 3), np.uint8)
    for spec in SPECS:
        target = build_target(spec, TargetOptions(own={"crop_px": 48}))
        compiled = target.compute(frames)["hog.npy"]  # type: ignore[attr-defined]
        monkeypatch.setattr(target, "_device", "cpu:0")  # what is not "cpu" is computed by torch
        assert np.array_equal(target.compute(frames)["hog.npy"], compiled)  # type: ignore[attr-defined]


def test_every_view_has_its_own_values(stills: Stills) -> None:
    data = stills()
    views = (centre(32), View(resize_px=48, crop_px=32, top="start", flip=True))
    target = HogTarget(SKIMAGE, name="hog", views=views, store="fp16", batch_size=3, device="cpu")
    (arrays,) = target.rows(open_dataset(data), [4])
    frames = np.stack(open_dataset(data).frames(4, range(4)))
    for number, view in enumerate(views):
        expected = to_stored(hog(apply_view(frames, view), SKIMAGE), "fp16")
        assert np.array_equal(arrays["hog.npy"][number], expected)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 7}, {"num_workers": 2}])
def test_bytes_do_not_depend_on_batch_and_workers(
    stills: Stills, monkeypatch: pytest.MonkeyPatch, options: dict[str, int]
) -> None:
    monkeypatch.setattr("vfm.video2token.target.Target.frames_per_worker", 1)
    monkeypatch.setattr("vfm.video2token.frame_target.PART_FRAMES", 4)
    data, other = stills(), stills("other")
    run(data)
    run(other, **options)
    assert digests(data / "hog") == digests(other / "hog")
    assert len(digests(data / "hog")) == 4


def test_black_frames_have_finite_values() -> None:
    for spec in SPECS:
        target = build_target(spec, TargetOptions(own={"crop_px": 32, "store": "fp16"}))
        values = target.compute(np.zeros((2, 32, 32, 3), np.uint8))["hog.npy"]  # type: ignore[attr-defined]
        assert np.array_equal(values, np.zeros((2, 2, 2, 108), np.float16))


def test_another_storage_of_that_name_is_refused(stills: Stills) -> None:
    data = stills()
    run(data)
    with pytest.raises(
        UsageError, match=r"hog holds another column \(store uint8 there, fp16 requested; scale"
    ):
        run(data, store="fp16")
    run(data, store="fp16", name="half")
    assert set(read_manifest(data).columns) == {"frames", "hog", "hog.half"}


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(
        UsageError, match="Unknown HOG definition 'dalal': use one of maskfeat, mmselfsup, skimage"
    ):
        build_target("hog:dalal", TargetOptions())
    with pytest.raises(UsageError, match="220 px cannot be cut into tokens of 16 px: use 224, or another"):
        build_target("hog", TargetOptions(own={"crop_px": 220}))
    with pytest.raises(UsageError, match="7 px cannot be cut into tokens of 16 px: use 16, or another"):
        build_target("hog", TargetOptions(own={"crop_px": 7}))
    with pytest.raises(UsageError, match="HOG cannot be stored as 'int4': use one of uint8, fp16"):
        build_target("hog", TargetOptions(own={"store": "int4"}))
    with pytest.raises(UsageError, match=r"A column cannot be called 'a\.b': use letters, digits, - and _"):
        build_target("hog", TargetOptions(name="a.b"))
    with pytest.raises(UsageError, match="Target hog: crop_px is 'big', but must be a whole number"):
        build_target("hog", TargetOptions(own={"crop_px": "big"}))
    with pytest.raises(
        UsageError, match=r"Target hog has no option --weights \(its own are: --crop, --store"
    ):
        build_target("hog", TargetOptions(own={"weights": "x"}))
    with pytest.raises(UsageError, match="Device cuda:99 cannot be used"):
        build_target("hog", TargetOptions(device="cuda:99"))


def test_storage_is_an_option_of_the_command(stills: Stills) -> None:
    data = stills()
    arguments = [str(data), "--target", "hog", "--crop", "32", "--store", "fp16", "--json"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    (column,) = json.loads(done.stdout)["columns"]
    assert (column["column"], column["num_samples"], column["num_frames"]) == ("hog", 6, 20)
    assert open_dataset(data, columns=["hog"]).array(0, "hog", "hog").dtype == np.float16
