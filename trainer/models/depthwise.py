"""Depthwise convolution of tokens on a grid, with gradients that are fast on a CPU too."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_KERNEL = 3


def depthwise_conv(patches: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    """Return the convolution of every channel with its own kernel of 3 x 3 x 3, padded by 1.

    Args:
        patches: [B, T, H, W, D], any view of it.
        weight: [D, 1, 3, 3, 3].
        stride: of rows and columns; times are all kept.

    Returns:
        [B, T, ⌈H / stride⌉, ⌈W / stride⌉, D].
    """
    weight = weight.to(patches.dtype)
    if not patches.is_cpu:
        return _convolve(patches, weight, stride=stride)
    # Of oneDNN's own gradients, in this layout, each takes 10 times as long as the convolution, and in bf16
    # that of the weights 100 times.
    convolved: Tensor = _DepthwiseConv.apply(patches, weight, stride)
    return convolved


def _convolve(patches: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    convolved = functional.conv3d(
        patches.permute(0, 4, 1, 2, 3), weight, stride=(1, stride, stride), padding=1, groups=len(weight)
    )
    return convolved.permute(0, 2, 3, 4, 1)


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, patches: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(patches, weight)
        ctx.stride = stride
        return _convolve(patches, weight, stride=stride)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad,), (patches, weight), stride = grads, ctx.saved_tensors, ctx.stride
        apart = grad if stride == 1 else _spread(grad, like=patches, stride=stride)
        return (
            _convolve(apart, weight.flip(2, 3, 4), stride=1),
            _weight_grad(patches, grad, stride=stride).view_as(weight),
            None,
        )


def _spread(grad: Tensor, *, like: Tensor, stride: int) -> Tensor:
    """Return a gradient of the shape of ``like``, zero where the convolution stepped over a row or column."""
    apart = grad.new_zeros(like.shape)
    apart[:, :, ::stride, ::stride] = grad
    return apart


def _weight_grad(patches: Tensor, grad: Tensor, *, stride: int) -> Tensor:
    """Return [D, 27]: for each place of the kernel, what it saw times the gradient of what it made."""
    padded = functional.pad(patches, (0, 0, 1, 1, 1, 1, 1, 1))
    times, rows, columns = grad.shape[1:4]
    across = range(_KERNEL)
    seen = (
        padded[
            :,
            time : time + times,
            row : row + (rows - 1) * stride + 1 : stride,
            column : column + (columns - 1) * stride + 1 : stride,
        ]
        for time in across
        for row in across
        for column in across
    )
    return torch.stack([(part * grad).flatten(0, 3).sum(0) for part in seen], dim=1)
