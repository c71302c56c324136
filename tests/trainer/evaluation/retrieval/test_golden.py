"""Similarities, scores and figures of retrieval are those of SimVTP's own test, and those of UMT's."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from support.fixtures import read_fixture
from support.retrieval import ToyPairs
from vfm.trainer.evaluation.retrieval.figures import Ranking, ranking_of
from vfm.trainer.evaluation.retrieval.matching import pair_logits
from vfm.trainer.evaluation.retrieval.places import Places, places_of_texts, places_of_videos
from vfm.trainer.evaluation.retrieval.ranks import text_to_video_ranks, video_to_text_ranks
from vfm.trainer.evaluation.retrieval.rerank import rerank
from vfm.trainer.evaluation.retrieval.similarity import mean_of_views
from vfm.trainer.methods.umt_vl.finetune import tiny_retrieve
from vfm.trainer.methods.umt_vl.finetuned import Retriever
from vfm.trainer.recipes.settings import override

NAMES = ("recall_at_1", "recall_at_5", "recall_at_10", "recall_at_50")
# What the fixture of UMT calls the sizes of a recipe.
SIZES = {
    "model.image_px": "img_size",
    "model.patch_px": "patch_size",
    "model.dim": "embed_dim",
    "model.depth": "depth",
    "model.num_heads": "num_heads",
    "model.text_dim": "text_width",
    "model.text_depth": "text_layers",
    "model.text_heads": "text_heads",
    "model.text_positions": "max_pos",
    "model.fusion_layer": "fusion_layer",
    "model.proj_dim": "proj_dim",
    "data.clip_len": "num_frames",
    "objective.max_ids": "text_len",
    "objective.temperature": "temp",
}
NOT_SCORED = -100
RECALL_AT = (1, 5, 10)


def of_videos(rows: torch.Tensor, ids: torch.Tensor, *, num_videos: int) -> torch.Tensor:
    """Return the mean over views of rows that come view by view: a row for each video, by ascending id."""
    return mean_of_views(rows[torch.argsort(ids, stable=True)].view(num_videos, -1, rows.shape[1]))


def told_in_percent(found: Ranking) -> list[float]:
    shares = [100 * getattr(found, name) for name in NAMES]
    return [*shares, found.median_rank, found.mean_rank, 100 * found.geometric_mean]


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["simvtp_retrieval_eval_a"])
def test_similarity_and_figures_are_those_of_the_reference(shared, name) -> None:
    about = json.loads((shared / "golden" / f"{name}.json").read_text())
    tensors = load_file(shared / "golden" / f"{name}.safetensors")
    num_videos, close = about["config"]["videos"], {"atol": about["suggested_atol"], "rtol": 0.0}
    ids = tensors["input/video_ids"]
    assert len(ids) == num_videos * about["config"]["segments"] * about["config"]["crops"]
    text, video = (
        of_videos(tensors[f"input/{side}_embeddings"], ids, num_videos=num_videos)
        for side in ("text", "video")
    )
    similarity = ToyPairs().similarity(text, video)
    torch.testing.assert_close(similarity, tensors["output/similarity"], **close)
    own = np.arange(num_videos)
    for name_of, ranks_of in (("t2v", text_to_video_ranks), ("v2t", video_to_text_ranks)):
        ranks = ranks_of(similarity.numpy(), video_of_text=own)
        found = ranking_of(ranks, num_right=np.ones_like(own), num_candidates=num_videos)
        told = torch.tensor(told_in_percent(found))
        torch.testing.assert_close(told, tensors[f"output/{name_of}"], **close)


class Reference:
    """The network with the weights of the fixture, and what it says of the videos and texts there."""

    def __init__(self, shared, name):
        self.fixture = read_fixture(shared, name)
        config, tensors = self.fixture.config, self.fixture.tensors
        recipe = override(tiny_retrieve(), ["model.num_levels=1", *self.fixture.settings(SIZES)])
        model = Retriever(recipe, vocab_size=config["vocab"]).eval()
        state = self.fixture.file().tensors
        model.load_state_dict({n: t for n, t in state.items() if not n.endswith("position_ids")})
        ids, is_text = tensors["input/ids"], tensors["input/att"].bool()
        with torch.no_grad():
            self.clips = model.tokens(tensors["input/video"].transpose(1, 2))
            frames = self.clips.unflatten(1, (config["num_frames"], -1)).mean(2)
            self.pooled = model.vision.pool_norm(frames)
            self.videos = model.video_units(self.clips, num_parts=config["num_frames"]).mean(1)
            read = model.text_tokens(ids, is_text)
            self.similarity = model.similarity(model.text_vectors(ids, is_text), self.videos)
        texts = [tokens[own] for tokens, own in zip(read, is_text, strict=True)]
        self.k, self.asked = config["k_test"], []
        self.video_of_text = np.arange(len(ids)) // config["texts_per_video"]

        def score(wanted):
            self.asked.append(wanted)
            with torch.no_grad():
                return pair_logits(model, texts, self.clips, wanted=wanted.T)[..., 1].T

        self.by_text, self.by_video = rerank(self.similarity, k=self.k, score=score)

    def said(self, name):
        return self.fixture.tensors[f"output/{name}"]


@pytest.fixture(params=["umt2_retrieval_a"])
def reference(shared, request):
    return Reference(shared, request.param)


def recalls(places: Places) -> list[float]:
    found = ranking_of(places.ranks, num_right=places.num_right, num_candidates=places.num_candidates)
    return [100 * getattr(found, f"recall_at_{k}") for k in RECALL_AT]


@pytest.mark.needs("shared")
def test_vectors_and_similarities_are_those_of_the_reference(reference):
    expect = reference.fixture.expect
    expect("vision_embeds", reference.clips)
    expect("pooled_vision", reference.pooled)
    expect("i2t_emb", reference.similarity.T)
    expect("t2i_emb", reference.similarity)


@pytest.mark.needs("shared")
def test_the_first_k_are_scored_as_the_reference_scores_them(reference):
    for found, name in ((reference.by_text, "t2i_x"), (reference.by_video.T, "i2t_x")):
        expected = reference.said(name).double()
        is_scored = expected != NOT_SCORED
        assert (is_scored.sum(1) == min(reference.k, expected.shape[1])).all()
        torch.testing.assert_close(found[is_scored], expected[is_scored], atol=1e-5, rtol=1e-5)
        # All others behind, in the order of their similarity.
        similarity = reference.similarity if name == "t2i_x" else reference.similarity.T
        for row, cosines, scored in zip(found, similarity, is_scored, strict=True):
            assert (row[~scored] < row[scored].min()).all()
            assert torch.equal(row[~scored].argsort(), cosines[~scored].argsort())
    (wanted,) = reference.asked
    assert wanted.equal((reference.said("t2i_x") != NOT_SCORED) | (reference.said("i2t_x") != NOT_SCORED).T)


@pytest.mark.needs("shared")
def test_recalls_are_those_of_the_reference_or_within_what_its_ties_allow(reference):
    own = reference.video_of_text
    by_vectors, by_match = reference.said("metrics_emb").tolist(), reference.said("metrics_x").tolist()
    similarity = reference.similarity.numpy()
    found = [*recalls(places_of_videos(similarity, video_of_text=own))]
    found += recalls(places_of_texts(similarity, video_of_text=own))
    assert found == pytest.approx([*by_vectors[:3], *by_vectors[4:7]], abs=0.006)  # it rounds to 0.01
    places = (
        places_of_videos(reference.by_video.numpy(), video_of_text=own),
        places_of_texts(reference.by_text.numpy(), video_of_text=own),
    )
    is_own = torch.from_numpy(own)[:, None] == torch.arange(len(reference.clips))
    for each, told, name in zip(places, (by_match[:3], by_match[4:7]), ("i2t_x", "t2i_x"), strict=True):
        is_right = is_own.T if name == "i2t_x" else is_own
        lowest, highest = bounds(reference.said(name), is_right=is_right)
        for recall, expected, low, high in zip(recalls(each), told, lowest, highest, strict=True):
            assert low - 0.006 <= recall <= high + 0.006
            assert low - 0.006 <= expected <= high + 0.006
            if high == low:
                assert recall == pytest.approx(expected, abs=0.006)


def bounds(scores, *, is_right):
    """Return the recalls in percent with the right ones last, and first, among those of an equal score."""
    best = scores.masked_fill(~is_right, -torch.inf).amax(1, keepdim=True)
    first = (scores > best).sum(1)
    last = first + ((scores == best) & ~is_right).sum(1)
    return [[100 * float((place < k).double().mean()) for k in RECALL_AT] for place in (last, first)]
