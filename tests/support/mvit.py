"""Sizes of MViT as the fixtures of PySlowFast give them."""

from typing import Any

from vfm.trainer.models.mvit import Growth, MvitConfig


def sizes_of(config: dict[str, Any], *, strides: str, growth: Growth = "mlp") -> MvitConfig:
    """Return the sizes of a fixture's network; `MvitConfig` knows doubling and halving alone."""
    assert config["dim_mul"] == config["head_mul"]
    assert {factor for _, factor in config["dim_mul"]} == {2.0}
    pooled = {block: tuple(stride) for block, *stride in config[strides]}
    assert set(pooled.values()) <= {(1, 1, 1), (1, 2, 2)}
    return MvitConfig(
        image_px=config["crop"],
        num_frames=config["num_frames"],
        dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        grows_at=tuple(block for block, _ in config["dim_mul"]),
        pools_at=tuple(block for block, stride in pooled.items() if stride == (1, 2, 2)),
        kv_stride=config["pool_kv_adaptive"][-1],
        growth=growth,
    )
