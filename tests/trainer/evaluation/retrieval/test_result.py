from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from support.retrieval import small_rankings, small_result
from vfm.trainer.evaluation.retrieval.places import places_of_texts
from vfm.trainer.evaluation.retrieval.result import ranked


def test_what_follows_from_rankings() -> None:
    found = small_result()
    assert (found.num_videos, found.num_texts, found.num_duplicate_texts) == (2, 3, 1)
    assert (found.text_to_video.recall_at_1, found.text_to_video.mean_rank) == (pytest.approx(1 / 3), 5 / 3)
    assert (found.text_to_video.num_queries, found.text_to_video.num_candidates) == (3, 2)
    assert found.text_to_video.chance.recall_at_1 == 0.5
    assert (found.video_to_text.recall_at_1, found.video_to_text.mean_rank) == (0, 2)
    assert (found.video_to_text.num_queries, found.video_to_text.num_candidates) == (2, 3)
    # Two of three texts are right for a, one for b.
    assert found.video_to_text.chance.recall_at_1 == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_dict_holds_json_values_of_all_but_the_rankings() -> None:
    told = small_result(dual_softmax=0.05).to_dict()
    assert (told["protocol"], told["dual_softmax"], told["captions"]) == ("retrieval", 0.05, "each")
    assert told["fit"] == {"stride": 2, "seconds_apart": 0.25, "repeated_frames": 0.0, "enlargement": 1.0}
    assert "rankings" not in told
    direction = told["video_to_text"]
    assert direction.keys() == {
        *("recall_at_1", "recall_at_5", "recall_at_10", "recall_at_50", "recall_at_1_interval"),
        *("median_rank", "mean_rank", "geometric_mean", "num_queries", "num_candidates", "chance"),
    }
    assert direction["recall_at_1_interval"] == [0.0, pytest.approx(0.6576, abs=5e-5)]
    assert direction["chance"]["recall_at_5"] == 1


def test_the_list_is_of_keys_and_how_many_captions_each_has() -> None:
    expected = sha256(b'[["a",2],["b",1]]\n').hexdigest()
    assert small_result().sample_list_sha256 == expected
    found = small_rankings()
    reworded = replace(found, texts=("one", "two", "three"))
    assert ranked(reworded)["sample_list_sha256"] == expected
    other = replace(found, keys=("a", "c"))
    assert ranked(other)["sample_list_sha256"] != expected


def test_the_worst_is_the_video_that_is_found_last() -> None:
    found = small_rankings()
    assert found.worst == "a"  # text 1 finds it at place 2, before text 2 finds b so
    right = places_of_texts(np.array([[1, 0], [1, 0], [0, 1]], np.float32), video_of_text=found.video_of_text)
    assert replace(found, text_to_video=right).worst is None
