"""What a teacher of frames says in half precision."""

from pathlib import Path

import pytest
import torch

from vfm.video2token.teachers.frame_teacher import open_teacher
from vfm.video2token.teachers.vit import normalized


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_weights_rounded_once_give_what_autocast_gives(
    tiny_vit: Path, precision: str, dtype: torch.dtype
) -> None:
    """Rounding ahead saves a pass over the weights in every batch, and changes no bit."""
    teacher, exact = (
        open_teacher("test_vit", grid=3, levels=2, weights=str(tiny_vit), precision=how)
        for how in (precision, "fp32")
    )
    frames = torch.randint(256, (2, 48, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = normalized(frames, mean=exact.mean, std=exact.std, input_px=48)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        wanted = exact._network(images)
    found = teacher(frames)
    assert torch.equal(found.features, wanted.features)
    assert torch.equal(found.attention, wanted.attention)
    assert not torch.equal(found.features, exact(frames).features)
