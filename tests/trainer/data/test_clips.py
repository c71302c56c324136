"""Views of a test: which frames and squares they are, and that nothing is decoded twice."""

from collections import Counter

import numpy as np

from vfm.shards.pixels.spread_crops import spread_crops
from vfm.shards.pixels.views import centre
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.data.clips import PixelReader


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
