"""Student and teacher see the same picture, bit for bit, whatever the view."""

import pickle

import numpy as np
import pytest

from support.stills import draw_still
from vfm.shards.clips import PAD
from vfm.shards.errors import UsageError
from vfm.shards.pixels.views import centre
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.clips import PixelReader
from vfm.trainer.data.paired_clips import StoredTarget, paired_reader
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

pytestmark = pytest.mark.usefixtures("plugins")
PIXELS = {"pixels": StoredTarget("seen", "pixels")}


@pytest.fixture
def make(stills):
    """Return a function that gives a dataset to which `tokenize` has added these columns."""

    def opened(*specs: str, crop_px: int = 24):
        data = stills(num_frames=7)
        for spec in specs:
            kind, _, name = spec.partition("=")
            tokenize(
                data,
                [kind],
                TargetOptions(name=name or None, batch_size=4, own={"crop_px": crop_px}),
                accept_data=True,
            )
        return open_dataset(data, columns=tuple(open_dataset(data).manifest.columns))

    return opened


@pytest.mark.parametrize("crop_px", [24, 32])  # resized, and as stored
@pytest.mark.parametrize("view", [0, 1, 2])
def test_the_clip_is_what_the_target_was_given(make, crop_px, view):
    dataset = make("seen:views", crop_px=crop_px)
    reader = pickle.loads(pickle.dumps(paired_reader(dataset, PIXELS)))
    for index in range(len(dataset)):
        last = int(dataset.num_frames[index]) - 1
        times = np.array([last, 0, last // 2, PAD, PAD])
        read = reader(dataset, index, times, view=view)
        stored = dataset.array(index, "seen", "pixels")[view]
        assert read["clip"].shape == (5, crop_px, crop_px, 3)
        np.testing.assert_array_equal(read["clip"], stored[[last, 0, last // 2, last, last]])
        np.testing.assert_array_equal(read["clip"], read["pixels"])


def test_views_differ_and_are_of_the_sample_that_was_asked_for(make):
    dataset = make("seen:views")
    reader = paired_reader(dataset, PIXELS)
    clips = [reader(dataset, 5, np.arange(3), view=view)["clip"].astype(int) for view in range(3)]
    assert all(np.abs(a - b).mean() > 5 for a, b in ((clips[0], clips[1]), (clips[1], clips[2])))
    shown = PixelReader(view=centre(24))(dataset, 5, np.arange(3))["clip"]
    np.testing.assert_array_equal(clips[0], shown)
    # The square in the picture is bright and 8 of 32 px wide: what was drawn is what is seen.
    drawn = draw_still(5, 2)[:, 4:36]
    assert np.abs(clips[0][2].mean((0, 1)) - drawn.mean((0, 1))).max() < 3


def test_several_targets_of_the_same_pixels_come_together(make):
    dataset = make("seen:views=a", "seen:views=b")
    targets = {name: StoredTarget(f"seen.{name}", "pixels.npy") for name in "ab"}
    read = paired_reader(dataset, targets)(dataset, 3, np.array([1, 0]), view=2)
    assert list(read) == ["clip", "a", "b"]
    np.testing.assert_array_equal(read["a"], read["clip"])
    np.testing.assert_array_equal(read["b"], read["clip"])


def test_targets_of_different_pixels_are_refused(make):
    dataset = make("seen:views=a", "seen=b")
    targets = {name: StoredTarget(f"seen.{name}", "pixels") for name in "ab"}
    told = r"same views, and .* has seen.a in 3 \(24 px, 24 px, 24 px\), seen.b in 1 \(24 px\): make"
    with pytest.raises(UsageError, match=told):
        paired_reader(dataset, targets)


def test_a_target_that_saw_no_frames_is_refused(stills, tiny_vocabulary):
    data = stills(captions=(("a dog",),))
    tokenize(data, [f"text:{tiny_vocabulary}"], TargetOptions())
    (name,) = set(open_dataset(data).manifest.columns) - {"frames"}
    with pytest.raises(UsageError, match=rf"Column {name} of .* has no views: it was not computed from"):
        paired_reader(open_dataset(data, columns=(name,)), {"ids": StoredTarget(name, "ids")})
