"""A method small enough to train in milliseconds, with everything a checkpoint must carry."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vfm.shards.clips import clip_times, random_start
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.distributed import World
from vfm.trainer.engine.loop import Job
from vfm.trainer.method import Method
from vfm.trainer.recipes.recipe import DataConfig, OptimConfig, Recipe, TrainConfig
from vfm.trainer.recipes.settings import to_dict

CPU = World(device=torch.device("cpu"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyModel:
    dim: int = 8
    dropout: float = 0.25
    bias: bool | None = None
    sizes: tuple[int, ...] = (3, 4)

    @property
    def frame_px(self) -> str:
        return "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyObjective:
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToySampler:
    """Reads one clip from a random start, and a number that shows which draw it was."""

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        codes = dataset.array(index, "vq.toy", "codes")[0]
        start = random_start(len(codes), clip_len=2, stride=1, rng=rng)
        times = clip_times(start, num_frames=len(codes), clip_len=2, stride=1)
        return {"codes": codes[times].astype(np.int64), "noise": rng.random(4, dtype=np.float32)}


class ToyMethod(Method):
    """Embeds codes, drops, normalises (a buffer) and reads them back through the tied embedding."""

    columns = ("vq.toy",)

    def __init__(self, config: ToyModel) -> None:
        super().__init__()
        self.prepare = ToySampler()
        self.embedding = nn.Embedding(16, config.dim)
        self.norm = nn.BatchNorm1d(config.dim) if config.dropout else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        self.mix = nn.Linear(config.dim + 4, config.dim)
        self.decoder = nn.Linear(config.dim, 16, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen = self.drop(self.norm(self.embedding(batch["codes"][:, 0].flatten(1)).mean(1)))
        hidden = torch.tanh(self.mix(torch.cat([seen, batch["noise"]], dim=1)))
        logits = self.decoder(hidden)
        loss = nn.functional.cross_entropy(logits, batch["codes"][:, 1, 0, 0])
        return {"loss": loss, "half": loss.detach() / 2}

    def no_weight_decay(self, name: str) -> bool:
        return name.endswith(".bias")


def toy_recipe(**train: Any) -> Recipe:
    """Return a recipe of the toy method."""
    settings = {
        "precision": "fp32",
        "batch_size": 4,
        "max_steps": 10,
        "log_every": 2,
        "checkpoint_every": 4,
        **train,
    }
    return Recipe(
        name="toy",
        method="toy",
        model=ToyModel(),
        objective=ToyObjective(),
        data=DataConfig(columns=("vq.*",)),
        optim=OptimConfig(lr=1e-2),
        train=TrainConfig(**settings),
    )


@dataclass
class Watched:
    """Keeps what a progress hears."""

    started: list[tuple[int, str, int]] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    num_done: int = 0
    num_finished: int = 0

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        self.started.append((total, what, done))

    def advance(self, *, ok: int = 0, **_others: Any) -> None:
        self.num_done += ok

    def report(self, figures: str) -> None:
        self.figures.append(figures)

    def finish(self) -> None:
        self.num_finished += 1


@dataclass
class Toy:
    """Makes recipes and jobs of the toy method on one dataset."""

    data: Path
    root: Path
    said: list[str]

    progress: Watched = field(default_factory=Watched)

    recipe = staticmethod(toy_recipe)

    def job(self, name: str = "run", *, recipe: Recipe | None = None, **changes: Any) -> Job:
        recipe = recipe or toy_recipe()
        dataset = changes.pop("dataset", None) or open_dataset(self.data, columns=("vq.toy",))
        torch.manual_seed(0)
        job = Job(
            recipe=recipe,
            method=ToyMethod(recipe.model),
            dataset=dataset,
            world=CPU,
            out=self.root / name,
            identity={
                "recipe": to_dict(recipe),
                "dataset": dataset.fingerprint,
                "classes": list(dataset.classes),
                "columns": {},
                "origin": {},
            },
            say=self.said.append,
            progress=self.progress,
        )
        job.out.mkdir(exist_ok=True)
        return replace(job, **changes)


@pytest.fixture
def watched() -> Watched:
    """Return a progress that keeps what it hears."""
    return Watched()


@pytest.fixture
def toy(toy_dataset: Callable[..., Path], tmp_path: Path) -> Toy:
    """Return a maker of toy jobs, on a dataset of 12 samples."""
    return Toy(data=toy_dataset(), root=tmp_path, said=[])


@pytest.fixture(scope="session")
def rank_environments() -> Callable[[int], list[dict[str, str]]]:
    """Return a function that gives each of ``size`` processes the environment that torchrun would."""

    def environments(size: int) -> list[dict[str, str]]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        shared = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(size),
            "OMP_NUM_THREADS": "1",
        }
        return [{**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]

    return environments
