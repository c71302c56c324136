"""``clip:NAME``: features and attention of a vision transformer of timm, the targets of UMT.

A vector of each of the last blocks for every patch (arXiv 2303.16058, section 3.1), and how much the class
token attends to it, from which masks are drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vfm.shards.array_types import UInt8
from vfm.shards.codecs.product import CODES, PRODUCT, TABLES, ProductTables, read_tables
from vfm.shards.codecs.scalar import DTYPES, FEATURES, SCALE, encode, encode_attention
from vfm.shards.columns.arrays import ATTENTION
from vfm.shards.columns.views import parse_views
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.keys import check_name
from vfm.shards.format.manifest import Column
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.hashing import sha256
from vfm.shards.pixels.views import View, apply_view
from vfm.shards.progress import Progress
from vfm.shards.reading.dataset import Dataset
from vfm.video2token.frame_target import FrameTarget
from vfm.video2token.target import PART_FRAMES, Arrays, TargetOptions, check_device

if TYPE_CHECKING:
    from vfm.video2token.teachers.frame_teacher import FrameTeacher
    from vfm.video2token.teachers.product import ProductEncoder
    from vfm.video2token.teachers.storage import Sample, Storage
    from vfm.video2token.teachers.vit import TeacherOutput

PRECISIONS = ("fp32", "bf16", "fp16")
# Frames that a teacher looks at before the first shard: to learn product codes from, or to measure alone.
_LEARNED_FRAMES, _MEASURED_FRAMES = 512, 64
_TOKENS_PER_FRAME = 64
_ONE_IN = 4  # videos is held out: nothing is learned from it, and all is measured on it
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What only this kind may be told.

    Attributes:
        crop_px: side of the square that the student will see.
        token_px: side of the student's patches: the teacher sees the square at a size that gives as many.
        views: ``centre``, ``random:K``, ``resized:K``, ``vimpac12`` or a file, see
            `vfm.shards.columns.views.parse_views`.
        levels: of how many blocks features are kept, the last one among them.
        level_interval: blocks from one of them to the next.
        normalization: constants that the teacher's pixels are normalized by: ``imagenet``, as UMT's teacher
            sees them although CLIP was trained with others, or ``model``, those that it was trained with.
        precision: of the network's products, ``fp32``, ``bf16`` or ``fp16``.
        store: how features are kept, ``fp32``, ``fp16``, ``int8``, ``pq:BYTES`` (product codes of so many
            bytes a token and level), or ``pq``: the fewest bytes that are true enough.
        weights: a file of the teacher's weights; None downloads timm's.
    """

    crop_px: int = 224
    token_px: int = 16
    views: str = "centre"
    levels: int = 6
    level_interval: float = 1
    normalization: str = "imagenet"
    precision: str = "fp32"
    store: str = "pq"
    weights: str | None = None


def build(argument: str, own: Options, options: TargetOptions) -> "ClipTarget":
    """Return the target of the teacher that ``argument`` names.

    Raises:
        UsageError: no such model, weights of another, a view that is not made of whole patches, or an option
            that has no such value.
        MachineError: the weights cannot be downloaded.
    """
    if not argument:
        raise UsageError(
            "Target clip needs a vision transformer of timm: write clip:NAME, such as "
            "clip:vit_base_patch16_clip_quickgelu_224.openai."
        )
    _check(own)
    from vfm.video2token.teachers.frame_teacher import open_teacher

    teacher = open_teacher(
        argument,
        grid=own.crop_px // own.token_px,
        levels=own.levels,
        level_interval=own.level_interval,
        weights=own.weights,
        normalization=own.normalization,
        precision=own.precision,
    )
    return ClipTarget(teacher, argument=argument, own=own, options=options)


def _check(own: Options) -> None:
    for name, value, allowed in (
        ("--normalization", own.normalization, ("imagenet", "model")),
        ("--precision", own.precision, PRECISIONS),
    ):
        if value not in allowed:
            raise UsageError(f"{name} of target clip cannot be {value!r}: use one of {', '.join(allowed)}.")
    from vfm.video2token.teachers.storage import check_store

    check_store(own.store)
    if own.token_px < 1 or own.crop_px % own.token_px:
        raise UsageError(
            f"Frames of {own.crop_px} px cannot be cut into patches of {own.token_px} px: use another --crop "
            "or --token."
        )


class ClipTarget(FrameTarget):
    """Features [V, T, h, w, K, C] of unit length, token by token, and attention [V, T, h, w].

    The last batch of a shard is filled up, so that every frame is computed in a batch of one size: products
    of matrices of another size may round otherwise.
    """

    frames_per_worker = PART_FRAMES  # half a minute of a ViT-B

    def __init__(
        self, teacher: "FrameTeacher", *, argument: str, own: Options, options: TargetOptions
    ) -> None:
        own_name = argument.partition(".")[0] if options.name is None else check_name(options.name)
        self.name = f"clip.{own_name}"
        self.kind = "clip"
        self.views: tuple[View, ...] = parse_views(own.views, crop_px=own.crop_px)
        self.token_px = own.token_px
        self.batch_size = options.batch_size
        self._device = check_device(options.device)
        self._teacher = teacher
        self._own = own
        self._side = own.crop_px // own.token_px
        self.options: dict[str, Any] = {
            "teacher": argument,
            "weights_sha256": teacher.weights_sha256,
            "projected": teacher.projects,
            "levels": own.levels,
            "level_interval": own.level_interval,
            "dim": teacher.dim,
            "token_px": own.token_px,
            "input_px": teacher.input_px,
            "mean": list(teacher.mean),
            "std": list(teacher.std),
            "precision": own.precision,
            "batch_size": self.batch_size,
            "views": [view.to_dict() for view in self.views],
        }
        self._tables: ProductTables | None = None
        self._encoder: ProductEncoder | None = None
        self.fields = (CODES, ATTENTION)  # settled by `fit`
        if own.store in DTYPES:
            self._store(own.store)

    def fit(self, dataset: Dataset, folder: Path, *, there: Column | None, progress: Progress) -> None:
        """Measure how true stored features are, on frames drawn from the dataset; learn product codes."""
        if not len(dataset):
            self._store("int8" if self._own.store.startswith(PRODUCT) else self._own.store)
            return
        found = self._stored(folder, there)
        if found is None:
            from vfm.video2token.teachers.storage import choose_storage

            found = choose_storage(self._own.store, self._sample(dataset, progress), progress=progress)
        self.fidelity, self.note = found.fidelity, found.note
        self._store(found.store, found.tables)

    def save_beside(self, folder: Path) -> None:
        """Put the tables of product codes beside the shards."""
        if self._tables is not None:
            write_bytes(folder / TABLES, self._tables.to_bytes())

    def _store(self, store: str, tables: ProductTables | None = None) -> None:
        """Settle how features are stored."""
        self.options["store"] = store
        self._tables = tables
        if tables is None:
            self.fields = (FEATURES, *((SCALE,) if store == "int8" else ()), ATTENTION)
            return
        from vfm.video2token.teachers.product import ProductEncoder

        self.fields = (CODES, ATTENTION)
        self.options["pq_codes"] = len(tables.widths)
        self.options["pq_sha256"] = sha256(tables.to_bytes())
        self._encoder = ProductEncoder(tables, device=self._device)

    def _stored(self, folder: Path, there: Column | None) -> "Storage | None":
        """Return what an earlier run with these options has settled; None where there was none."""
        if there is None or there.fidelity is None:
            return None
        settled = {name: there.options.get(name) for name in self.options}
        store = str(there.options.get("store"))
        if any(settled[name] != self.options[name] for name in settled if name != "store"):
            return None
        if self._own.store not in {store, PRODUCT}:
            return None
        from vfm.video2token.teachers.storage import Storage

        tables = None
        if store.startswith(PRODUCT):
            digest = there.options.get("pq_sha256")
            tables = read_tables(folder / TABLES, num_levels=self._own.levels, digest=digest)
        return Storage(store=store, tables=tables, fidelity=there.fidelity)

    def check(self, dataset: Dataset) -> None:
        """Refuse a sample whose features do not fit into memory.

        Raises:
            UsageError: names the sample.
        """
        from vfm.video2token.teachers.memory import check_memory

        check_memory(dataset, self.options)

    def compute(self, frames: UInt8) -> Arrays:
        """Return features [N, h, w, ...] as they are stored and ``attention.npy`` [N, h, w]."""
        seen = self.look_at(frames)
        grid = (len(frames), self._side, self._side)
        store = self.options["store"]
        attention = seen.attention.cpu().numpy().reshape(grid)
        kept = encode_attention(attention, store)
        if self._encoder is not None:
            codes = self._encoder.encode(seen.features.flatten(0, 1)).cpu().numpy()
            return {CODES: codes.reshape(*grid, -1), ATTENTION: kept}
        features = seen.features.cpu().numpy()
        return {**encode(features.reshape(*grid, *features.shape[2:]), store), ATTENTION: kept}

    def look_at(self, frames: UInt8) -> "TeacherOutput":
        """Return features [N, h·w, K, C] and attention [N, h·w] of frames, float32 on the target's device."""
        import torch

        from vfm.video2token.teachers.vit import TeacherOutput

        filled = np.zeros((max(self.batch_size, len(frames)), *frames.shape[1:]), np.uint8)
        filled[: len(frames)] = frames
        seen = self._teacher(torch.from_numpy(filled).to(self._device))
        return TeacherOutput(*(part[: len(frames)] for part in seen))

    def _sample(self, dataset: Dataset, progress: Progress) -> "Sample":
        """Return what the teacher says of frames drawn from the dataset."""
        from vfm.video2token.teachers.storage import sample_of

        most = _LEARNED_FRAMES if self._own.store.startswith(PRODUCT) else _MEASURED_FRAMES
        num_frames = min(most, -(-int(dataset.num_frames.sum()) // 4))
        progress.start(num_frames, "frames to measure and learn on")
        try:
            looks = self._looks(dataset, num_frames=num_frames, progress=progress)
            return sample_of(looks, tokens_per_frame=_TOKENS_PER_FRAME)
        finally:
            progress.finish()

    def _looks(
        self, dataset: Dataset, *, num_frames: int, progress: Progress
    ) -> "Iterator[tuple[TeacherOutput, bool]]":
        """Yield what the teacher says of one frame after the other, and whether its video is held out."""
        import torch

        from vfm.video2token.teachers.vit import TeacherOutput

        rng = np.random.default_rng(_SEED)
        order = rng.permutation(len(dataset)).tolist()
        for start in range(0, num_frames, self.batch_size):
            # Videos take turns, however many there are: of any two frames in a row the videos differ.
            places = [i % len(order) for i in range(start, min(start + self.batch_size, num_frames))]
            seen = self.look_at(np.stack([self._draw(dataset, order[place], rng) for place in places]))
            if not all(part.isfinite().all() for part in seen):
                raise DamageError(
                    f"{self.name} holds NaN or infinity, so nothing of it was stored: check the weights that "
                    "it is computed with."
                )
            for place, *parts in zip(places, *(torch.split(part, 1) for part in seen), strict=True):
                yield TeacherOutput(*parts), place % _ONE_IN == 1
            progress.advance(ok=len(places))

    def _draw(self, dataset: Dataset, index: int, rng: np.random.Generator) -> UInt8:
        """Return one frame of a sample, in one view, uint8 [S, S, 3]."""
        time = int(rng.integers(int(dataset.num_frames[index])))
        view = self.views[int(rng.integers(len(self.views)))]
        square: UInt8 = apply_view(np.stack(dataset.frames(index, [time])), view)[0]
        return square
