import json

import pytest

from vfm.trainer.data.tube_masked_clips import clip_frames, clip_range


@pytest.mark.needs("shared")
def test_clips_step_as_in_the_reference(shared):
    fixture = json.loads((shared / "golden" / "videomae_pretrain_frames_a.json").read_text())
    for case in fixture["cases"]:
        span = {"clip_len": case["length"], "stride": case["step"]}
        found = clip_frames(case["start"], num_frames=case["video_frames"], **span)
        assert found == case["frames"], case
        assert [0, clip_range(case["video_frames"], **span)] == case["start_range"], case
