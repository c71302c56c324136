"""vfm in Python says what the command line says, in a line."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import vfm
from support.weights import random_state
from vfm.api import extraction_for
from vfm.trainer.export.features import EmbedOptions, features_of
from vfm.trainer.export.model import Origin, model_of
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.files import write_weights
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.options import ExtractOptions


def drawn(name, *settings, columns=None):
    recipe = override(load_recipe(name), settings)
    state = {key: 0.1 * tensor for key, tensor in random_state(recipe).items()}
    return model_of(recipe, state, origin=Origin(columns=columns or {}))


def frames_of(**options):
    return {"frames": {"options": ExtractOptions(**options).to_column()}}


def test_importing_vfm_loads_nothing():
    code = "import sys, vfm; print(sorted({'torch', 'numpy', 'av', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_names_are_there_and_others_are_not():
    assert set(vfm.__all__) <= set(dir(vfm))
    for name in vfm.__all__:
        assert getattr(vfm, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = vfm.absent


def test_a_file_is_opened_as_a_model(tmp_path):
    recipe = load_recipe("videomae-tiny-classify")
    state = {key: 0.1 * tensor for key, tensor in random_state(recipe).items()}
    said = AboutWeights(recipe=recipe, made_from="vfm", columns=frames_of(fps=2), classes=("a", "b", "c"))
    write_weights(tmp_path / "x.safetensors", state, container="", metadata=said.to_metadata())
    model = vfm.from_pretrained(str(tmp_path / "x.safetensors"))
    assert isinstance(model, vfm.VideoModel)
    assert (model.classes, model.training) == (("a", "b", "c"), False)
    assert model.origin.columns["frames"]["options"]["fps"] == 2
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())
    with pytest.raises(vfm.VfmError, match="holds no checkpoint"):
        vfm.from_pretrained(tmp_path / "absent")


def test_videos_are_extracted_as_those_that_a_model_learned_from():
    learned = frames_of(fps=3, size_px=48, quality=80)
    assert extraction_for(drawn("videomae-tiny", columns=learned)) == ExtractOptions(
        fps=3, size_px=48, quality=80
    )
    timed = drawn("videomae-tiny", "data.seconds_apart=0.25")
    assert extraction_for(timed) == ExtractOptions(fps=4, size_px=64)
    assert extraction_for(drawn("umt-tiny")) == ExtractOptions(sampling="uniform", num_frames=32, size_px=160)
    with pytest.raises(vfm.VfmError, match="Nothing says how far the frames were apart that videomae-tiny"):
        extraction_for(drawn("videomae-tiny"))
    with pytest.raises(vfm.VfmError, match="vimpac-tiny reads vq.* and no frames"):
        extraction_for(drawn("vimpac-tiny"))


@pytest.fixture
def videos(shared):
    return (
        sorted((shared / "videos/labelled/fight").glob("*"))[:3]
        or sorted(path for path in (shared / "videos/labelled").rglob("*.mp4"))[:3]
    )


@pytest.mark.needs("shared")
def test_features_of_videos_are_those_of_their_dataset(videos, tmp_path):
    model = drawn("videomae-tiny", columns=frames_of(fps=2, size_px=64))
    calls = []
    backwards = videos[::-1]
    found = vfm.embed(model, backwards, num_workers=2, progress=lambda *call: calls.append(call))
    assert (found.dtype, found.shape) == (np.float32, (3, 96))
    assert (0, 3, "videos") in calls
    assert (3, 3, "videos") in calls
    assert calls[-1] == (3, 3, "samples")
    extract(videos, tmp_path / "data", ExtractOptions(fps=2, size_px=64))
    dataset = vfm.open_dataset(tmp_path / "data")
    how = EmbedOptions(say=print, accept_data=True, num_clips=5)
    order = [next(i for i in range(3) if dataset.meta(i).source == path.name) for path in backwards]
    np.testing.assert_array_equal(found, features_of(model, dataset.select(order), how=how))
    np.testing.assert_array_equal(vfm.embed(model, dataset.select(order)), found)
    one = vfm.embed(model, str(videos[0]))
    np.testing.assert_allclose(one, found[-1], rtol=1e-4, atol=1e-5)
    assert vfm.embed(model, []).shape == (0, 96)


@pytest.mark.needs("shared")
def test_what_is_enlarged_is_told_by_the_logger(videos, caplog):
    model = drawn("videomae-tiny", "model.image_px=512", "model.patch_px=64", "data.seconds_apart=0.5")
    with caplog.at_level(logging.WARNING, logger="vfm"):
        vfm.embed(model, videos[0])
    assert any("which would be enlarged" in message for message in caplog.messages)


@pytest.mark.needs("shared")
def test_a_video_of_which_a_part_can_be_decoded_is_told(shared, caplog):
    model = drawn("videomae-tiny", columns=frames_of(fps=2, size_px=64))
    with caplog.at_level(logging.WARNING, logger="vfm"):
        vfm.embed(model, shared / "badvideos/files/b10_zeroed_page.mp4")
    assert any("1 of 1 video could be decoded in part alone" in message for message in caplog.messages)


@pytest.mark.needs("shared")
def test_videos_that_cannot_be_decoded_are_named(videos, shared, tmp_path):
    model = drawn("videomae-tiny", columns=frames_of(fps=2, size_px=64))
    (tmp_path / "text.mp4").write_text("no video")
    shutil.copy(videos[0], tmp_path / "good.mp4")
    with pytest.raises(vfm.VfmError, match=r"1 of 2 videos cannot be decoded: text.mp4 \(\w+: .*\); leave"):
        vfm.embed(model, [tmp_path / "good.mp4", tmp_path / "text.mp4"])
    (tmp_path / "list.csv").write_text(f"path\n{videos[0]}\n{videos[1]}\n")
    for given, told in [
        (tmp_path, "is a folder: open a dataset with vfm.open_dataset"),
        (tmp_path / "absent.mp4", "does not exist"),
        (tmp_path / "list.csv", "1 file make 2 videos"),
    ]:
        with pytest.raises(vfm.VfmError, match=told):
            vfm.embed(model, given)


def test_a_classifier_gives_what_lies_before_its_layer(toy_dataset):
    model = drawn("videomae-tiny-classify", "data.stride=1")
    dataset = vfm.open_dataset(toy_dataset())
    how = EmbedOptions(say=print, accept_data=True)
    before = features_of(model, dataset, how=how)
    assert before.shape == (len(dataset), model.num_features)
    model.reset_classifier(0)
    np.testing.assert_array_equal(features_of(model, dataset, how=how), before)


def test_paths_may_be_text(tmp_path):
    with pytest.raises(vfm.VfmError, match=str(Path("absent"))):
        vfm.from_pretrained("absent")


@pytest.fixture
def data(toy_dataset):
    return toy_dataset(num_samples=7, splits=("train", "val", ""))


def test_a_dataset_opens_by_patterns_of_columns(data):
    dataset = vfm.open_dataset(str(data), columns=["frames", "vq.*", "vq.toy"], split="train")
    assert isinstance(dataset, vfm.Dataset)
    assert dataset.columns == ("frames", "vq.toy")
    assert list(dataset.keys) == ["clip-000", "clip-003", "clip-006"]
    assert vfm.open_dataset(data).columns == ("frames",)


def test_what_cannot_be_opened_is_told(data, toy_dataset, tmp_path):
    several = toy_dataset("several", columns=("vq.a", "vq.b"))
    attempts = {
        (several, ("vq.*",)): f"Columns vq.a, vq.b of {several} all match 'vq.*': name one of them.",
        (data, "hog"): "columns is the text 'hog': write a list, columns=['hog'].",
        (data, ("hog*",)): f"{data} has no column hog* (columns: frames, vq.toy): make it with "
        f"`vfm tokenize {data} --target hog`.",
        (tmp_path / "nowhere", ("frames",)): f"{tmp_path}/nowhere is not a vfm dataset: make one with "
        f"`vfm extract VIDEOS {tmp_path}/nowhere`.",
    }
    for (path, columns), told in attempts.items():
        with pytest.raises(vfm.VfmError) as caught:
            vfm.open_dataset(path, columns=columns)
        assert str(caught.value) == told
    with pytest.raises(
        vfm.VfmError,
        match=r"has no sample of split 'test': choose one of these: train \(3\), val \(2\), all \(7\)\.",
    ):
        vfm.open_dataset(data, split="test")
