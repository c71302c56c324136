"""Views of a test: which frames and squares they are, and that nothing is decoded twice."""

from collections import Counter

import numpy as np
import pytest

from vfm.shards.pixels import jpeg
from vfm.shards.pixels.spread_crops import spread_crops
from vfm.shards.pixels.views import centre
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.data.clips import PixelReader
from vfm.trainer.tasks.classify.clips import RandomClip, SpreadClips


def test_views_are_clips_times_crops_and_each_frame_is_decoded_once(stills, monkeypatch):
    dataset = open_dataset(stills(num_samples=1, num_frames=9, size=(60, 50)), columns=("frames",))
    frames = np.stack(dataset.frames(0, range(9)))
    decoded, frames_of = Counter(), Dataset.frames

    def counted(self, index, times):
        decoded.update(times)
        return frames_of(self, index, times)

    monkeypatch.setattr(Dataset, "frames", counted)
    clips = [np.array([0, 2, 4]), np.array([4, 2, 8]), np.array([7, 8, -1])]
    views = PixelReader(view=centre(32)).spread(dataset, 0, clips, num_crops=2)["clip"]
    assert views.shape == (6, 3, 32, 32, 3)
    assert views.dtype == np.uint8
    assert decoded == dict.fromkeys((0, 2, 4, 7, 8), 1)
    crops = spread_crops(frames, crop_px=32, num_crops=2)
    assert not np.array_equal(crops[0], crops[1])
    for k, times in enumerate(([0, 2, 4], [4, 2, 8], [7, 8, 8])):
        for crop in range(2):
            np.testing.assert_array_equal(views[2 * k + crop], crops[crop][times])


@pytest.mark.parametrize("rule", ["strided", "sparse"])
def test_a_test_of_4_clips_and_3_crops_decodes_each_jpeg_once(stills, monkeypatch, rule):
    """Counted where bytes become pixels: clips overlap, and crops are cut of one picture."""
    dataset = open_dataset(stills(num_samples=1, num_frames=10, size=(60, 50)), columns=("frames",))
    sampling = ClipSampling(rule=rule, clip_len=4, stride=2)
    clips = sampling.spread(10, num_clips=4)
    wanted = sorted({int(time) for times in clips for time in times})
    assert len(wanted) < 4 * 4
    decoded = []

    def counted(data):
        decoded.append(jpeg.decode(data))
        return decoded[-1]

    frames = dataset.frames(0, wanted)
    monkeypatch.setattr("vfm.shards.reading.dataset.decode", counted)
    random_clip = RandomClip(reader=PixelReader(view=centre(32)), sampling=sampling)
    reader = SpreadClips(random_clip=random_clip, num_clips=4, num_crops=3)
    views = reader(dataset, 0, np.random.default_rng(0))["clip"]
    assert views.shape == (12, 4, 32, 32, 3)
    assert len(decoded) == len(wanted)
    for got, expected in zip(decoded, frames, strict=True):
        np.testing.assert_array_equal(got, expected)
