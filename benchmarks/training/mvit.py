"""Compares an update of MViT-S as vfm computes it with a plain implementation of the same network.

    python benchmarks/training/mvit.py [--rounds 5] [--batch-size 1] [--precision fp32] [--threads 1]

The plain one has the same weights and follows the text of Li et al. 2022, section 4.1: heads before pooling,
a matrix of logits to which the three relative terms are added, softmax, product. How far the outputs lie
apart is printed. Forward and backward pass with the finetuned strides on 16 frames of 224 px; turns, medians.
"""

import argparse
import platform
import statistics
import time

import torch
from torch import Tensor
from torch.nn import functional

from vfm.trainer.models.mvit import Mvit, MvitBlock, MvitConfig, initialize_mvit
from vfm.trainer.models.pooling_attention import DepthwisePool, PoolingAttention


class PlainAttention(PoolingAttention):
    """The same attention, spelled out."""

    def forward(self, x: Tensor) -> Tensor:
        """See `PoolingAttention`."""
        shape, batch = self.shape, len(x)
        heads, dim = shape.num_heads, shape.head_dim
        qkv = self.qkv(x).reshape(batch, -1, 3, heads, dim).permute(2, 0, 3, 1, 4)
        query, key, value = (
            self.plain_pooling(tokens, part=part) for tokens, part in zip(qkv, "qkv", strict=True)
        )
        logits = (query * dim**-0.5) @ key.transpose(-2, -1)
        asked = query[:, :, 1:].reshape(batch, heads, *shape.q_grid, dim)
        terms = {
            axis: torch.einsum(
                f"bnthwc,{axis}kc->bnthwk",
                asked,
                getattr(self, f"rel_pos_{axis}")[getattr(self, f"rows_{axis}")],
            )
            for axis in "thw"
        }
        patches = logits[:, :, 1:, 1:].view(batch, heads, *shape.q_grid, *shape.kv_grid)
        patches = (
            patches
            + terms["t"][..., :, None, None]
            + terms["h"][..., None, :, None]
            + terms["w"][..., None, None, :]
        )
        logits[:, :, 1:, 1:] = patches.reshape(batch, heads, query.shape[2] - 1, key.shape[2] - 1)
        out = logits.softmax(dim=-1) @ value
        out[:, :, 1:] += query[:, :, 1:]
        projected: Tensor = self.proj(out.transpose(1, 2).reshape(batch, -1, heads * dim))
        return projected

    def plain_pooling(self, tokens: Tensor, *, part: str) -> Tensor:
        """Return [B, h, N', C] of [B, h, N, C]."""
        pool, norm = self.get_submodule(f"pool_{part}"), self.get_submodule(f"norm_{part}")
        assert isinstance(pool, DepthwisePool)
        first, patches = tokens[:, :, :1], tokens[:, :, 1:]
        batch, heads, _, dim = patches.shape
        patches = patches.reshape(batch * heads, *self.shape.grid, dim).permute(0, 4, 1, 2, 3).contiguous()
        patches = functional.conv3d(patches, pool.weight, stride=pool.stride, padding=1, groups=dim)
        patches = patches.reshape(batch, heads, dim, -1).transpose(2, 3)
        normalized: Tensor = norm(torch.cat([first, patches], dim=2))
        return normalized


def build(config: MvitConfig, *, plain: bool) -> Mvit:
    """Return a network, its weights drawn from seed 0."""
    network = Mvit(config)
    if plain:
        for block in network.blocks:
            assert isinstance(block, MvitBlock)
            block.attn = PlainAttention(block.attn.shape)
    initialize_mvit(network, generator=torch.Generator().manual_seed(0))
    return network


def update(network: Mvit, clips: Tensor, *, precision: str) -> tuple[float, Tensor]:
    """Return the seconds of one forward and backward pass, and what came out."""
    network.zero_grad()
    begin = time.perf_counter()
    with torch.autocast("cpu", enabled=precision == "bf16"):
        out = network.encode(network.patch_embed(clips))
        loss = out.float().square().mean()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
    return time.perf_counter() - begin, out.detach()


def main() -> None:
    """Check that both give the same, let them take turns and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = MvitConfig()
    clips = torch.randn(args.batch_size, 3, config.num_frames, config.image_px, config.image_px)
    networks = {"vfm": build(config, plain=False), "plain": build(config, plain=True)}
    found = {name: update(network, clips, precision=args.precision)[1] for name, network in networks.items()}
    off = (found["vfm"] - found["plain"]).abs().max().item()
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(args.rounds):
        for name, network in networks.items():
            seconds[name].append(update(network, clips, precision=args.precision)[0])
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"largest difference {off:.1e} of outputs up to {found['plain'].abs().max():.1f}")
    print(f"| {args.precision} | seconds an update | ratio |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3f} | {medians['plain'] / median:.2f} |")
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {args.threads} thread(s)"
    )


if __name__ == "__main__":
    main()
