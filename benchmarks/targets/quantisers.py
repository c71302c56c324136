"""Compares two quantisers for a codebook: moving averages (VQ) and finite scalars (FSQ), all else equal.

    python benchmarks/targets/quantisers.py DATA [--steps 2000] [--seeds 0 1 2] [--lr 2e-3]

DATA is a dataset with frames. Both get the same network, first weights, windows, steps and size of codebook,
and are judged on the same held-out samples. One thread; seconds are processor time, so that other jobs on
the machine do not count.

vq           ``vfm.video2token.tokenizers.codebook.quantizer.EmaQuantizer``, the one that ships.
fsq          Mentzer et al. 2023 (arXiv 2309.15505), levels 8, 5, 5, 5: every number of a short vector is
             squashed and rounded to a few levels; there is no table to learn.

dB           PSNR of what the codes are rebuilt to.
used         codes that occur on the held-out frames.
perplexity   two to the entropy of the codes: as many codes, evenly used, would say as much.
jpeg         share of codes that survive JPEG at quality 75.
noise        share of codes that survive noise of two grey levels.
moved        share of codes found again one place further when the picture moves by 8 px.
repeats      whether a second fit of 20 steps gives the same bits.
"""

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfm.shards.pixels import jpeg
from vfm.shards.pixels.views import centre
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.tokenizers.codebook.codebook import nearest
from vfm.video2token.tokenizers.codebook.frames import DrawnFrames, sample_frames
from vfm.video2token.tokenizers.codebook.network import Autoencoder, to_frames, to_pixels
from vfm.video2token.tokenizers.codebook.quality import measure_quality
from vfm.video2token.tokenizers.codebook.quantizer import EmaQuantizer, Quantized, Quantizer
from vfm.video2token.tokenizers.codebook.training import Learner, LearnOptions, has_fast_bfloat16

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

LEVELS = (8, 5, 5, 5)
VOCAB_SIZE = 1000
VQ_DIM = 16


class FiniteScalars:
    """Rounds each number of a vector to one of ``LEVELS`` (Mentzer et al. 2023, appendix A.1)."""

    def __init__(self) -> None:
        levels = torch.tensor(LEVELS, dtype=torch.float32).view(1, -1, 1, 1)
        self._half_widths = (levels - 1) * (1 + 1e-3) / 2
        # With an even number of levels zero is no level, so everything is moved by half a step.
        self._offsets = torch.where(levels % 2 == 0, 0.5, 0.0)
        self._shifts = torch.atanh(self._offsets / self._half_widths)
        self._middles = levels // 2
        self._places = torch.tensor([1, *np.cumprod(LEVELS[:-1]).tolist()]).view(1, -1, 1, 1)

    def __call__(self, features: Tensor) -> Quantized:
        """Return the levels, scaled to about -1..1."""
        bounded = torch.tanh(features + self._shifts) * self._half_widths - self._offsets
        rounded = bounded.round()
        codes = ((rounded + self._middles) * self._places).sum(1).long()
        passed = bounded + (rounded - bounded).detach()
        return Quantized(vectors=passed / self._middles, codes=codes, loss=features.new_zeros(()))


class Frozen:
    """The quantiser of a finished codebook: finds vectors, learns nothing."""

    def __init__(self, table: Tensor) -> None:
        self._table = table

    def __call__(self, features: Tensor) -> Quantized:
        """Return the nearest vectors."""
        rows = features.permute(0, 2, 3, 1)
        codes = nearest(rows.reshape(-1, rows.shape[3]), self._table).view(rows.shape[:3])
        vectors = self._table[codes].permute(0, 3, 1, 2)
        return Quantized(vectors=vectors, codes=codes, loss=features.new_zeros(()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A network with its quantiser, after fitting."""

    network: Autoencoder
    quantize: Quantizer
    fit_s: float

    @torch.inference_mode()
    def run(self, frames: UInt8) -> tuple[Int64, UInt8]:
        """Return codes [N, h, w] and rebuilt frames."""
        codes, rebuilt = [], []
        for block in torch.split(torch.from_numpy(frames), 16):
            quantized = self.quantize(self.network.encode(to_pixels(block)))
            codes.append(quantized.codes)
            rebuilt.append(to_frames(self.network.decode(quantized.vectors)))
        return torch.cat(codes).numpy(), torch.cat(rebuilt).numpy()


Fit = Callable[[DrawnFrames, LearnOptions, int], Fitted]


def main() -> None:
    """Fit both for each seed and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lr", type=float, default=LearnOptions().lr)
    parser.add_argument("--crop", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(1)
    options = LearnOptions(steps=args.steps, lr=args.lr, window_px=min(64, args.crop))
    dataset = open_dataset(args.data)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread, "
          f"bfloat16 {has_fast_bfloat16()}, {args.steps} steps, lr {args.lr:g}\n")  # fmt: skip
    print("| quantiser | seed | dB | used | perplexity | jpeg | noise | moved | ms a step | repeats |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    frames = sample_frames(dataset, view=centre(args.crop), seed=0)
    for seed in args.seeds:
        for fit in (fit_vq, fit_fsq):
            print("| " + " | ".join(cells(fit, frames, options, seed=seed)) + " |", flush=True)


def cells(fit: Fit, frames: DrawnFrames, options: LearnOptions, *, seed: int) -> list[str]:
    """Fit once and return a row of the table."""
    fitted = fit(frames, options, seed)
    codes, rebuilt = fitted.run(frames.held_out)
    quality = measure_quality(frames.held_out, rebuilt, codes)
    return [
        fit.__name__.removeprefix("fit_"),
        str(seed),
        f"{quality.psnr_db:.2f}",
        f"{quality.codes_used} of {VOCAB_SIZE}",
        f"{quality.perplexity:.0f}",
        *(f"{share:.3f}" for share in survival(fitted, frames.held_out, codes)),
        f"{fitted.fit_s / options.steps * 1000:.1f}",
        "yes" if repeats(fit, frames, seed) else "no",
    ]


def fit_vq(frames: DrawnFrames, options: LearnOptions, seed: int) -> Fitted:
    """Fit with moving averages."""
    generator = torch.Generator().manual_seed(seed)
    network = make_network(VQ_DIM, generator)
    quantize = EmaQuantizer(vocab_size=VOCAB_SIZE, code_dim=VQ_DIM, generator=generator)
    fit_s = timed(lambda: Learner(network, quantize, frames.train, options, seed=seed).run(ignore))
    return Fitted(network=network, quantize=Frozen(quantize.table), fit_s=fit_s)


def fit_fsq(frames: DrawnFrames, options: LearnOptions, seed: int) -> Fitted:
    """Fit with finite scalars."""
    network = make_network(len(LEVELS), torch.Generator().manual_seed(seed))
    quantize = FiniteScalars()
    fit_s = timed(lambda: Learner(network, quantize, frames.train, options, seed=seed).run(ignore))
    return Fitted(network=network, quantize=quantize, fit_s=fit_s)


def make_network(code_dim: int, generator: torch.Generator) -> Autoencoder:
    """Return the network of a codebook, but for the length of its vectors."""
    network = Autoencoder(fine_channels=32, coarse_channels=128, code_dim=code_dim)
    network.initialize(generator)
    return network


def survival(fitted: Fitted, frames: UInt8, codes: Int64) -> tuple[float, float, float]:
    """Return the shares of codes that survive JPEG, noise, and a move by one code."""
    compressed = np.stack([jpeg.decode(jpeg.encode(frame, quality=75)) for frame in frames])
    noise = np.random.default_rng(0).normal(0, 2, frames.shape)
    noisy = (frames + noise).round().clip(0, 255).astype(np.uint8)
    moved = np.roll(frames, 8, axis=2)
    # Codes near the edge see the picture's other side after the move; they do not count.
    return (
        float((fitted.run(compressed)[0] == codes).mean()),
        float((fitted.run(noisy)[0] == codes).mean()),
        float((fitted.run(moved)[0][:, :, 3:-2] == codes[:, :, 2:-3]).mean()),
    )


def repeats(fit: Fit, frames: DrawnFrames, seed: int) -> bool:
    """Return whether fitting twice gives the same bits."""
    short = LearnOptions(steps=20, window_px=min(64, frames.train.shape[1]))
    one, other = (fit(frames, short, seed).network.state_dict() for _ in range(2))
    return all(torch.equal(one[name], other[name]) for name in one)


def timed(work: Callable[[], None]) -> float:
    """Return the processor seconds that ``work`` takes."""
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s


def ignore(_learner: Learner) -> None:
    """Hear of a step."""


if __name__ == "__main__":
    main()
