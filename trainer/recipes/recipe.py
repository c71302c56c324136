"""What a run is made of: frozen dataclasses built by functions, changed by key, kept in every checkpoint.

A method's folder lists its recipes in ``recipe.py`` (pretraining) and, where it has them, ``finetune.py``:
each has ``RECIPES``, names to functions without arguments that return a `Recipe`. Neither may import torch,
so that listing recipes is instant. All recipes of one method and task share the dataclasses of ``model`` and
``objective``, which is how a recipe is read back from a checkpoint.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from vfm.shards.errors import UsageError
from vfm.shards.splits import ALL, canonical_split

Precision = Literal["auto", "fp32", "bf16"]
Parallel = Literal["ddp", "fsdp"]
Sampling = Literal["strided", "dense", "linspace", "looped", "sparse", "ssv2", "parts"]
Schedule = Literal["linear", "cosine", "constant"]
_LOWER_RATES = ("min_lr", "lr_floor", "warmup_start")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """What is read of each sample.

    Attributes:
        columns: what the method learns from, ``frames`` and target columns, read together; a pattern such as
            ``vq.*`` stands for the one column that matches.
        clip_len: stored frames in a clip.
        sampling: ``strided`` is a window of frames equally far apart; ``dense`` one as VideoMAE is finetuned
            on it, ``linspace`` one as MaskFeat is trained on it, ``looped`` one that goes on with the first
            frame behind the last, as MMAction2 has it; ``sparse``, ``ssv2`` and ``parts`` take frames from
            the whole video, as UMT does on Kinetics, on Something-Something V2 and with captions.
        seconds_apart: seconds from one frame of a clip to the next; ``any`` takes the next stored frame.
        stride: the same in stored frames; None follows from the time and the rate of the dataset.
        split: train on this split only; None, which ``all`` becomes, takes every sample.
    """

    columns: tuple[str, ...]
    clip_len: int = 5
    sampling: Sampling = "strided"
    seconds_apart: float | Literal["any"] = "any"
    stride: int | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if self.split is not None:  # one word for each, so that the run is the same whichever was given
            split = canonical_split(self.split)
            object.__setattr__(self, "split", None if split == ALL else split)
        columns = ",".join(self.columns)
        is_right = bool(columns) and len(set(self.columns)) == len(self.columns)
        _check("data.columns", columns or "empty", is_right, "one column or more, each named once")
        _check("data.clip_len", self.clip_len, self.clip_len >= 1, "at least 1")
        apart, stride = self.seconds_apart, self.stride
        _check("data.seconds_apart", apart, apart == "any" or apart > 0, "above 0, or any")
        _check("data.stride", stride, stride is None or stride >= 1, "at least 1, or none")
        if self.spans_video:
            allowed = f"any where data.sampling is {self.sampling}: frames are taken from the whole video"
            _check("data.seconds_apart", apart, apart == "any", allowed)
            _check("data.stride", stride, stride in (None, 1), "none where frames are from the whole video")

    @property
    def spans_video(self) -> bool:
        """Whether the frames of a clip are taken from the whole video."""
        return self.sampling in ("sparse", "ssv2", "parts")

    @property
    def window_stride(self) -> int:
        """The stride of a window of frames equally far apart.

        Raises:
            UsageError: clips are no such windows, for a reader that knows no others.
        """
        _check("data.sampling", self.sampling, self.sampling == "strided", "strided for this recipe")
        return self.known_stride

    @property
    def known_stride(self) -> int:
        """The stride, once it is known."""
        assert self.stride is not None, (
            "the stride is still left to the data: see vfm.trainer.recipes.requirements"
        )
        return self.stride


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedule.

    Attributes:
        lr: the highest learning rate, reached at the end of the warm-up.
        betas: decay rates of the first and the second moment of the gradients.
        weight_decay: decoupled (Loshchilov and Hutter 2019); parameters for which
            ``Method.no_weight_decay`` holds have none.
        eps: added to the root of the second moment, so that nothing is divided by 0 (Kingma and Ba 2015).
        clip_norm: the global gradient norm is cut to this; None leaves it alone.
        warmup: updates until ``lr`` is reached; below 1 a share of all updates.
        warmup_epochs: passes over the samples until ``lr`` is reached, in place of ``warmup``.
        warmup_start: learning rate that the warm-up begins with.
        warmup_peak: whether ``lr`` is reached by the last update of the warm-up or by the one after it.
        schedule: how the rate falls from there to the last update.
        min_lr: what it falls to.
        lr_floor: what it is never below, in the warm-up either, wherever it is on its way.
        layer_decay: factor of the learning rate from one layer of an encoder to the one before it, in
            finetuning; 1 is one rate for all.
        lr_batch_size: samples per update that ``lr`` and the lower rates are meant for, with which they grow
            in proportion (Goyal et al. 2017, section 2.1); None leaves them as they are.
        ema_decay: share that each update leaves of a moving average of the weights, which is kept beside
            them and changes nothing of the training; None keeps none.
    """

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    eps: float = 1e-8
    clip_norm: float | None = 1.0
    warmup: float = 0.1
    warmup_epochs: float | None = None
    warmup_start: float = 0.0
    warmup_peak: Literal["last", "after"] = "after"
    schedule: Schedule = "linear"
    min_lr: float = 0.0
    lr_floor: float = 0.0
    layer_decay: float = 1.0
    lr_batch_size: int | None = None
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        _check("optim.lr", self.lr, self.lr > 0, "above 0")
        _check("optim.betas", self.betas, all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)")
        _check("optim.weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more")
        _check("optim.eps", self.eps, self.eps > 0, "above 0")
        clip = self.clip_norm
        _check("optim.clip_norm", clip, clip is None or clip > 0, "above 0 or none")
        _check("optim.warmup", self.warmup, self.warmup >= 0, "0 or more")
        epochs = self.warmup_epochs
        _check("optim.warmup_epochs", epochs, epochs is None or epochs >= 0, "0 or more, or none")
        for name in _LOWER_RATES:
            rate = getattr(self, name)
            _check(f"optim.{name}", rate, 0 <= rate <= self.lr, "between 0 and optim.lr")
        _check("optim.layer_decay", self.layer_decay, 0 < self.layer_decay <= 1, "above 0, at most 1")
        size = self.lr_batch_size
        _check("optim.lr_batch_size", size, size is None or size >= 1, "at least 1 or none")
        decay = self.ema_decay
        _check("optim.ema_decay", decay, decay is None or 0 < decay < 1, "in (0, 1), or none")

    def for_run(self, *, batch_size: int, updates_per_epoch: float) -> "OptimConfig":
        """Return it with the learning rates of this batch size, and the warm-up in updates or as a share."""
        config = self
        if self.lr_batch_size is not None:
            factor = batch_size / self.lr_batch_size
            rates = {name: factor * getattr(self, name) for name in ("lr", *_LOWER_RATES)}
            config = replace(config, **rates, lr_batch_size=None)
        if self.warmup_epochs is not None:
            warmup = int(self.warmup_epochs * updates_per_epoch)
            config = replace(config, warmup=warmup, warmup_epochs=None)
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How long and in which portions.

    Attributes:
        seed: decides the order of samples, every draw made for them, the first weights and dropout.
        epochs: passes over the samples.
        max_steps: updates, in place of ``epochs``.
        batch_size: samples per update, all ranks together.
        drop_last: whether an epoch ends with its last whole batch, so that no sample meets itself in a batch:
            for methods that contrast the samples of a batch. Otherwise batches run across the border of
            epochs and no sample is left out.
        micro_batch_size: samples per forward pass of one rank; None takes the rank's whole share at once.
        precision: of matrix products; ``auto`` is bf16 on CUDA and on a CPU that multiplies it, else fp32.
        parallel: how several ranks share the work: ``ddp`` gives each all weights, ``fsdp`` a part of the
            weights, gradients and moments, for networks that no GPU holds whole.
        compile: whether ``torch.compile`` makes kernels of the network's blocks, when they first run.
        activation_checkpointing: whether the inside of a block is computed again for the backward pass, which
            takes about a third more time, in place of being kept, which takes memory.
        log_every: updates from one log line to the next.
        checkpoint_every: updates from one checkpoint to the next; the last update always has one.
        keep_checkpoints: how many of the newest stay on disk.
        num_workers: loader processes of each rank; None chooses by device.
        validate_epochs: passes over the samples from one validation to the next; None validates never.
        validate_split: the split whose samples are held out for it.
        validate_knn: whether it also counts what the nearest neighbours, of up to 2000 training samples, say
            of held-out samples: for pretraining on samples that have labels.
    """

    seed: int = 0
    epochs: int = 1
    max_steps: int | None = None
    batch_size: int
    drop_last: bool = False
    micro_batch_size: int | None = None
    precision: Precision = "auto"
    parallel: Parallel = "ddp"
    compile: bool = False
    activation_checkpointing: bool = False
    log_every: int = 10
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    num_workers: int | None = None
    validate_epochs: float | None = None
    validate_split: str = "val"
    validate_knn: bool = False

    def __post_init__(self) -> None:
        _check("train.seed", self.seed, 0 <= self.seed < 2**32, "in [0, 2**32)")
        for name in ("epochs", "batch_size", "log_every", "checkpoint_every", "keep_checkpoints"):
            _check(f"train.{name}", getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("max_steps", "micro_batch_size"):
            value = getattr(self, name)
            _check(f"train.{name}", value, value is None or value >= 1, "at least 1 or none")
        epochs = self.validate_epochs
        _check("train.validate_epochs", epochs, epochs is None or epochs > 0, "above 0 or none")
        workers = self.num_workers
        _check("train.num_workers", workers, workers is None or workers >= 0, "0 or more, or none")
        split = canonical_split(self.validate_split)
        object.__setattr__(self, "validate_split", split)
        _check("train.validate_split", split, split != ALL, "one split, of which nothing is learned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole run but for the dataset and the output folder.

    Attributes:
        name: what ``vfm recipes`` lists; free in a recipe that is read from a file.
        method: the folder under ``trainer/methods`` whose network this is.
        task: the file under ``trainer/tasks`` that is learned downstream; None is pretraining.
        model: the method's dataclass of network sizes; its ``frame_px`` is the side of the square that the
            network sees, or ``any``.
        objective: the method's (or task's) dataclass of mask and loss numbers.
    """

    name: str
    method: str
    task: str | None = None
    model: Any
    objective: Any
    data: DataConfig
    optim: OptimConfig
    train: TrainConfig


def _check(key: str, value: object, is_right: bool, allowed: str) -> None:
    if not is_right:
        raise UsageError(f"{key} is {value}, but must be {allowed}: change it with `--set {key}=...`.")
