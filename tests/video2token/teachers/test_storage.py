"""How features are stored is chosen by what was measured on tokens that nothing was learned from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.shards.progress import NoProgress
from vfm.video2token.teachers import storage
from vfm.video2token.teachers.storage import Sample, Storage, check_store, choose_storage, sample_of
from vfm.video2token.teachers.vit import TeacherOutput


def tokens(num_tokens: int, *, seed: int, decay: float) -> torch.Tensor:
    """Return unit vectors [N, 2, 32]; the smaller ``decay``, the fewer directions matter."""
    generator = torch.Generator().manual_seed(seed)
    scales = decay ** torch.arange(64.0)
    basis = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(5)))[0]
    flat = (torch.randn(num_tokens, 64, generator=generator) * scales) @ basis
    return torch.nn.functional.normalize(flat.unflatten(1, (2, 32)), dim=-1)


def sample(*, decay: float = 0.7, num_learned: int = 5000) -> Sample:
    attention = torch.rand(4, 49, generator=torch.Generator().manual_seed(1))
    held_out = tokens(400, seed=2, decay=decay)
    return Sample(learned=tokens(num_learned, seed=1, decay=decay), held_out=held_out, attention=attention)


class Told(NoProgress):
    """Keeps what a job says of itself."""

    def __init__(self) -> None:
        self.totals: list[int] = []
        self.figures: list[str] = []

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        self.totals.append(total)

    def report(self, figures: str) -> None:
        self.figures.append(figures)


def choose(store: str, sample: Sample) -> Storage:
    return choose_storage(store, sample, progress=NoProgress())


@pytest.mark.parametrize(
    ("store", "low", "size"), [("fp32", 0.999999, 256), ("fp16", 0.999999, 128), ("int8", 0.9999, 68)]
)
def test_numbers_are_measured(store: str, low: float, size: int) -> None:
    found = choose(store, sample())
    assert (found.store, found.tables, found.note) == (store, None, "")
    assert low <= found.fidelity["cosine_p1"] <= found.fidelity["cosine"] <= 1
    assert found.fidelity["bytes_per_token"] == size
    assert 0.999 < found.fidelity["attention_rank"] <= 1
    assert found.fidelity["num_tokens"] == 400


def test_the_fewest_bytes_that_are_true_enough_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SIZES", (2, 3, 4, 8, 16, 32))
    monkeypatch.setattr(storage, "_FIRST", 3)
    found = choose("pq", sample())
    by_store = {one["store"]: one["cosine"] for one in found.fidelity["curve"]}
    assert found.fidelity["cosine"] == by_store[found.store] >= 0.98
    smaller = [cosine for store, cosine in by_store.items() if int(store[3:]) < int(found.store[3:])]
    assert all(cosine < 0.98 for cosine in smaller)
    assert "pq:8" in by_store  # where it begins
    assert found.tables is not None
    assert found.fidelity["bytes_per_token"] == len(found.tables.widths) == 2 * int(found.store[3:])
    held_out = sample().held_out
    codes = storage.ProductEncoder(found.tables, device="cpu").encode(held_out).numpy()
    cosine = torch.nn.functional.cosine_similarity(
        torch.from_numpy(found.tables.decode(codes)), held_out, dim=-1
    )
    assert found.fidelity["cosine"] == pytest.approx(float(cosine.mean()), abs=1e-5)
    assert found.fidelity["cosine_p1"] == pytest.approx(float(np.quantile(cosine, 0.01)), abs=1e-5)


def test_every_size_that_is_learned_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SIZES", (2, 3, 4, 8, 16, 32))
    monkeypatch.setattr(storage, "_FIRST", 3)
    told = Told()
    found = choose_storage("pq", sample(), progress=told)
    curve = {one["store"]: one["cosine"] for one in found.fidelity["curve"]}
    assert told.totals == [6]
    assert told.figures[0] == f"8 B a level: mean cosine {curve['pq:8']:.3f}"
    assert len(told.figures) == len(curve)


def test_what_no_size_reaches_is_stored_as_int8_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SIZES", (2, 3, 4))
    monkeypatch.setattr(storage, "_FIRST", 1)
    found = choose("pq", sample(decay=1.0))
    assert (found.store, found.tables) == ("int8", None)
    assert [one["store"] for one in found.fidelity["curve"]] == ["pq:3", "pq:4"]
    assert (
        "No product codes of up to 4 B a level reach a cosine of 0.98: features are stored as" in found.note
    )


def test_a_size_that_was_asked_for_is_taken_whatever_it_gives() -> None:
    found = choose("pq:2", sample(decay=1.0))
    assert found.store == "pq:2"
    assert found.fidelity["cosine"] < 0.98
    assert "curve" not in found.fidelity


def test_too_few_tokens_are_not_learned_by_heart() -> None:
    found = choose("pq", sample(num_learned=4095))
    assert found.store == "int8"
    assert "from 4096 tokens or more, and these frames give 4095: features are stored as int8" in found.note
    with pytest.raises(UsageError, match="these frames give 4095: use --store int8"):
        choose("pq:32", sample(num_learned=4095))


def test_what_is_learned_from_one_video_cannot_be_measured() -> None:
    alone = replace(sample(), held_out=torch.zeros(0, 2, 32), attention=torch.zeros(0, 49))
    found = choose("pq", alone)
    assert (found.store, found.fidelity) == ("int8", {"num_tokens": 0})
    assert "there is one alone: features are stored as int8" in found.note
    with pytest.raises(UsageError, match="there is one alone: use --store int8"):
        choose("pq:32", alone)


@pytest.mark.parametrize("store", ["", "pq:", "pq:0", "pq:513", "pq:x", "pq32", "int4", "PQ", "fp32:3"])
def test_ways_that_there_are_not_are_refused(store: str) -> None:
    with pytest.raises(UsageError, match=r"--store of target clip cannot be .*: use one of fp32, fp16, int8"):
        check_store(store)


def test_ranks_of_attention_count_equal_values_alike() -> None:
    assert storage._spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0])) == pytest.approx(1)
    assert storage._spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx(-1)
    assert storage._spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0])) == pytest.approx(0.8660254)


def test_a_sample_keeps_some_tokens_of_each_frame_apart() -> None:
    frames = [
        torch.full((1, 9, 2, 4), float(i)) + torch.arange(9.0)[None, :, None, None] / 10 for i in range(3)
    ]
    outputs = [(TeacherOutput(one, torch.full((1, 9), float(i))), i == 1) for i, one in enumerate(frames)]
    found = sample_of(outputs, tokens_per_frame=4)
    assert found.learned.shape == (8, 2, 4)
    assert set(found.learned[:, 0, 0].int().tolist()) == {0, 2}
    assert len(set(found.learned[:4, 0, 0].tolist())) == 4
    assert set(found.held_out[:, 0, 0].int().tolist()) == {1}
    assert found.attention.tolist() == [[1.0] * 9]
