"""Compares an update of SimVTP's pretraining with one that encodes a batch four times, as was released.

    python benchmarks/training/simvtp.py [--batch 4] [--rounds 5] [--num-ids 24] [--recipe simvtp-base]

Both have the same weights, pairs, masks and negatives, the words without dropout, and one loss, which is
checked. The plain way embeds all tubelets of a clip in each of its passes and takes those that are visible,
encodes the matching pairs by themselves, and asks the head for every word. Forward and backward pass and
AdamW; ways take turns, the median of the rounds counts.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vfm.trainer.data.masks import tube_mask
from vfm.trainer.data.normalize import normalize
from vfm.trainer.engine.updates.precision import autocast
from vfm.trainer.methods.simvtp.pretrain import Pairs, Simvtp
from vfm.trainer.models.mae import pixel_targets
from vfm.trainer.models.vit import split_mask, take
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.video_text.captions import NOT_PREDICTED, TextColumn
from vfm.trainer.video_text.contrast import contrast_loss

_BERT = TextColumn(
    name="text.bert", vocab_size=30522, pad_id=0, mask_id=103, special_ids=(0, 100, 101, 102, 103)
)


def main() -> None:
    """Let both ways take turns and print the medians and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="simvtp-base")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--num-ids", type=int, default=24, help="of the longest caption")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    recipe = override(load_recipe(args.recipe), ["model.text_dropout=0", "data.stride=1"])
    method = Simvtp(recipe, column=_BERT)
    method.initialize(torch.Generator().manual_seed(0))
    pairs = make_pairs(recipe, batch=args.batch, num_ids=args.num_ids)
    negatives = torch.arange(args.batch).roll(1)
    ways = {
        "vfm": lambda: method.losses(pairs, negatives=negatives)["loss"],
        "plain": lambda: plain_loss(method, pairs, negatives),
    }
    seconds = in_turns(method, ways, num_rounds=args.rounds)
    ratio = statistics.median(p / v for p, v in zip(seconds["plain"], seconds["vfm"], strict=True))
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {args.recipe},"
    )
    print(f"{args.batch} clips of {recipe.data.clip_len} frames, captions of up to {args.num_ids} ids\n")
    print("| s an update | |\n|---|---|")
    for name, times in seconds.items():
        print(f"| {name} | {statistics.median(times):.2f} |")
    print(f"| plain / vfm, median of the rounds | {ratio:.2f} |")


def make_pairs(recipe: Recipe, *, batch: int, num_ids: int) -> Pairs:
    """Return drawn clips and captions, every second caption half as long as the others."""
    rng, model, side_px = np.random.default_rng(0), recipe.model, recipe.model.image_px
    num_times = recipe.data.clip_len // model.tubelet
    masks = [
        tube_mask(
            num_times=num_times, num_cells=model.cells_per_frame, ratio=recipe.objective.mask_ratio, rng=rng
        )
        for _ in range(batch)
    ]
    ids = torch.from_numpy(rng.integers(1000, _BERT.vocab_size, (batch, num_ids)))
    counts = torch.tensor([num_ids if i % 2 == 0 else num_ids // 2 for i in range(batch)])
    is_text = torch.arange(num_ids) < counts[:, None]
    is_hidden = torch.from_numpy(rng.random((batch, num_ids)) < recipe.objective.word_ratio) & is_text
    pixels = torch.from_numpy(rng.random((batch, 3, recipe.data.clip_len, side_px, side_px), np.float32))
    return Pairs(
        pixels=pixels,
        is_hidden=torch.from_numpy(np.stack(masks)),
        ids=ids.masked_fill(~is_text, _BERT.pad_id),
        is_text=is_text,
        hidden_words=is_hidden.flatten().nonzero()[:, 0],
        caption_ids=torch.arange(batch),
    )


def plain_loss(method: Simvtp, pairs: Pairs, negatives: Tensor) -> Tensor:
    """Return the sum of the four losses, each branch of the released code by itself."""
    clips = normalize(pairs.pixels)
    visible, hidden = split_mask(pairs.is_hidden)
    is_masked = torch.zeros(pairs.ids.numel(), dtype=torch.bool)
    is_masked[pairs.hidden_words] = True
    is_masked = is_masked.view_as(pairs.ids)
    shown = pairs.ids.masked_fill(is_masked, method.mask_id)

    def embedded(which: Tensor) -> Tensor:
        return take(method.encoder.embed(clips[which]), visible[which])

    own = torch.arange(len(clips))
    words = method.text_embeddings(shown)
    joint = method.joint(embedded(own), words, pairs.is_text)
    seen, read = joint.tensor_split([visible.shape[1]], dim=1)
    targets = pixel_targets(pairs.pixels, pairs.is_hidden, config=method.encoder.config)
    reconstructed = method.decode(seen, visible=visible, hidden=hidden)
    labels = pairs.ids.masked_fill(~is_masked, NOT_PREDICTED)
    found, told = method.video_features(embedded(own)), method.text_features(words, pairs.is_text)
    both, twice = torch.cat([own, negatives]), pairs.is_text.repeat(2, 1)
    matches = method.match_logits(method.joint(embedded(both), words.repeat(2, 1, 1), twice), twice)
    is_match = torch.cat([torch.ones_like(own), torch.zeros_like(own)])
    return (
        functional.mse_loss(reconstructed.float(), targets)
        + functional.cross_entropy(method.text_cls(read).float().flatten(0, 1), labels.flatten())
        + contrast_loss(told, found, temperature=method.objective.temperature, caption_ids=pairs.caption_ids)
        + functional.cross_entropy(matches.float(), is_match)
    )


def in_turns(
    method: Simvtp, ways: dict[str, Callable[[], Tensor]], *, num_rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of every update of each way, the first two left out."""
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.0, fused=True)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, float] = {}
    for turn in range(num_rounds + 1):
        # Whoever comes second finds caches as the other left them, so they change places.
        for name in list(ways) if turn % 2 == 0 else list(ways)[::-1]:
            begun_s = time.perf_counter()
            with autocast("auto", device=torch.device("cpu")):
                loss = ways[name]()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            optimizer.step()
            optimizer.zero_grad()
            seconds[name].append(time.perf_counter() - begun_s)
            losses[name] = loss.item()
        assert abs(losses["vfm"] - losses["plain"]) < 0.01 * losses["plain"], losses
    return {name: times[1:] for name, times in seconds.items()}


if __name__ == "__main__":
    main()
