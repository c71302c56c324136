"""Mixed and erased clips: against timm's mixing, and by hand."""

import numpy as np
import pytest
import torch
from timm.data import mixup as timm_mixup

from vfm.shards.pixels.imagenet import MEAN, STD
from vfm.trainer.tasks.classify.mixing import Mix, draw_mix, erased_clips, mixed_clips, mixed_labels

CLIPS = torch.rand(4, 2, 6, 6, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mix", [Mix(share=0.3), Mix(share=0.75, box=(slice(1, 4), slice(0, 3)))])
def test_pixels_and_labels_are_mixed_as_timm_does(monkeypatch, mix):
    theirs = timm_mixup.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=5)
    monkeypatch.setattr(theirs, "_params_per_batch", lambda: (mix.share, mix.box is not None))
    if mix.box is not None:
        edges = (mix.box[0].start, mix.box[0].stop, mix.box[1].start, mix.box[1].stop)
        monkeypatch.setattr(timm_mixup, "cutmix_bbox_and_lam", lambda *_, **__: (edges, mix.share))
    labels = torch.tensor([0, 3, 3, 1])
    frames = (
        CLIPS.permute(0, 1, 4, 2, 3).flatten(1, 2).clone()
    )  # timm mixes pictures, whatever their channels
    expected, target = theirs(frames, labels)
    found = mixed_clips(CLIPS, mix).permute(0, 1, 4, 2, 3).flatten(1, 2)
    torch.testing.assert_close(found, expected)
    wanted = 0.9 * mixed_labels(labels, mix, num_classes=5) + 0.1 / 5
    torch.testing.assert_close(wanted, target.float())


def test_a_box_has_the_share_of_its_label():
    drawn = [draw_mix(mixup=0.0, cutmix=1.0, size_px=20, rng=np.random.default_rng(s)) for s in range(3000)]
    for mix in drawn[:300]:
        rows, columns = mix.box
        assert 0 <= rows.start <= rows.stop <= 20
        assert mix.share == 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / 400
    # Of a uniform share 1/2 would be left; boxes that lie partly outside leave more.
    assert 0.55 < np.mean([mix.share for mix in drawn]) < 0.75
    again = draw_mix(mixup=0.0, cutmix=1.0, size_px=20, rng=np.random.default_rng(7))
    assert again == drawn[7]


def test_half_of_the_batches_are_mixed_in_either_way():
    drawn = [draw_mix(mixup=0.8, cutmix=1.0, size_px=20, rng=np.random.default_rng(s)) for s in range(2000)]
    assert 0.45 < np.mean([mix.box is None for mix in drawn]) < 0.55
    shares = np.array([mix.share for mix in drawn if mix.box is None])
    # Beta(0.8, 0.8): mean 1/2, variance 1 / (4 (2 · 0.8 + 1)) = 0.096.
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(0.096, abs=0.01)
    only = [draw_mix(mixup=0.8, cutmix=0.0, size_px=20, rng=np.random.default_rng(s)) for s in range(50)]
    assert all(mix.box is None for mix in only)


def test_erased_boxes_are_noise_in_every_frame_and_nothing_else_changes():
    torch.manual_seed(0)
    clips = torch.rand(2, 300, 6, 6, 3)
    boxes = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]])
    erased = erased_clips(clips, boxes)
    inside = torch.zeros(6, 6, dtype=torch.bool)
    inside[1:4, 2:6] = True
    assert torch.equal(erased[1], clips[1])
    assert torch.equal(erased[0][:, ~inside], clips[0][:, ~inside])
    noise = (erased[0][:, inside] - torch.tensor(MEAN)) / torch.tensor(STD)
    assert noise.mean().abs() < 0.03
    assert noise.std() == pytest.approx(1.0, abs=0.03)
    assert not torch.equal(noise[0], noise[1])
