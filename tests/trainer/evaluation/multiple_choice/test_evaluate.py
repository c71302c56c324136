"""Sentences are scored as UMT's script scores them, whatever is left out is told."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from support.retrieval import write_matching
from support.stills import WORDS, write_stills
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.distributed import World
from vfm.trainer.evaluation.multiple_choice.evaluate import ChoiceOptions, evaluate_all
from vfm.trainer.evaluation.result import EvaluateOptions
from vfm.trainer.evaluation.retrieval.evaluate import retrieval_recipe, retriever
from vfm.trainer.methods.simvtp.finetune import tiny_retrieve
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.recipes.settings import override
from vfm.trainer.runs.finetune import finetune
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, from_path
from vfm.trainer.tasks.classify.clips import SpreadClips
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

COLUMNS = ("frames", "text.words")
OPTIONS = RunOptions(device="cpu", num_threads=1, accept_data=True, say=lambda told: None)
QUESTIONS = (
    ("still-000", ["a dog", "a dog runs!", "slowly a dog."], 1),
    ("still-003", ["a dog", "dogs run"], 0),
    ("still-000", ["run", "slowly run", "a slow dog run."], 2),
)
IDS = {
    "a dog": [2, 5, 6, 3],
    "a dog runs!": [2, 5, 6, 7, 8, 9, 3],
    "slowly a dog.": [2, 11, 12, 5, 6, 10, 3],
    "dogs run": [2, 6, 8, 7, 3],
    "run": [2, 7, 3],
    "slowly run": [2, 11, 12, 7, 3],
    "a slow dog run.": [2, 5, 11, 6, 7, 10, 3],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory, tiny_vocabulary):
    """Six videos, two of them of split val, with captions that nobody asks for; do not write to it."""
    found = write_stills(tmp_path_factory.mktemp("choices") / "data", captions=(("a dog",),))
    tokenize(found, [f"text:{tiny_vocabulary}"], TargetOptions())
    return found


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Weights of UMT's second stage, which has a matching head; do not write to them."""
    path = tmp_path_factory.mktemp("pretrained") / "umt.safetensors"
    settings = ("data.columns=frames,clip.x,text.words", "objective.max_ids=8")
    return write_matching(path, settings, vocab_size=len(WORDS))


def written(folder, questions=QUESTIONS):
    path = folder / "questions.jsonl"
    rows = [{"video": video, "caption": choices, "answer": answer} for video, choices, answer in questions]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def asked(model, data, questions, *, say=lambda told: None, vocabulary=None, **how):
    (result,) = evaluate_all(
        [model],
        data=data,
        how=EvaluateOptions(protocol="multiple-choice", **{"num_clips": 2, **how}),
        choice=ChoiceOptions(questions=questions, vocabulary=vocabulary),
        options=replace(OPTIONS, say=say),
    )
    return result


def by_hand(model, data):
    """Return the scores of `QUESTIONS`, pair by pair: 0.7 of the matching head, 0.3 of the vectors."""
    start, dataset = from_path(model, options=OPTIONS), open_dataset(data, columns=COLUMNS)
    recipe = with_columns(retrieval_recipe(start, path=model), COLUMNS)
    task = retriever(start, recipe=recipe, dataset=dataset, world=World(device=torch.device("cpu")))
    spread, rng, network = (
        SpreadClips(random_clip=task.prepare.clips, num_clips=2),
        np.random.default_rng(0),
        task.backbone,
    )
    scores = []
    for video, choices, _ in QUESTIONS:
        index = list(dataset.keys).index(video)
        clips = {"clip": torch.from_numpy(spread(dataset, index, rng)["clip"])}
        with torch.no_grad():
            tokens, vector = network.video_tokens(clips), network.video_vectors(clips).mean(0)
            matched, cosines = [], []
            for sentence in choices:
                ids = torch.tensor([IDS[sentence]] * 2)
                is_text = torch.ones_like(ids, dtype=torch.bool)
                logits = network.match_logits(network.text_tokens(ids, is_text), is_text, tokens=tokens)
                matched.append(logits.softmax(1)[:, 1].mean())
                cosines.append(network.text_vectors(ids, is_text)[0] @ vector)
            shares = (torch.stack(cosines) / 0.07).softmax(0)
        scores.append((0.7 * torch.stack(matched) + 0.3 * shares).tolist())
    return scores


def test_scores_are_those_of_the_published_script(pretrained, data, tmp_path):
    result, expected = asked(pretrained, data, written(tmp_path)), by_hand(pretrained, data)
    for scores, by_pair in zip(result.choices.scores, expected, strict=True):
        assert scores.tolist() == pytest.approx(by_pair, abs=1e-5)
    rights = [
        max(range(len(scores)), key=scores.__getitem__) == answer
        for scores, (_, _, answer) in zip(expected, QUESTIONS, strict=True)
    ]
    assert result.accuracy == sum(rights) / 3
    assert result.chance_rate == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert (result.num_questions, result.num_missing, result.num_sentences) == (3, 0, 8)
    assert (result.is_matched, result.is_zero_shot, result.num_trained_on) == (True, True, None)
    table = pq.read_table(pretrained.with_name("umt.evaluate-multiple-choice-val.parquet")).to_pydict()
    assert table["key"] == ["still-000", "still-003", "still-000"]
    assert table["scores"] == [scores.tolist() for scores in result.choices.scores]


def test_a_sentence_is_scored_the_same_whoever_else_is_asked_about(pretrained, data, tmp_path):
    every = asked(pretrained, data, written(tmp_path))
    alone = asked(pretrained, data, written(tmp_path, QUESTIONS[1:2]))
    assert alone.choices.scores[0].tolist() == pytest.approx(every.choices.scores[1].tolist(), abs=1e-6)


def test_without_a_matching_head_vectors_choose(data, tmp_path):
    recipe = override(
        with_columns(tiny_retrieve(), COLUMNS),
        ["model.image_px=32", "objective.max_ids=8", "train.batch_size=2", "train.max_steps=1"],
    )
    run, said = tmp_path / "run", []
    finetune(recipe, start=InitialWeights(recipe=recipe), data=data, out=run, options=OPTIONS)
    result = asked(run, data, written(tmp_path), say=said.append)
    assert not result.is_matched
    assert "Chosen by vectors alone: there is no matching head." in said
    for scores in result.choices.scores:
        assert scores.sum() == pytest.approx(1)
    assert (run / "evaluate-multiple-choice-val.json").exists()
    assert result.num_trained_on == 2


def test_questions_about_other_videos_are_left_out_aloud(pretrained, data, tmp_path):
    said = []
    questions = (*QUESTIONS, ("still-001", ["a dog", "run"], 0), ("video9", ["a dog", "run"], 0))
    result = asked(pretrained, data, written(tmp_path, questions), say=said.append)
    assert (result.num_questions, result.num_missing) == (3, 2)
    (told,) = [sentence for sentence in said if "left out" in sentence]
    assert told.startswith("2 of 5 questions are left out, as they are about no sample of split val of ")
    with pytest.raises(UsageError, match=r"^No question is about a sample of split val of .*data: .*missing"):
        asked(pretrained, data, written(tmp_path, questions[4:]))


def test_what_the_model_does_not_get_to_see_is_told(pretrained, data, tmp_path):
    said = []
    long = "a dog runs slowly a dog"
    questions = (("still-000", ["a zebra", long, "a dog"], 0), ("still-000", ["a dog", "run", "a dog"], 2))
    result = asked(pretrained, data, written(tmp_path, questions), say=said.append)
    assert (result.num_cut, result.num_unknown, result.num_repeated) == (1, 1, 1)
    assert "1 of 6 sentences are cut to 8 ids, which is all that the model reads." in said
    assert "1 of 6 sentences have words that the vocabulary does not." in said
    assert "In 1 of 2 questions the right sentence stands more than once." in said


def test_a_vocabulary_of_another_size_is_refused(pretrained, data, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join((*WORDS, "cat")))
    with pytest.raises(UsageError, match=r"vocab.txt has 14 words, .* name the vocabulary of its training"):
        asked(pretrained, data, written(tmp_path), vocabulary=tmp_path / "vocab.txt")
