"""Attention by its two ways: the same numbers and gradients, with either kind of mask."""

import pytest
import torch

from vfm.trainer.models import attention
from vfm.trainer.models.attention import attend


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float32)


@pytest.mark.parametrize("mask", ["none", "keys", "logits"])
@pytest.mark.parametrize("num_tokens", [6, 320])
def test_half_precision_gives_the_numbers_of_single_precision(mask, num_tokens):
    query, key, value = (draw(2, 3, num_tokens, 8) * scale for scale in (1, 2, 3))
    masks = {
        "none": None,
        "keys": torch.arange(num_tokens)[None, None, None] % 3 > 0,
        "logits": draw(1, 1, num_tokens, num_tokens),
    }
    wanted = attend(query, key, value, mask=masks[mask])
    halves = [part.bfloat16().requires_grad_() for part in (query, key, value)]
    found = attend(*halves, mask=masks[mask])
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, atol=0.1, rtol=0.05)
    if mask == "keys":
        found.float().square().sum().backward()
        # Keys that do not count are given nothing to learn.
        assert halves[1].grad[:, :, ::3].abs().max() == 0
        assert halves[2].grad[:, :, 1::3].abs().max() > 0


def test_many_tokens_go_through_the_fused_kernel(monkeypatch):
    called = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def spy(*args, **options):
        called.append(args[0].shape[-2])
        return fused(*args, **options)

    monkeypatch.setattr(attention.functional, "scaled_dot_product_attention", spy)
    for num_tokens in (768, 769):
        attend(*(draw(1, 1, num_tokens, 8).bfloat16() for _ in range(3)))
    attend(*(draw(1, 1, 4, 8) for _ in range(3)))
    assert called == [769, 4]
