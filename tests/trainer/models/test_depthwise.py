"""The convolution and both of its gradients are torch's own."""

import pytest
import torch
from torch.nn import functional

from vfm.trainer.models.depthwise import depthwise_conv


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("grid", [(1, 4, 4), (3, 5, 8), (2, 7, 9)])
def test_values_and_gradients_are_those_of_torch(stride, grid):
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(2, *grid, 3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 1, 3, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)

    found = depthwise_conv(whole[..., 1, :], weight, stride=stride)
    expected = functional.conv3d(
        whole[..., 1, :].permute(0, 4, 1, 2, 3),
        weight,
        stride=(1, stride, stride),
        padding=1,
        groups=6,
    ).permute(0, 2, 3, 4, 1)

    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    grads = [torch.autograd.grad((out * upstream).sum(), (whole, weight)) for out in (found, expected)]
    torch.testing.assert_close(grads[0], grads[1])


def test_weights_are_brought_to_the_precision_of_what_they_weigh():
    patches = torch.ones(1, 1, 3, 3, 2, dtype=torch.bfloat16)
    weight = torch.ones(2, 1, 3, 3, 3, requires_grad=True)

    out = depthwise_conv(patches, weight, stride=1)
    out.sum().backward()

    assert out.dtype == torch.bfloat16
    assert out[0, 0, :, :, 0].tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    assert weight.grad[1, 0, 1].tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
    assert not weight.grad[:, :, [0, 2]].any()
