import torch

from vfm.trainer.weights.hog_kernels import gaussian, sobel


def test_filters_subtract_right_from_left_and_bottom_from_top():
    across, down = sobel()
    assert across.shape == down.shape == (3, 1, 3, 3)
    assert across[2, 0].tolist() == [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
    assert torch.equal(down, across.transpose(2, 3))


def test_the_window_is_round_and_sums_to_one():
    window = gaussian()
    assert window.shape == (16, 16)
    torch.testing.assert_close(window.sum(), torch.tensor(1.0))
    assert torch.equal(window, window.T)
    # exp(-((7.5 / 8)² / 2)) against exp(-((0.5 / 8)² / 2)), the standard deviation being 8
    torch.testing.assert_close(window[0, 7] / window[7, 7], torch.tensor(0.645649), atol=1e-5, rtol=0)
