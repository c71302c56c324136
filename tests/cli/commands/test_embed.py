"""``vfm embed`` writes the vectors of a dataset and of videos, as files and as a column."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import vfm
from support.weights import random_state
from vfm.cli.commands.embed import command
from vfm.shards.errors import UsageError
from vfm.shards.io.parquet import read_table
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.files import write_weights
from vfm.video2token.options import ExtractOptions

FRAMES = {"frames": {"options": ExtractOptions(fps=2, size_px=64).to_column()}}


@pytest.fixture
def model(tmp_path):
    recipe = load_recipe("videomae-tiny")
    state = {key: 0.1 * tensor for key, tensor in random_state(recipe).items()}
    said = AboutWeights(recipe=recipe, made_from="vfm", columns=FRAMES)
    write_weights(tmp_path / "x.safetensors", state, container="", metadata=said.to_metadata())
    return tmp_path / "x.safetensors"


def embed(*arguments):
    line = [str(argument) for argument in (*arguments, "--device", "cpu", "--workers", 1)]
    return CliRunner().invoke(command, line, catch_exceptions=False, standalone_mode=False)


def test_a_dataset_becomes_an_array_a_table_and_a_column(model, toy_dataset, tmp_path):
    data = toy_dataset()
    found = embed(model, data, tmp_path / "x.npy", "--accept-data", "--json")
    assert json.loads(found.stdout) == {
        "out": str(tmp_path / "x.npy"),
        "num_videos": 12,
        "num_features": 96,
    }
    vectors = np.load(tmp_path / "x.npy")
    dataset = open_dataset(data)
    same = vfm.embed(vfm.from_pretrained(model), dataset, accept_data=True)
    np.testing.assert_array_equal(same, vectors)
    embed(model, data, tmp_path / "val.parquet", "--accept-data", "--split", "val")
    rows = read_table(tmp_path / "val.parquet").to_pylist()
    chosen = [i for i in range(12) if dataset.splits[i] == "val"]
    assert [row["key"] for row in rows] == [dataset.keys[i] for i in chosen]
    assert {row["split"] for row in rows} == {"val"}
    embed(model, data, tmp_path / "all.npy", "--accept-data", "--split", "all")
    np.testing.assert_array_equal(np.load(tmp_path / "all.npy"), vectors)
    assert [row["label"] for row in rows] == [dataset.classes[dataset.class_indices[i]] for i in chosen]
    np.testing.assert_allclose([row["feature"] for row in rows], vectors[chosen], rtol=1e-4, atol=1e-5)
    embed(model, data, "vectors.mine", "--accept-data", "--split", "all")
    column = open_dataset(data, columns=["vectors.mine"])
    stored = np.concatenate([column.array(i, "vectors.mine", "vectors") for i in range(12)])
    np.testing.assert_array_equal(stored, vectors)
    assert [found for found in verify(data) if "vectors" in found.file] == []  # it has no plan


@pytest.mark.needs("shared")
def test_videos_become_a_table(model, shared, tmp_path):
    video = next((shared / "videos/labelled").rglob("*.mp4"))
    embed(model, video, tmp_path / "x.parquet")
    (row,) = read_table(tmp_path / "x.parquet").to_pylist()
    assert (row["source"], row["label"], row["split"]) == (video.name, None, None)
    np.testing.assert_array_equal(
        np.float32(row["feature"]), vfm.embed(vfm.from_pretrained(model), video, num_workers=1)
    )


def test_what_contradicts_itself_is_told_before_anything_is_computed(model, toy_dataset, tmp_path):
    data = toy_dataset()
    for arguments, told in [
        ((model, data, tmp_path / "x.csv"), "ends neither with .npy nor"),
        ((model, data, data, "vectors.mine"), "is a column of a dataset: name one DATA"),
        ((model, data, "vectors.mine", "--split", "val"), "is a column of a dataset"),
        ((model, data, tmp_path / "x.npy", "--split", "none"), r"of split 'none': choose .*, all \(12\)\.$"),
        ((model, data / "x.mp4", tmp_path / "x.npy", "--split", "val"), "--split chooses samples of a dat"),
        ((tmp_path / "absent", data, tmp_path / "x.npy"), "holds no checkpoint"),
    ]:
        with pytest.raises(Exception, match=told):
            embed(*arguments)
    with pytest.raises(UsageError, match="exists and is not written over"):
        embed(model, data, model.with_suffix(".npy").write_bytes(b"") or model.with_suffix(".npy"))
