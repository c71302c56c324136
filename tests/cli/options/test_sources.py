"""The options of ``vfm extract`` that say which sources there are."""

import json
import re
import tarfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from support.media import write_film
from vfm.cli.commands.extract import command
from vfm.cli.options.sources import allowance, is_within, own_name, seconds
from vfm.shards.errors import UsageError
from vfm.shards.format.plan import read_plan
from vfm.shards.reading.dataset import open_dataset

Film = Callable[..., Path]
DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "sources.md"


def invoke(*arguments: object, **options: object) -> Result:
    given = [*map(str, arguments), "--fps", "5", "--size", "48", "--workers", "1"]
    return CliRunner().invoke(command, given, catch_exceptions=False, standalone_mode=False, **options)  # type: ignore[arg-type]


def result_of(*arguments: object, **options: object) -> dict[str, object]:
    done = invoke(*arguments, "--json", **options)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_what_is_hidden_is_left_out_and_counted(films: Film, tmp_path: Path) -> None:
    root = films(2)
    for name in ("a/._000.mp4", "b/.old.MOV", ".trash/x.mp4", ".trash/y.mp4", "a/.notes.txt", ".DS_Store"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    note = "note: hidden files and folders, whose names begin with a dot, are left out: 3, "
    note += f"the first {root / '.trash'}."
    for more in ((), ("--dry-run",)):
        done = invoke(root, tmp_path / "data", "--json", *more)
        told = json.loads(done.stdout)
        assert (told["num_sources"], told["num_hidden"], done.return_value) == (2, 3, 0)
        assert [line for line in done.stderr.splitlines() if "note: hidden" in line] == [note]
    named = invoke(root / "a" / "000.mp4", tmp_path / "named", "--json")
    assert ("note: hidden" in named.stderr, json.loads(named.stdout)["num_hidden"]) == (False, 0)


def test_dry_run_counts_and_writes_nothing(films: Film, tmp_path: Path) -> None:
    root = films(3)
    rows = "a/000.mp4,run,train\nb/001.mp4,run,val\na/002.mp4,\x1b[31m,\ngone.mp4,sit,val\n"
    (root / "l.csv").write_text("path,label,split\n" + rows)
    before = sorted(tmp_path.rglob("*"))
    done = invoke(root / "l.csv", tmp_path / "data", "--dry-run", "--samples-per-shard", "3")
    assert sorted(tmp_path.rglob("*")) == before
    assert done.return_value == 0
    lines = done.stdout.splitlines()
    assert lines[:5] == ["sources   4", "shards    2", "segments  0", "in_tars   0", "missing   1"]
    assert lines[5:8] == ["captions  0", "hidden    0", "bytes     " + lines[7].split()[1]]
    assert lines[8:10] == [r"labels    run 2, \x1b[31m 1, sit 1", "splits    val 2, (none) 1, train 1"]
    assert [re.sub("-[0-9a-f]{8}  ", " ", line) for line in sorted(lines[10:])] == [
        "first     a-000 a/000.mp4", "first     a-002 a/002.mp4", "first     b-001 b/001.mp4",
        "first     gone gone.mp4",
    ]  # fmt: skip
    assert done.stderr.splitlines() == [
        f"{root / 'l.csv'} is read as a table with the columns path and any of label, caption, start, end, "
        "split, key: 4 samples.",
        "splits: train 1, val 2, no split 1.",
        r"classes: 3 (0 \x1b[31m, 1 run, 2 sit).",
        f"note: missing, and so in quarantine: 1 of 4 samples, the first {root / 'gone.mp4'}; --missing "
        "error refuses such a list.",
        r"note: 2 classes with a single sample: \x1b[31m, sit.",
        "nothing was written (--dry-run)",
        "next: the same command without --dry-run",
    ]
    found = result_of(root / "l.csv", tmp_path / "data", "--dry-run", "--missing", "quarantine")
    assert (found["num_sources"], found["num_missing"], found["labels"]) == (
        4,
        1,
        {"run": 2, "\x1b[31m": 1, "sit": 1},
    )


def test_limit_takes_the_beginning_of_the_plan(films: Film, tmp_path: Path) -> None:
    root = films(6)
    whole = result_of(root, tmp_path / "whole", "--dry-run", "--limit", "6")
    for num in (2, 4):
        assert result_of(root, tmp_path / f"{num}", "--limit", num)["num_sources"] == num
        keys = [source.key for source in read_plan(tmp_path / f"{num}" / "plan.parquet").sources]
        assert keys == list(whole["first"])[:num]  # type: ignore[call-overload]
        assert list(open_dataset(tmp_path / f"{num}").keys) == keys
    assert result_of(root, tmp_path / "2", "--limit", 2)["num_shards_before"] == 1
    with pytest.raises(UsageError, match="4 sources requested and not there.*choose another output"):
        invoke(root, tmp_path / "2")


def test_input_list_adds_to_the_arguments(
    films: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = films(4)
    monkeypatch.chdir(root)
    (tmp_path / "list").write_text("a/000.mp4\nb/001.mp4\n")
    found = result_of("a/002.mp4", tmp_path / "data", "--input-list", tmp_path / "list", "--dry-run")
    assert sorted(found["first"].values()) == ["000.mp4", "001.mp4", "002.mp4"]  # type: ignore[attr-defined]
    found = result_of(tmp_path / "data", "--input-list", "-", "--dry-run", input=b"a/000.mp4\0a/002.mp4\0")
    assert found["num_sources"] == 2
    with pytest.raises(click.UsageError, match=r"Missing argument 'SOURCES\.\.\. DATA'"):
        invoke(tmp_path / "data")
    with pytest.raises(click.UsageError, match=r"Missing argument 'SOURCES\.\.\. DATA'"):
        invoke("--input-list", tmp_path / "list")


def test_root_classes_and_other_columns_reach_the_lists(films: Film, tmp_path: Path) -> None:
    root = films(2)
    (tmp_path / "names").write_text("walk\nrun\n")
    (tmp_path / "l.jsonl").write_text('{"path": "a/000.mp4", "label": 1, "fps": 25}\n')
    options = ("--root", root, "--classes", tmp_path / "names", "--dry-run")
    found = result_of(tmp_path / "l.jsonl", tmp_path / "data", *options, "--other-columns", "ignore")
    assert (found["labels"], found["num_missing"]) == ({"run": 1}, 0)
    with pytest.raises(UsageError, match=r"l\.jsonl line 1 has an unknown column 'fps'"):
        invoke(tmp_path / "l.jsonl", tmp_path / "data", *options)


def test_what_has_come_back_is_tried_again(films: Film, tmp_path: Path) -> None:
    root = films(2)
    (root / "l.csv").write_text("path\na/000.mp4\nb/001.mp4\n")
    (root / "a" / "000.mp4").rename(tmp_path / "away.mp4")
    arguments = (root / "l.csv", tmp_path / "data", "--missing", "quarantine")
    assert invoke(*arguments).return_value == 1
    (tmp_path / "away.mp4").rename(root / "a" / "000.mp4")
    assert invoke(*arguments, "--retry-failed").return_value == 0
    assert invoke(*arguments).return_value == 0
    with pytest.raises(UsageError, match="--retry-all tries again all that --retry-failed does"):
        invoke(*arguments, "--retry-failed", "--retry-all")


def test_rejects_may_be_allowed_as_a_share(films: Film, tmp_path: Path) -> None:
    root = films(3)
    (root / "bad.mp4").write_bytes(b"")
    assert invoke(root, tmp_path / "data", "--allow-rejects", "24.9%").return_value == 1
    assert invoke(root, tmp_path / "data", "--allow-rejects", "25%").return_value == 0
    assert invoke(root, tmp_path / "data", "--allow-rejects", "1").return_value == 0


@pytest.mark.parametrize(
    ("text", "allowed"), [("0", 0), (" 12 ", 12), ("1%", Fraction(1, 100)), ("0.5%", Fraction(1, 200))]
)
def test_allowance_is_exact(text: str, allowed: int | Fraction) -> None:
    assert allowance(text) == allowed
    assert type(allowance(text)) is type(allowed)
    assert is_within(1, Fraction(1, 100), num_sources=100)
    assert not is_within(2, Fraction(1, 100), num_sources=199)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "101%", "1e3", "many", "%"])
def test_allowance_that_is_none(text: str) -> None:
    with pytest.raises(click.BadParameter):
        allowance(text)


def test_names_of_other_tools_mean_ours(films: Film, tmp_path: Path) -> None:
    root = films(3)
    names = [
        "--video_fps",
        "5",
        "--processes_count=1",
        "--number_sample_per_shard",
        "2",
        "--encode_quality",
        "70",
    ]
    given = [str(root), "--output_folder", str(tmp_path / "data"), *names, "--size", "48"]
    done = CliRunner().invoke(command, given, catch_exceptions=False, standalone_mode=False)
    assert done.return_value == 0
    ours = [str(root), str(tmp_path / "data"), "--fps", "5", "--samples_per_shard", "2", "--quality", "70"]
    done = CliRunner().invoke(command, [*ours, "--size", "48", "--json"], standalone_mode=False)
    assert json.loads(done.stdout)["num_shards_before"] == 2
    told = CliRunner().invoke(command, ["--help"]).output
    assert "encode" not in told
    assert "output-folder" not in told


@pytest.mark.parametrize("name", ["url_list", "image_size", "video_size", "resize_mode", "thread_count"])
def test_names_that_mean_something_else_are_no_aliases(name: str) -> None:
    assert own_name(name) == name.replace("_", "-")
    assert f"`--{name}`" in DOCS.read_text()


def test_aliases_are_documented() -> None:
    text = DOCS.read_text()
    for name in (
        "video_fps",
        "processes_count",
        "number_sample_per_shard",
        "encode_quality",
        "output_folder",
    ):
        assert f"`--{name}`" in text


def labels_of(data: Path) -> dict[str, tuple[object, ...]]:
    """Return label, split and published index of each sample, by its source."""
    dataset = open_dataset(data)
    return {
        meta.source: (meta.labels, meta.split)
        for meta in (dataset.meta(index) for index in range(len(dataset)))
    }


def test_several_lists_have_a_split_each_and_the_published_order(films: Film, tmp_path: Path) -> None:
    root = films(4)
    names = [f"{name}/v_{name}_g01_c0{take}.avi" for name in ("Rowing", "Archery") for take in (1, 2)]
    for name, film in zip(names, sorted(root.rglob("*.mp4")), strict=True):
        (root / name).parent.mkdir(exist_ok=True)
        film.rename(root / name)
    (tmp_path / "trainlist01.txt").write_text(f"{names[0]} 1\n{names[2]} 2\n")
    (tmp_path / "testlist01.txt").write_text(f"{names[1]}\n{names[3]}\n")
    lists = ("--list", f"train={tmp_path}/trainlist01.txt", "--list", f"validation={tmp_path}/testlist01.txt")
    done = invoke(tmp_path / "data", "--root", root, *lists)
    assert done.return_value == 0
    assert done.stderr.splitlines()[:3] == [
        f"2 lists are read as UCF101's trainlist or testlist, the first {tmp_path}/trainlist01.txt: "
        "4 samples.",
        "splits: train 2, val 2.",
        "classes: 2 (0 Rowing, 1 Archery).",
    ]
    assert labels_of(tmp_path / "data") == {
        f"trainlist01.txt/{names[0]}": (("Rowing",), "train"),
        f"trainlist01.txt/{names[2]}": (("Archery",), "train"),
        f"testlist01.txt/{names[1]}": (("Rowing",), "val"),
        f"testlist01.txt/{names[3]}": (("Archery",), "val"),
    }
    with tarfile.open(tmp_path / "data" / "frames" / "000000.tar") as tar:
        indexes = {
            member.name: tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.name.endswith(".cls")
        }
    assert {name.split("-")[2]: index for name, index in indexes.items()} == {"Rowing": b"0", "Archery": b"1"}


@pytest.mark.parametrize("text", ["train", "=l.csv", "train=", " =l.csv"])
def test_a_list_needs_a_split_and_a_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not SPLIT=FILE, such as train=trainlist01.txt"):
        invoke(tmp_path / "data", "--list", text)


def test_formats_are_shown_without_anything_else() -> None:
    done = CliRunner().invoke(command, ["--formats"])
    assert done.exit_code == 0
    assert "\n\nwebvid: WebVid's list\n    videoid,contentUrl,duration,page_dir,name\n" in done.stdout
    assert done.stdout.startswith("activitynet: ActivityNet's annotations\n")


def test_format_label_classes_and_suffix_reach_the_lists(films: Film, tmp_path: Path) -> None:
    root = films(2)
    (root / "l.txt").write_text("a/000.mp4 10 0\nb/001.webm 12 2\n")
    with pytest.raises(UsageError, match=r"\('a/000\.mp4 10 0'\) can be read as .* choose one with --format"):
        invoke(root / "l.txt", tmp_path / "data", "--dry-run")
    chosen = (root / "l.txt", tmp_path / "data", "--dry-run", "--format", "mmaction2-frames")
    with pytest.raises(UsageError, match="The labels are the integers 0 to 2, and no video has 1: name the"):
        invoke(*chosen)
    done = invoke(*chosen, "--num-classes", "3", "--any-suffix", "--json")
    found = json.loads(done.stdout)
    assert (found["labels"], found["num_missing"]) == ({"0": 1, "2": 1}, 0)
    assert "classes: 3 (the integers from 0 to 2)." in done.stderr.splitlines()
    found = result_of(*chosen, "--num-classes", "3")
    assert found["num_missing"] == 1
    with pytest.raises(UsageError, match="There is no format 'x': choose one of activitynet, "):
        invoke(root / "l.txt", tmp_path / "data", "--format", "x")
    (root / "e.csv").write_text(
        "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\nn,000,0,0:00:00.5,0,7\n"
    )
    for label, labels in (("verb", {"0": 1}), ("action", {"0,7": 1})):
        found = result_of(root / "e.csv", tmp_path / "data", "--dry-run", "--label", label)
        assert (found["labels"], found["num_segments"]) == (labels, 1)


def test_folders_give_labels_unless_told_otherwise(films: Film, tmp_path: Path) -> None:
    root = films(4)
    found = result_of(root, tmp_path / "data", "--dry-run")
    assert found["labels"] == {"a": 2, "b": 2}
    assert result_of(root, tmp_path / "data", "--dry-run", "--no-labels")["labels"] == {}
    found = result_of(tmp_path / "data", "--list", f"dev={root}", "--dry-run")
    assert (found["labels"], found["splits"]) == ({"a": 2, "b": 2}, {"dev": 4})


def test_bad_rows_go_to_quarantine_and_a_list_of_none_is_refused(films: Film, tmp_path: Path) -> None:
    root = films(2)
    (root / "l.csv").write_text("path,start,end\na/000.mp4,0,0.5\na/000.mp4,0.5,0.5\ngone.mp4,,\n")
    done = invoke(root / "l.csv", tmp_path / "data", "--json")
    found = json.loads(done.stdout)
    assert (found["num_ok"], found["rejected_by_reason"]) == (1, {"empty_segment": 1, "missing": 1})
    for sentence in (
        f"note: missing, and so in quarantine: 1 of 3 samples, the first {root}/gone.mp4; --missing error "
        "refuses such a list.",
        "note: without length, and so in quarantine: 1 segment, the first from 0.5 to 0.5 s of a/000.mp4.",
    ):
        assert sentence in done.stderr.splitlines()
    with pytest.raises(UsageError, match=r"gone\.mp4 is missing, 1 of 3: correct the list, or use"):
        invoke(root / "l.csv", tmp_path / "other", "--missing", "error")
    (root / "other.csv").write_text("path\ngone.mp4\n")
    with pytest.raises(UsageError, match=r"None of the 1 files that .*other\.csv names is there"):
        invoke(root / "other.csv", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_whole_videos_are_extracted_whole_with_the_captions_of_their_segments(
    films: Film, tmp_path: Path
) -> None:
    root = films(2, num_frames=20)
    rows = "a/000.mp4,he stops,1,2\nb/001.mp4,a dog,0,1\na/000.mp4,he runs,0,1.2\n"
    (root / "l.csv").write_text(f"path,caption,start,end\n{rows}")
    done = invoke(root / "l.csv", tmp_path / "data", "--whole-videos")
    assert "l.csv: its segments are joined to whole videos: 3 to 2." in done.stderr.splitlines()
    data = open_dataset(tmp_path / "data")
    found = {meta.source: meta for meta in (data.meta(index) for index in range(len(data)))}
    assert found["a/000.mp4"].captions == ("he runs", "he stops")
    assert found["b/001.mp4"].captions == ("a dog",)
    invoke(root, tmp_path / "plain", "--no-labels")
    assert sorted(open_dataset(tmp_path / "plain").keys) == sorted(data.keys)
    plain = open_dataset(tmp_path / "plain")
    assert {plain.meta(index).pts_s for index in range(2)} == {meta.pts_s for meta in found.values()}
    with pytest.raises(UsageError, match="a sample of a video, --split-scenes of each shot: use one"):
        invoke(root / "l.csv", tmp_path / "more", "--whole-videos", "--split-scenes")


@pytest.mark.parametrize(
    ("frames", "long", "short"),
    [
        (("--fps", "2"), (0.0, 0.5, 1.0), (0.0, 0.5)),
        (("--num-frames", "3"), (0.2, 0.7, 1.2), (0.1, 0.4, 0.7)),
    ],
)
def test_the_first_seconds_of_a_video_and_all_of_a_shorter_one(
    frames: tuple[str, ...], long: tuple[float, ...], short: tuple[float, ...], tmp_path: Path
) -> None:
    write_film(tmp_path / "v" / "long.mp4", fps=10, num_frames=60, size=(32, 32))
    write_film(tmp_path / "v" / "short.mp4", fps=10, num_frames=9, size=(32, 32))
    given = [str(tmp_path / "v"), str(tmp_path / "data"), *frames, "--first", "1.5", "--workers", "1"]
    done = CliRunner().invoke(command, given, catch_exceptions=False, standalone_mode=False)
    assert (done.return_value, done.stderr.splitlines()[0]) == (0, "segments: 2 of 2 videos.")
    data = open_dataset(tmp_path / "data")
    found = {meta.source: meta for meta in (data.meta(index) for index in range(2))}
    assert found["long.mp4"].pts_s == long
    assert found["short.mp4"].pts_s == short


@pytest.mark.parametrize("text", ["0", "-3", "nan", "inf", "all", ""])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    assert seconds("30") == 30.0
    with pytest.raises(click.BadParameter, match="is not a number of seconds, such as 30"):
        seconds(text)
