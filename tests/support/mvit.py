"""Sizes of MViT as the fixtures of PySlowFast and OpenMMLab give them, and as settings of a recipe."""

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


def sizes_of_mmlab(config: dict[str, Any], *, pooled: str) -> MvitConfig:
    """Return the sizes of a fixture's network; ``pooled`` names the blocks that pool."""
    return MvitConfig(
        image_px=config["crop"],
        num_frames=config["num_frames"],
        dim=config["embed_dims"],
        depth=config["num_layers"],
        num_heads=config["num_heads"],
        grows_at=tuple(config["dim_mul_indices"]),
        pools_at=tuple(config[pooled]),
        kv_stride=config["kv"][-1],
    )


def settings_of(sizes: MvitConfig) -> tuple[str, ...]:
    """Return what makes a network of these sizes of any of MaskFeat's recipes."""
    keys = ("image_px", "dim", "depth", "num_heads", "kv_stride", "growth")
    lists = {name: ",".join(map(str, getattr(sizes, name))) for name in ("grows_at", "pools_at")}
    return (
        f"data.clip_len={sizes.num_frames}",
        *(f"model.{key}={getattr(sizes, key)}" for key in keys),
        *(f"model.{key}={value}" for key, value in lists.items()),
    )
