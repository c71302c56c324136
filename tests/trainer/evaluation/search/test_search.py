"""Sentences find videos in the order of their cosines, whatever else is asked, and are told what was lost."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from support.retrieval import write_matching
from support.stills import WORDS, write_stills
from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.distributed import World
from vfm.trainer.engine.inference import Inference
from vfm.trainer.evaluation.retrieval.evaluate import retrieval_recipe, retriever
from vfm.trainer.evaluation.retrieval.similarity import video_vectors
from vfm.trainer.evaluation.search.search import SearchOptions, search
from vfm.trainer.methods.simvtp.finetune import tiny_retrieve
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, from_path
from vfm.trainer.tasks.classify.clips import SpreadClips
from vfm.trainer.tasks.retrieve import build
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.files import write_weights
from vfm.trainer.weights.imported import ImportedWeights
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

CAPTIONS = (("A dog runs!", " ", "a dog"), (), ("slowly a dog runs.",), ("a dog",))
COLUMNS = ("frames", "text.words")
SETTINGS = [
    *("model.image_px=32", "objective.max_ids=8", "train.batch_size=2", "train.max_steps=1"),
    # A sentence's vector would depend on how far it is padded, were it not encoded alone.
    "model.text_mean=all",
]
RECIPE = override(with_columns(tiny_retrieve(), COLUMNS), SETTINGS)
OPTIONS = RunOptions(device="cpu", num_threads=1, accept_data=True, say=lambda told: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory, tiny_vocabulary):
    """Six videos, two of them without a caption; do not write to it."""
    found = write_stills(tmp_path_factory.mktemp("captioned") / "data", captions=CAPTIONS)
    tokenize(found, [f"text:{tiny_vocabulary}"], TargetOptions())
    return found


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """A run that has learned a little; do not write to it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    finetune(RECIPE, start=InitialWeights(recipe=RECIPE), data=data, out=out, options=OPTIONS)
    return out


@pytest.fixture(scope="module")
def task(model, data):
    found = build(RECIPE, open_dataset(data, columns=COLUMNS)).eval()
    found.load_state_dict(from_path(model, options=OPTIONS).weights())
    return found


def asked(model, data, *sentences, say=None, **how):
    options = replace(OPTIONS, say=say) if say else OPTIONS
    return search(model, data=data, sentences=sentences, how=SearchOptions(**how), options=options)


def found(answer):
    return [(hit.key, hit.score) for hit in answer.hits]


def expected(task, data, ids, **views):
    """Return keys and cosines, the best first, by numpy."""
    dataset = open_dataset(data)
    seen = (views.get("num_clips", 5), views.get("num_crops", 1))
    inference = Inference(world=World(device=torch.device("cpu")))
    videos = video_vectors(task, dataset, views=seen, inference=inference).double().numpy()
    with torch.inference_mode():
        (text,) = task.backbone.text_vectors(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))
    text = text.double().numpy()
    cosines = videos @ text / np.linalg.norm(videos, axis=1) / np.linalg.norm(text)
    order = np.argsort(-cosines, kind="stable")
    return [(dataset.keys[i], pytest.approx(cosines[i], abs=1e-6)) for i in order]


def test_videos_come_in_the_order_of_their_cosines(model, task, data):
    result = asked(model, data, "a dog", "Dogs run slowly")
    assert [answer.sentence for answer in result.answers] == ["a dog", "Dogs run slowly"]
    for answer, ids in zip(result.answers, [[2, 5, 6, 3], [2, 6, 8, 7, 11, 12, 3]], strict=True):
        assert found(answer) == expected(task, data, ids)
        assert [hit.place for hit in answer.hits] == [1, 2, 3, 4, 5, 6]
        assert (answer.unknown_words, answer.is_cut) == ((), False)
    assert found(result.answers[0])[0][1] > found(result.answers[0])[-1][1] + 1e-4
    assert (result.num_videos, result.split, result.step, result.fit.stride) == (6, "all", 1, 1)
    captions = {hit.key: (hit.source, hit.captions) for hit in result.answers[0].hits}
    assert captions["still-000"] == ("still-000.mp4", ("A dog runs!", "a dog"))
    assert captions["still-005"] == ("still-005.mp4", ())


def test_a_sentence_finds_the_same_whichever_others_are_asked(model, data):
    alone, together = asked(model, data, "a dog"), asked(model, data, "a dog", "dogs run slowly.")
    assert together.answers[0] == alone.answers[0]


def test_as_many_as_are_wanted_and_of_the_split(model, task, data):
    assert found(asked(model, data, "a dog", top=2).answers[0]) == expected(task, data, [2, 5, 6, 3])[:2]
    result = asked(model, data, "a dog", split="validation")
    held_out = [each for each in expected(task, data, [2, 5, 6, 3]) if each[0] in ("still-000", "still-003")]
    assert found(result.answers[0]) == held_out
    assert (result.num_videos, result.split) == (2, "val")
    with pytest.raises(UsageError, match="of split 'none'"):
        asked(model, data, "a dog", split="none")


def test_views_are_those_that_are_asked_for(model, task, data):
    views = {"num_clips": 2, "num_crops": 3}
    assert found(asked(model, data, "a dog", **views).answers[0]) == expected(
        task, data, [2, 5, 6, 3], **views
    )


def test_a_dataset_without_captions_is_searched_with_the_vocabulary_that_is_named(
    model, task, data, stills, tiny_vocabulary
):
    bare = stills("bare", num_samples=9)
    result = asked(model, bare, "a dog", vocabulary=tiny_vocabulary)
    assert found(result.answers[0]) == expected(task, bare, [2, 5, 6, 3])
    assert asked(model, bare, "a dog") == result  # that of the dataset it learned from


def test_words_that_are_not_known_are_told(model, task, data):
    said = []
    (answer,) = asked(model, data, "a Zebra, a dog, a cat", say=said.append).answers
    assert answer.unknown_words == ("Zebra", ",", "cat")
    told = "Not in the vocabulary, so that the model cannot tell what they mean: 'Zebra', ',', 'cat' of "
    assert f"{told}'a Zebra, a dog, a cat'." in said
    with pytest.raises(UsageError, match=r"knows no word of 'zebra cat': use words of the captions that"):
        asked(model, data, "a dog", "zebra cat")


def test_a_sentence_that_is_too_long_is_cut_aloud(model, data):
    said = []
    long, short = asked(model, data, "a dog runs slowly a dog", "a dog runs slowly", say=said.append).answers
    assert (long.is_cut, short.is_cut) == (True, False)
    assert found(long) == found(short)
    assert "'a dog runs slowly a dog' has 10 ids and is cut to 8, which is all that the model reads." in said
    assert sum("is cut to" in sentence for sentence in said) == 1


@pytest.mark.parametrize("sentences", [(), ("",), ("a dog", " \n")])
def test_an_empty_sentence_is_refused_before_anything_is_read(tmp_path, sentences):
    with pytest.raises(UsageError, match="A sentence to search by is empty"):
        asked(tmp_path / "absent", tmp_path / "absent", *sentences)


def test_a_sentence_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"'a dog \\udcff' is not UTF-8: set the terminal"):
        asked(tmp_path / "absent", tmp_path / "absent", "a dog \udcff")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Weights of a pretraining of UMT's second stage, which can look at a video and a sentence together."""
    path = tmp_path_factory.mktemp("pretrained") / "umt.safetensors"
    return write_matching(path, ["data.columns=frames,clip.x,text.words"], vocab_size=len(WORDS))


def matched(pretrained, data, keys, ids):
    """Return the matching score of a sentence and each video, the best first, one by one."""
    start, dataset = from_path(pretrained, options=OPTIONS), open_dataset(data, columns=COLUMNS)
    recipe = with_columns(retrieval_recipe(start, path=pretrained), COLUMNS)
    task = retriever(start, recipe=recipe, dataset=dataset, world=World(device=torch.device("cpu")))
    spread, rng = SpreadClips(random_clip=task.prepare.clips, num_clips=5), np.random.default_rng(0)
    model, is_text = task.backbone, torch.ones(5, len(ids), dtype=torch.bool)
    scores = {}
    with torch.no_grad():
        read = model.text_tokens(torch.tensor([ids] * 5), is_text)
        for key in keys:
            clips = {"clip": torch.from_numpy(spread(dataset, list(dataset.keys).index(key), rng)["clip"])}
            logits = model.match_logits(read, is_text, tokens=model.video_tokens(clips))
            scores[key] = logits[:, 1].mean()
    return sorted(((key, score.item()) for key, score in scores.items()), key=lambda found: -found[1])


def test_the_first_are_ordered_by_what_the_matching_head_says(pretrained, data):
    by_vectors = found(asked(pretrained, data, "a dog").answers[0])
    result = asked(pretrained, data, "a dog", "dogs run", rerank=4, top=2)
    assert (result.rerank, len(result.answers)) == (4, 2)
    expected = matched(pretrained, data, [key for key, _ in by_vectors[:4]], [2, 5, 6, 3])
    scores = dict(found(result.answers[0]))
    assert list(scores) == [key for key, _ in expected[:2]]
    assert list(scores.values()) == pytest.approx([score for _, score in expected[:2]], abs=1e-6)
    alone = asked(pretrained, data, "a dog", rerank=4, top=2)
    assert alone.answers[0] == result.answers[0]


@pytest.mark.parametrize(
    ("given", "num_reranked", "told"),
    [
        ({"rerank": 50}, 6, "All 6 videos are ranked anew, as there are not 50."),
        (
            {"rerank": 1, "top": 3},
            3,
            "The first 3 are ranked anew, not 1: scores of all that are shown are of",
        ),
    ],
)
def test_another_number_than_was_asked_is_told(pretrained, data, given, num_reranked, told):
    said = []
    result = asked(pretrained, data, "a dog", say=said.append, **given)
    assert result.rerank == num_reranked
    assert len(result.answers[0].hits) == num_reranked
    assert any(sentence.startswith(told) for sentence in said)


def test_ranking_anew_that_makes_no_sense_is_refused(model, pretrained, data):
    with pytest.raises(UsageError, match="run compares vectors alone and has no matching head"):
        asked(model, data, "a dog", rerank=2)
    with pytest.raises(UsageError, match="--rerank is 0: give how many videos"):
        asked(pretrained, data, "a dog", rerank=0)


def test_weights_that_do_not_tell_are_of_a_vocabulary_of_their_size(model, task, data, tmp_path, monkeypatch):
    state = from_path(model, options=OPTIONS).weights()
    file = ImportedWeights(path=tmp_path / "x.pth", project="vfm", recipe=RECIPE, state=state)
    start = InitialWeights(recipe=RECIPE, file=file)
    monkeypatch.setattr("vfm.trainer.evaluation.search.search.from_path", lambda *_, **__: start)
    answer = asked(tmp_path / "x.pth", data, "a dog").answers[0]
    assert found(answer) == expected(task, data, [2, 5, 6, 3])
    (tmp_path / "few.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    with pytest.raises(
        UsageError, match=r"few\.txt has 6 words, and .* was trained with another number: name"
    ):
        asked(tmp_path / "x.pth", data, "a", vocabulary=tmp_path / "few.txt")


def test_a_model_that_has_not_learned_to_retrieve_is_refused(data, tmp_path):
    recipe = load_recipe("videomae-tiny")
    about = AboutWeights(recipe=recipe, made_from="vfm")
    path = tmp_path / "pretrained.safetensors"
    write_weights(path, random_state(recipe), container="", metadata=about.to_metadata())
    with pytest.raises(UsageError, match="has not learned to find videos by captions"):
        asked(path, data, "a dog")


def test_without_a_dataset_or_a_sample_nothing_is_searched(model, stills, tmp_path):
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        asked(model, tmp_path / "absent", "a dog")
    with pytest.raises(UsageError, match="has no sample to find"):
        asked(model, stills("empty", num_samples=0, empty_shards=1), "a dog")
