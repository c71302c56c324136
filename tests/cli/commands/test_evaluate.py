import json
import re
import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from support.choices import small_choice_result
from vfm.cli.commands import convert, evaluate, finetune
from vfm.cli.options import training
from vfm.shards.errors import UsageError
from vfm.shards.io.parquet import read_table
from vfm.shards.progress import NoProgress
from vfm.trainer.engine.inference import Inference
from vfm.trainer.evaluation.multiple_choice import evaluate as choice_evaluate
from vfm.trainer.evaluation.multiple_choice.evaluate import ChoiceOptions

SHRUNK = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "data.clip_len=3", "optim.lr=0.01")
SETTINGS = [part for setting in SHRUNK for part in ("--set", setting)]


def invoke(command, *arguments):
    return CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False, standalone_mode=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_toy_dataset):
    """Return a folder with a dataset and two runs, one that learned and one that had no time to."""
    root = tmp_path_factory.mktemp("evaluate")
    write_toy_dataset(root / "data", num_samples=24)
    for name, steps in (("good", 60), ("poor", 1)):
        start = ("classify", root / "data", "--recipe", "vimpac-tiny", "--out", root / name)
        invoke(finetune.command, *start, "--batch-size", 8, "--steps", steps, "--device", "cpu", *SETTINGS)
    return root


def test_one_row_per_run_beside_what_guessing_reaches(root):
    table = invoke(evaluate.command, root / "good", root / "poor", root / "data").stdout.splitlines()
    assert re.split(r"  +", table[0]) == [
        "run",
        "top-1 %",
        "95 % interval",
        "top-5 %",
        "samples",
        "missing",
        "sample list",
    ]
    rows = [re.split(r"  +", line) for line in table[1:]]
    assert [row[0] for row in rows] == [
        str(root / "good"),
        str(root / "poor"),
        "most frequent class",
        "chance",
    ]
    assert [row[1] for row in rows] == ["100.0", "50.0", "50.0", "50.0"]
    assert [row[2] for row in rows[:2]] == ["67.6 to 100.0", "21.5 to 78.5"]
    assert {row[-2] for row in rows} == {"8"}  # nothing is known of missing ones, top-5 would be 100
    assert len({row[-1] for row in rows}) == 1


def test_json_has_all_but_what_lies_in_files_of_its_own(root):
    told = json.loads(
        invoke(
            evaluate.command, root / "good", root / "data", "--protocol", "knn", "--clips", 2, "--json"
        ).stdout
    )
    assert [(entry["accuracy"], entry["protocol"], entry["num_clips"]) for entry in told] == [(1.0, "knn", 2)]
    assert told[0].keys().isdisjoint({"predictions", "confusion"})
    assert read_table(root / "good" / "evaluate-knn-val.parquet").num_rows == 8


def test_a_file_stands_beside_its_run(root):
    file = root / "good.safetensors"
    invoke(convert.command, root / "good", file)
    done = invoke(evaluate.command, root / "good", file, root / "data", "--json")
    run, weights = json.loads(done.stdout)
    assert (run["step"], weights["step"]) == (60, None)
    assert weights == {**run, "run": str(file), "step": None, "num_trained_on": None}
    assert f"Evaluating {file} on a CPU" in done.stderr
    table = [root / f"good{between}evaluate-multiview-val.parquet" for between in ("/", ".")]
    one, other = (read_table(path).to_pylist() for path in table)
    assert one == other
    assert len(one) == 8


def test_missing_split_names_those_there_are(root):
    with pytest.raises(UsageError, match=r"choose one of these: train \(16\), val \(8\), all \(24\)\."):
        invoke(evaluate.command, root / "good", root / "data", "--split", "test")
    with pytest.raises(UsageError, match=r"of split 'none': choose one of .*: train \(16\), .*all \(24\)\."):
        invoke(evaluate.command, root / "good", root / "data", "--split", "none")


def test_validation_is_val(root):
    (told,) = json.loads(
        invoke(evaluate.command, root / "good", root / "data", "--split", "validation", "--json").stdout
    )
    assert (told["split"], told["num_samples"]) == ("val", 8)
    assert not list((root / "good").glob("evaluate-*-validation.*"))


def test_all_is_every_sample(root):
    done = invoke(evaluate.command, root / "good", root / "data", "--split", "all", "--json")
    (told,) = json.loads(done.stdout)
    assert (told["split"], told["num_samples"], told["num_trained_on"]) == ("all", 24, 16)
    assert f"{root / 'good'} has learned from 16 of the 24 samples counted: what" in done.stderr


def test_a_probe_of_any_run_and_again(root):
    arguments = (root / "poor", root / "data", "--protocol", "attentive", "--clips", 2, "--device", "cpu")
    first = invoke(evaluate.command, *arguments)
    assert first.return_value == 0
    row = re.split(r"  +", first.stdout.splitlines()[1])
    assert row[:2] == [str(root / "poor"), "100.0"]
    assert "The probe's learning rate is" in first.stderr
    again = invoke(evaluate.command, *arguments, "--json")
    assert f"The probe in {root / 'poor' / 'attentive'} is trained to the end" in again.stderr
    (entry,) = json.loads(again.stdout)
    assert (entry["protocol"], entry["accuracy"], entry["probe"]["num_left_out"]) == ("attentive", 1.0, 3)
    assert {each["rate"] for each in entry["probe"]["rates"]} == {5e-3, 3e-3, 1e-3, 3e-4, 1e-4}
    assert (root / "poor" / "evaluate-attentive-val.png").exists()


def test_a_probe_that_is_stopped_ends_as_a_training_does(root, monkeypatch):
    class Stopping(NoProgress):
        num_done = 0

        def advance(self, **_done):
            self.num_done += 1
            if self.num_done == 1:  # a second one would end the process
                signal.raise_signal(signal.SIGTERM)

    arguments = (root / "poor", root / "data", "--protocol", "linear", "--device", "cpu", "--json")
    monkeypatch.setattr(training, "make_progress", Stopping)
    stopped = invoke(evaluate.command, *arguments)
    assert stopped.return_value == 128 + signal.SIGTERM
    assert stopped.stdout == ""
    told = "Stopped by SIGTERM after step 2 of 40, which is saved: run the same command again to resume."
    assert stopped.stderr.splitlines()[-1] == told
    monkeypatch.undo()
    assert json.loads(invoke(evaluate.command, *arguments).stdout)[0]["probe"]["step"] == 40


@pytest.fixture(scope="module")
def averaged(root):
    """Return a run that learned, whose average hardly left the weights that it began with."""
    start = ("classify", root / "data", "--recipe", "vimpac-tiny", "--out", root / "averaged")
    settings = (*SETTINGS, "--set", "optim.ema_decay=0.999999")
    invoke(finetune.command, *start, "--batch-size", 8, "--steps", 60, "--device", "cpu", *settings)
    return root / "averaged"


def test_an_average_is_counted_beside_the_weights(root, averaged):
    counted = {}
    for flags in ((), ("--ema",)):
        (found,) = json.loads(invoke(evaluate.command, averaged, root / "data", "--json", *flags).stdout)
        counted[found["ema"]] = found["accuracy"]
    assert counted == {False: 1.0, True: 0.5}
    kept = {
        name: json.loads((averaged / f"evaluate-{name}-val.json").read_text())["accuracy"]
        for name in ("multiview", "multiview-ema")
    }
    assert kept == {"multiview": 1.0, "multiview-ema": 0.5}


def test_an_average_is_probed_apart_from_the_weights(root, averaged):
    for flags in ((), ("--ema",)):
        invoke(evaluate.command, averaged, root / "data", "--protocol", "linear", *flags)
    files = {
        name: json.loads((averaged / name / "run.json").read_text())["origin"]["sha256"]
        for name in ("linear", "linear-ema")
    }
    (state,) = averaged.glob("checkpoints/step-000060/state.json")
    wanted = json.loads(state.read_text())["files"]
    assert files["linear"] == wanted["model.safetensors"]["sha256"]
    assert files["linear-ema"] == wanted["ema.safetensors"]["sha256"]


def test_a_run_without_an_average_is_told_so(root):
    with pytest.raises(UsageError, match=r"good keeps no average of its weights, .*: leave out --ema\.$"):
        invoke(evaluate.command, root / "good", root / "data", "--ema")
    with pytest.raises(UsageError, match="good keeps no average"):
        again = ("classify", root / "data", "--init", root / "good", "--ema", "--out", root / "again")
        invoke(finetune.command, *again, "--device", "cpu")


def test_finetuning_starts_from_the_average(root, averaged):
    again = ("classify", root / "data", "--init", averaged, "--ema", "--out", root / "from_average")
    told = invoke(finetune.command, *again, "--steps", 1, "--batch-size", 8, "--device", "cpu").stderr
    assert "Starting from the average of the weights of" in told
    origin = json.loads((root / "from_average" / "run.json").read_text())["origin"]
    state = json.loads((averaged / "checkpoints" / "step-000060" / "state.json").read_text())
    assert origin["sha256"] == state["files"]["ema.safetensors"]["sha256"]


def test_an_average_of_new_weights_is_refused(root):
    with pytest.raises(click.UsageError, match="--ema takes the average of a run's weights: give --init RUN"):
        start = ("classify", root / "data", "--recipe", "vimpac-tiny", "--ema", "--out", root / "none")
        invoke(finetune.command, *start)


@pytest.mark.parametrize(("words", "expected"), [((), 0), (("--workers", 3), 3)])
def test_workers_are_for_reading_what_is_counted(root, monkeypatch, words, expected):
    seen, rows = [], Inference.rows

    def noted(self, *arguments, **named):
        seen.append(self.num_workers)
        return rows(self, *arguments, **named)

    monkeypatch.setattr(Inference, "rows", noted)
    for protocol, passes in (("multiview", 1), ("knn", 2)):
        arguments = (root / "good", root / "data", "--protocol", protocol, "--device", "cpu")
        invoke(evaluate.command, *arguments, *words)
        assert seen == [expected] * passes
        seen.clear()


def test_workers_are_for_training_a_probe_too(root):
    arguments = (root / "good", root / "data", "--protocol", "linear", "--clips", 1, "--device", "cpu")
    invoke(evaluate.command, *arguments, "--workers", 0)
    recipe = json.loads((root / "good" / "linear" / "run.json").read_text())["recipe"]
    assert recipe["train"]["num_workers"] == 0


@pytest.fixture(scope="module")
def retriever(tmp_path_factory, write_toy_dataset):
    """Return a folder with captions and a run that has begun to find videos by them, and what it said."""
    root = tmp_path_factory.mktemp("retrieval")
    data = write_toy_dataset(root / "data", columns=("text.toy",))
    sizes = ("--set", "model.image_px=32", "--set", "model.depth=1")
    words = ("retrieve", data, "--recipe", "simvtp-tiny-retrieve", "--out", root / "run", "--device", "cpu")
    said = invoke(finetune.command, *words, "--batch-size", 4, "--steps", 2, *sizes).stderr
    return root, said


def test_videos_and_captions_stand_beside_chance(retriever):
    root, said = retriever
    assert said.splitlines()[-1] == f"next: vfm evaluate {root / 'run'} {root / 'data'} --protocol retrieval"
    asked = (root / "run", root / "data", "--protocol", "retrieval")
    table = invoke(evaluate.command, *asked).stdout.splitlines()
    rows = [re.split(r"  +", line) for line in table]
    assert rows[0][:4] == ["run", "direction", "R@1 %", "95 % interval"]
    assert [row[:2] for row in rows[1:]] == [
        [str(root / "run"), "text to video"],
        [str(root / "run"), "video to text"],
        ["chance", "text to video"],
        ["chance", "video to text"],
    ]
    assert [row[-2:] for row in rows[1:3]] == [["8", "4"], ["4", "8"]]  # two captions of each of four videos
    assert rows[3][2] == "25.0"
    (told,) = json.loads(invoke(evaluate.command, *asked, "--dual-softmax", "--json").stdout)
    assert (told["num_texts"], told["num_videos"], told["dual_softmax"]) == (8, 4, 0.05)


def test_ranking_anew_is_refused_where_nothing_can(retriever):
    root, _ = retriever
    asked = (root / "run", root / "data", "--protocol", "retrieval", "--json")
    with pytest.raises(UsageError, match=r"run compares vectors alone and has no matching head .*rank\.$"):
        invoke(evaluate.command, *asked, "--rerank", 3)
    (told,) = json.loads(invoke(evaluate.command, *asked, "--rerank", 0).stdout)
    assert told["rerank"] is None
    with pytest.raises(UsageError, match="--dual-softmax weighs similarities and --rerank puts other scores"):
        invoke(evaluate.command, *asked, "--rerank", 3, "--dual-softmax")
    with pytest.raises(click.BadParameter, match="-1 is not in the range"):
        invoke(evaluate.command, *asked, "--rerank", -1)


def test_options_of_the_other_protocols_are_refused(retriever):
    root, _ = retriever
    with pytest.raises(click.UsageError, match="--rerank is of what queries find: give --protocol retrieval"):
        invoke(evaluate.command, root / "run", root / "data", "--protocol", "knn", "--rerank", 3)
    with pytest.raises(click.UsageError, match="--dual-softmax weighs similarities: give --protocol retr"):
        invoke(evaluate.command, root / "run", root / "data", "--protocol", "knn", "--dual-softmax")
    with pytest.raises(click.UsageError, match="--views is of encoders that name classes: leave it out"):
        invoke(evaluate.command, root / "run", root / "data", "--protocol", "retrieval", "--views", "umt")


def test_a_choice_is_asked_as_it_was_typed(monkeypatch, tmp_path):
    seen = []

    def noted(paths, **named):
        seen.append((paths, named["how"].split, named["choice"]))
        return [small_choice_result()]

    monkeypatch.setattr(choice_evaluate, "evaluate_all", noted)
    words, questions = tmp_path / "vocab.txt", tmp_path / "mc.json"
    asked = ("runs/small", tmp_path, "--protocol", "multiple-choice", "--choices", questions)
    result = invoke(evaluate.command, *asked, "--vocabulary", words, "--split", "testing")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["run", "runs/small", "chance"]
    assert result.stderr.splitlines()[-1] == f"next: vfm inspect {tmp_path} c"
    expected = ChoiceOptions(questions=questions, vocabulary=words)
    assert seen == [((Path("runs/small"),), "test", expected)]
    (told,) = json.loads(invoke(evaluate.command, *asked, "--json").stdout)
    assert (told["protocol"], told["accuracy"]) == ("multiple-choice", 0.25)


def test_options_of_a_choice_go_with_it_alone(retriever, tmp_path):
    root, _ = retriever
    asked = (root / "run", root / "data", "--protocol")
    with pytest.raises(click.UsageError, match="no questions to ask: name their file with --choices"):
        invoke(evaluate.command, *asked, "multiple-choice")
    for name in ("--choices", "--vocabulary"):
        with pytest.raises(click.UsageError, match=f"{name} is of questions: give --protocol multiple-"):
            invoke(evaluate.command, *asked, "retrieval", name, tmp_path)
    with pytest.raises(click.UsageError, match="--rerank is of what queries find"):
        invoke(evaluate.command, *asked, "multiple-choice", "--choices", tmp_path, "--rerank", 2)
    with pytest.raises(click.UsageError, match="--views is of encoders"):
        invoke(evaluate.command, *asked, "multiple-choice", "--choices", tmp_path, "--views", "umt")
