import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from support.retrieval import write_matching
from support.toy import WITHOUT_CAPTION
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.stream import stack
from vfm.trainer.distributed import World
from vfm.trainer.evaluation.evaluate import evaluate
from vfm.trainer.evaluation.result import EvaluateOptions
from vfm.trainer.evaluation.retrieval.evaluate import evaluate_all, retrieval_recipe, retriever, texts_of
from vfm.trainer.evaluation.retrieval.rerank import RankOptions
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe, zero_shot_recipe
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, from_path, from_run
from vfm.trainer.runs.run import pretrain
from vfm.trainer.tasks.classify.clips import SpreadClips

SMALL = ("model.image_px=32", "model.depth=2", "model.text_dropout=0", "train.precision=fp32")
COLUMNS = ("frames", "text.toy")
ALONE = World(device=torch.device("cpu"))


class Retriever:
    """A dataset with captions, and a run that has learned to find its training videos by them."""

    def __init__(self, data, root):
        self.data, self.root, self.said = data, root, []
        self.options = RunOptions(device="cpu", say=self.said.append)
        recipe = override(
            load_recipe("simvtp-tiny-retrieve"),
            [*SMALL, "train.batch_size=7", "train.max_steps=150", "data.split=train"],
        )
        start = InitialWeights(recipe=recipe)
        self.run = root / "run"
        finetune(recipe, start=start, data=data, out=self.run, options=self.options)
        self.said.clear()

    def evaluate(self, *, rank=None, path=None, **how):
        how = EvaluateOptions(protocol="retrieval", num_clips=2, **how)
        paths = [path or self.run]
        (found,) = evaluate_all(paths, data=self.data, how=how, options=self.options, rank=rank)
        return found

    def task(self, dataset):
        start = from_run(self.run, options=self.options)
        return retriever(start, recipe=start.recipe, dataset=dataset, world=ALONE)


@pytest.fixture(scope="module")
def found(write_toy_dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("retrieval")
    return Retriever(write_toy_dataset(root / "data", columns=("text.toy",)), root)


def test_places_follow_from_cosines_of_the_models_own_vectors(found):
    result = found.evaluate(split="all")
    dataset = open_dataset(found.data, columns=COLUMNS)
    dataset = dataset.select([i for i in range(12) if i != WITHOUT_CAPTION])
    task = found.task(dataset)
    spread, rng = SpreadClips(random_clip=task.prepare.clips, num_clips=2), np.random.default_rng(0)
    with torch.no_grad():
        videos = []
        for index in range(11):
            views = {"clip": torch.from_numpy(spread(dataset, index, rng)["clip"])}
            videos.append(task.backbone.video_vectors(views).mean(0))
        texts = [
            task.backbone.text_vectors(torch.from_numpy(row)[None], torch.ones(1, len(row), dtype=torch.bool))
            for index in range(11)
            for row in task.prepare.captions.rows(dataset, index)
        ]
    cosines = torch.cosine_similarity(torch.cat(texts)[:, None], torch.stack(videos)[None], dim=2)
    own = cosines[torch.arange(22), torch.arange(22) // 2]
    ranks = 1 + (cosines > own[:, None]).sum(1)
    table = pq.read_table(found.run / "evaluate-retrieval-all.parquet").to_pydict()
    assert table["rank"][:22] == ranks.tolist()
    assert table["similarity"][:22] == pytest.approx(own.tolist(), abs=1e-5)
    assert table["key"][:4] == ["clip-000", "clip-000", "clip-001", "clip-001"]
    assert table["text"][2:4] == ["a bar at 1 of some kind", "a bar at 1"]
    assert result.text_to_video.recall_at_1 == pytest.approx((ranks == 1).double().mean().item())
    assert (result.num_videos, result.num_texts, result.num_without_caption) == (11, 22, 1)


def test_training_pairs_are_found_far_above_chance(found):
    result = found.evaluate(split="train")
    assert result.text_to_video.recall_at_1 > 0.5 > 2 * result.text_to_video.chance.recall_at_1
    assert result.video_to_text.recall_at_1 > 2 * result.video_to_text.chance.recall_at_1
    assert result.num_trained_on == result.num_videos == 7


def test_reports_hold_what_was_found(found):
    result = found.evaluate()
    told = json.loads((found.run / "evaluate-retrieval-val.json").read_text())
    assert told == json.loads(json.dumps(result.to_dict()))
    assert (told["protocol"], told["captions"], told["dual_softmax"]) == ("retrieval", "each", None)
    assert (found.run / "evaluate-retrieval-val.png").read_bytes().startswith(b"\x89PNG")


def test_a_dual_softmax_is_told_and_at_the_temperature_of_the_training(found):
    assert found.evaluate(rank=RankOptions(dual_softmax=True)).dual_softmax == 0.05


def test_joined_captions_are_one_text(found):
    dataset = open_dataset(found.data, columns=COLUMNS).select([3])
    task = found.task(dataset)
    each = texts_of(dataset, task.prepare.captions)
    assert each.sentences == ("a bar at 3 of some kind", "a bar at 3")
    assert [row.tolist() for row in each.rows] == [[2, 6, 11, 3], [2, 11, 3]]
    assert each.video_of_text.tolist() == [0, 0]
    one = texts_of(dataset, replace(task.prepare.captions, captions="joined"))
    assert one.sentences == ("a bar at 3 of some kind a bar at 3",)
    assert [row.tolist() for row in one.rows] == [[2, 6, 11, 11, 3]]


def test_weights_that_cannot_retrieve_are_refused(found, tmp_path):
    recipe = override(
        load_recipe("simvtp-tiny"), [*SMALL, "train.batch_size=4", "train.max_steps=1", "data.stride=1"]
    )
    pretrain(recipe, data=found.data, out=tmp_path / "p", options=found.options)
    with pytest.raises(UsageError, match="p has not learned to find videos by captions: finetune"):
        found.evaluate(path=tmp_path / "p")
    with pytest.raises(UsageError, match="run has learned to find videos by captions, and no classes"):
        evaluate(found.run, data=found.data, how=EvaluateOptions(), options=found.options)


def test_the_encoder_of_clips_goes_on_to_other_protocols(found):
    how = EvaluateOptions(protocol="knn", num_clips=1)
    result = evaluate(found.run, data=found.data, how=how, options=found.options)
    assert result.num_samples == 4


def test_a_dataset_without_the_column_is_told_how_to_make_it(found, write_toy_dataset, tmp_path):
    other = write_toy_dataset(tmp_path / "other")
    how = EvaluateOptions(protocol="retrieval")
    with pytest.raises(UsageError, match=r"no column 'text.toy' .*vfm tokenize DATA --target text:VOC"):
        evaluate_all([found.run], data=other, how=how, options=found.options)


def test_the_recipe_of_a_task_takes_captions_beside_the_encoders_clips():
    start = load_recipe("simvtp-tiny")
    recipe = finetune_recipe("retrieve", start=start, settings=())
    assert recipe.data.columns == ("frames", "text.*")
    assert recipe.data.clip_len == 4
    assert finetune_recipe("linear", start=start, settings=()).data.columns == ("frames",)


def test_batches_of_readers_stack(found):
    dataset = open_dataset(found.data, columns=COLUMNS)
    task = found.task(dataset)
    batch = stack([task.prepare(dataset, index, np.random.default_rng(0)) for index in (0, 1)])
    assert batch["ids"].shape == (2, 32)


class Matching:
    """Weights of a pretraining of UMT's second stage, and of a run that finetuned them by a step."""

    def __init__(self, data, root):
        self.data, self.root, self.said = data, root, []
        self.options = RunOptions(device="cpu", say=self.said.append)
        settings = ("data.columns=frames,clip.x,text.toy", "model.text_dropout=0", "train.precision=fp32")
        self.pretrained = write_matching(root / "pretrained.safetensors", settings, vocab_size=16)
        start = from_path(self.pretrained, options=self.options)
        recipe = finetune_recipe(
            "retrieve", start=start.recipe, settings=["train.batch_size=4", "train.max_steps=1"]
        )
        self.run = root / "run"
        finetune(recipe, start=start, data=data, out=self.run, options=self.options)

    def evaluate(self, path=None, **rank):
        self.said.clear()
        how = EvaluateOptions(protocol="retrieval", num_clips=2, split="all")
        rank, paths = RankOptions(**rank), [path or self.run]
        (result,) = evaluate_all(paths, data=self.data, how=how, options=self.options, rank=rank)
        return result

    def expected(self, path):
        """Return similarities and matching scores of all pairs, one by one."""
        dataset = open_dataset(self.data, columns=COLUMNS)
        dataset = dataset.select([i for i in range(12) if i != WITHOUT_CAPTION])
        start = from_path(path, options=self.options)
        recipe = replace(retrieval_recipe(start, path=path), data=replace(start.recipe.data, columns=COLUMNS))
        task = retriever(start, recipe=recipe, dataset=dataset, world=ALONE)
        spread, rng = SpreadClips(random_clip=task.prepare.clips, num_clips=2), np.random.default_rng(0)
        rows = texts_of(dataset, task.prepare.captions).rows
        similarity, scores = torch.zeros(2, 22, 11)
        model = task.backbone
        with torch.no_grad():
            for video in range(11):
                clips = {"clip": torch.from_numpy(spread(dataset, video, rng)["clip"])}
                tokens, vector = model.video_tokens(clips), model.video_vectors(clips).mean(0)
                for text, row in enumerate(rows):
                    given = torch.from_numpy(row)[None], torch.ones(1, len(row), dtype=torch.bool)
                    similarity[text, video] = model.text_vectors(*given)[0] @ vector
                    read = model.text_tokens(*given).expand(2, -1, -1), given[1].expand(2, -1)
                    scores[text, video] = model.match_logits(*read, tokens=tokens)[:, 1].mean()
        return similarity, scores


@pytest.fixture(scope="module")
def matching(write_toy_dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("matching")
    return Matching(write_toy_dataset(root / "data", columns=("text.toy",)), root)


@pytest.mark.parametrize("name", ["run", "pretrained"])
def test_a_matching_head_ranks_the_first_anew(matching, name):
    path = getattr(matching, name)
    result, (similarity, scores) = matching.evaluate(path, rerank=3), matching.expected(path)
    assert (result.rerank, result.is_zero_shot) == (3, name == "pretrained")
    own = torch.arange(22) // 2
    found = result.rankings.text_to_video
    for text in range(22):
        first = similarity[text].argsort(descending=True)[:3].tolist()
        order = sorted(first, key=lambda video: -scores[text, video])
        order += [video for video in similarity[text].argsort(descending=True).tolist() if video not in first]
        assert found.ranks[text] == 1 + order.index(own[text])
        assert found.best[text] == order[0]
        assert found.best_similarity[text] == pytest.approx(scores[text, order[0]].item(), abs=1e-5)
    assert "The first 3 of each query are ranked anew by the matching head." in matching.said


def test_similarities_are_those_the_model_learned_from(matching):
    result, (similarity, _) = matching.evaluate(rerank=0), matching.expected(matching.run)
    found = result.rankings.text_to_video.own_similarity
    assert found.tolist() == pytest.approx(similarity[range(22), torch.arange(22) // 2].tolist(), abs=1e-6)
    assert result.rerank is None
    assert "Ranked by vectors alone: the matching head is not asked." in matching.said


def test_unless_told_otherwise_as_many_as_published_are_ranked_anew(matching):
    result, (_, scores) = matching.evaluate(), matching.expected(matching.run)
    assert result.rerank == 128
    found = result.rankings.video_to_text
    own = scores.view(11, 2, 11)[range(11), :, range(11)].amax(1)
    assert found.own_similarity.tolist() == pytest.approx(own.tolist(), abs=1e-5)
    assert any(
        "There are 22 captions and 11 videos: where there are fewer, all are." in s for s in matching.said
    )


def test_a_dual_softmax_is_of_similarities_at_the_learned_temperature(matching):
    result = matching.evaluate(dual_softmax=True)
    learned = from_path(matching.run, options=matching.options).weights()["backbone.temp"].item()
    assert learned != 0.07
    assert (result.rerank, result.dual_softmax) == (None, learned)


@pytest.mark.parametrize(
    ("given", "told"),
    [({"rerank": -1}, "--rerank is -1: give how"), ({"rerank": 2, "dual_softmax": True}, "give one")],
)
def test_ways_to_rank_that_make_no_sense_are_refused(given, told):
    with pytest.raises(UsageError, match=told):
        RankOptions(**given)


def test_a_pretraining_retrieves_with_its_own_clips_and_captions():
    columns = ("frames", "clip.x", "text.mine")
    start = override(
        with_columns(load_recipe("umt-vl-base"), columns),
        ["data.clip_len=8", "objective.captions=joined", "objective.max_ids=100"],
    )
    found = zero_shot_recipe(start)
    assert (found.task, found.method, found.model) == ("retrieve", "umt_vl", start.model)
    assert (found.data.columns, found.data.clip_len) == (("frames", "text.mine"), 8)
    assert (found.objective.captions, found.objective.max_ids) == ("joined", 100)
    assert found.objective.augment.resize == load_recipe("umt-vl-base-retrieve").objective.augment.resize
    assert zero_shot_recipe(load_recipe("umt-vl-base-retrieve")) is None
    assert zero_shot_recipe(load_recipe("simvtp-tiny")) is None
