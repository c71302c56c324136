"""Similarities and figures of retrieval are those of SimVTP's own test, and recalls those of UMT's."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from support.retrieval import ToyPairs
from vfm.trainer.evaluation.retrieval.figures import Ranking, ranking_of
from vfm.trainer.evaluation.retrieval.places import places_of_texts, places_of_videos
from vfm.trainer.evaluation.retrieval.ranks import text_to_video_ranks, video_to_text_ranks
from vfm.trainer.evaluation.retrieval.similarity import mean_of_views

NAMES = ("recall_at_1", "recall_at_5", "recall_at_10", "recall_at_50")


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


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", ["umt2_retrieval_a"])
def test_recalls_are_those_of_the_reference(shared, name) -> None:
    """Of scores without ties, which the reference orders by chance."""
    config = json.loads((shared / "golden" / f"{name}.json").read_text())["config"]
    tensors = load_file(shared / "golden" / f"{name}.safetensors")
    similarity = tensors["output/t2i_emb"].numpy()
    own = np.arange(len(similarity)) // config["texts_per_video"]
    places = (
        places_of_videos(tensors["output/i2t_emb"].numpy().T, video_of_text=own),
        places_of_texts(similarity, video_of_text=own),
    )
    txt_r1, txt_r5, txt_r10, _, img_r1, img_r5, img_r10, *_ = tensors["output/metrics_emb"].tolist()
    for found, expected in zip(places, ((txt_r1, txt_r5, txt_r10), (img_r1, img_r5, img_r10)), strict=True):
        ranking = ranking_of(found.ranks, num_right=found.num_right, num_candidates=found.num_candidates)
        told = [round(100 * getattr(ranking, recall), 2) for recall in NAMES[:3]]  # as the reference does
        assert told == pytest.approx(expected, abs=1e-4)
