"""Lists of every kind, by their values, and what is said of those that cannot be understood."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vfm.shards.errors import MachineError, UsageError
from vfm.shards.format.plan import Source, build_plan
from vfm.video2token.sources.classes import read_classes
from vfm.video2token.sources.listing import ListOptions, list_sources

PLAIN = ListOptions()
IGNORE = ListOptions(other_columns="ignore")


def write(path: Path, content: str | list[Any] | dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        columns = list(dict.fromkeys(name for row in content for name in row))
        rows = [{name: row.get(name) for name in columns} for row in content]
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl" and isinstance(content, list):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in content))
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def read(path: Path, options: ListOptions = PLAIN) -> tuple[Source, ...]:
    """Return the sources of a list; the files it names need not exist."""
    return list_sources([path], missing="quarantine", options=options).sources


def told_of(path: Path, options: ListOptions = PLAIN) -> str:
    with pytest.raises(UsageError) as caught:
        read(path, options)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "")


ROWS: list[dict[str, Any]] = [
    {"path": "v/a.mp4", "labels": ["run", "jump"], "captions": ["one", "two, three"], "split": "train"},
    {"path": "v/b.mp4", "labels": ["run"], "start": 1.5, "end": 4, "key": "mine"},
    {"path": "v/b.mp4", "labels": [], "start": 4, "captions": ["ü"]},
]
CSV_LINES = [
    "path,labels,captions,split,start,end,key",
    'v/a.mp4,run|jump,"one|two, three",train,,,',
    "v/b.mp4,run,,,1.5,4,mine",
    "v/b.mp4,,ü,,4,,",
]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_kind_of_table_gives_the_same_sources(tmp_path: Path, suffix: str) -> None:
    content: Any = ROWS
    if suffix == "csv":
        content = "\r\n".join(CSV_LINES)
    if suffix == "tsv":
        content = "\n".join(
            line.replace('"', "").replace(", ", "; ").replace(",", "\t") for line in CSV_LINES
        )
    first, second, third = read(write(tmp_path / f"list.{suffix}", content))
    assert (first.identity, first.labels, first.split) == ("v/a.mp4", ("run", "jump"), "train")
    assert first.captions == ("one", "two; three" if suffix == "tsv" else "two, three")
    assert (first.start_s, first.end_s, first.label) == (None, None, "run")
    assert (second.identity, second.start_s, second.end_s, second.key) == ("v/b.mp4", 1.5, 4.0, "mine")
    assert (third.start_s, third.end_s, third.labels, third.captions) == (4.0, None, (), ("ü",))
    assert third.key.startswith("v-b-4-end-")
    assert {Path(source.path) for source in (first, second, third)} == {
        tmp_path / "v/a.mp4",
        tmp_path / "v/b.mp4",
    }


@pytest.mark.parametrize("column", ["path", "video", "file", "filename", " Video "])
@pytest.mark.parametrize(
    ("start", "end"), [("start", "end"), ("start_s", "end_s"), ("time_start", "time_end")]
)
def test_columns_have_other_names_too(tmp_path: Path, column: str, start: str, end: str) -> None:
    (source,) = read(write(tmp_path / "l.csv", f"{column},{start},{end}\na.mp4,0,2.25\n"))
    assert (source.identity, source.start_s, source.end_s) == ("a.mp4", 0.0, 2.25)


def test_a_single_label_or_caption_is_never_cut(tmp_path: Path) -> None:
    (source,) = read(write(tmp_path / "l.csv", "path,label,caption\na.mp4,a|b,c|d\n"))
    assert (source.labels, source.captions) == (("a|b",), ("c|d",))
    (source,) = read(
        write(tmp_path / "l.jsonl", [{"path": "a.mp4", "label": 0, "caption": ["c|d", " ", "e"]}])
    )
    assert (source.labels, source.captions) == (("0",), ("c|d", "e"))


def test_segments_of_one_video_have_keys_of_their_own(tmp_path: Path) -> None:
    rows = "a.mp4,,\na.mp4,0,1\na.mp4,1,2\na.mp4,100000.1,100000.2\na.mp4,100000.2,100000.3\na.mp4,,1\n"
    lines = "path,start,end\n" + rows.replace("a.mp4,,1\n", "a.mp4,,0.5\n")
    sources = read(write(tmp_path / "l.csv", lines))
    assert {source.identity for source in sources} == {"a.mp4"}
    slugs = [source.key.rpartition("-")[0] for source in sources]
    assert slugs == ["a", "a-0-1", "a-1-2", "a-100000-1-100000-2", "a-100000-2-100000-3", "a-0-0-5"]
    assert len(build_plan(sources, samples_per_shard=2).sources) == 6


def test_a_file_named_like_a_segment_keeps_its_own_key(tmp_path: Path) -> None:
    sources = read(write(tmp_path / "l.csv", "path,start,end\na.mp4,1,2\na1-2.mp4,,\na-1-2.mp4,,\n"))
    assert len({source.key for source in sources}) == 3


@pytest.mark.parametrize("row", ["a.mp4,1,2", "./a.mp4,1.0,2.0"])
def test_the_same_segment_twice_is_refused(tmp_path: Path, row: str) -> None:
    path = write(tmp_path / "l.csv", f"path,start,end\na.mp4,1,2\n{row}\n")
    assert "a.mp4 is named more than once: name each video or segment once" in told_of(path)


def test_paths_are_relative_to_the_root_when_there_is_one(tmp_path: Path) -> None:
    touch(tmp_path, "disk/v/a.mp4")
    path = write(tmp_path / "lists/l.csv", f"path\nv/a.mp4\n{tmp_path}/lists/b.mp4\n")
    first, second = read(path, ListOptions(root=tmp_path / "disk"))
    assert (first.identity, first.path, first.size_bytes) == ("v/a.mp4", f"{tmp_path}/disk/v/a.mp4", 1)
    assert second.identity == "../lists/b.mp4"


def test_several_lists_never_collide(tmp_path: Path) -> None:
    lines = "path\na.mp4\n"
    for folder in ("one", "two"):
        touch(tmp_path / folder, "a.mp4")
    inputs = [write(tmp_path / name, lines) for name in ("one/l.csv", "two/l.csv", "two/m.csv")]
    touch(tmp_path, "two/m.csv.d/a.mp4")
    found = list_sources([inputs[0], inputs[1], tmp_path / "two/m.csv.d"], missing="error").sources
    assert [source.identity for source in found] == [
        "one/l.csv/a.mp4",
        "two/l.csv/a.mp4",
        "two/m.csv.d/a.mp4",
    ]
    assert len({source.key for source in found}) == 3
    with pytest.raises(UsageError, match=r"two/a\.mp4 is named more than once"):
        list_sources(inputs, missing="error")


@pytest.mark.parametrize("name", ["-rf.mp4", "$(id).mp4", "日本.mp4", "a b.mp4", "x\ny.mp4", "%03d.mp4"])
def test_hostile_names_in_lists_are_names_and_no_more(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    (source,) = read(write(tmp_path / "l.jsonl", [{"path": name}]))
    assert (source.identity, source.size_bytes) == (name, 1)
    assert source.key.replace("-", "").isalnum()


def test_columns_that_mean_nothing_are_refused_or_ignored(tmp_path: Path) -> None:
    for suffix in ("jsonl", "json", "parquet"):
        path = write(
            tmp_path / f"l.{suffix}", [{"path": "a.mp4", "fps": 25, "video_bytes": "x", "label": "run"}]
        )
        assert "has an unknown column 'fps': name the columns path" in told_of(path)
        assert [source.labels for source in read(path, IGNORE)] == [("run",)]
    path = write(tmp_path / "m.jsonl", [{"path": "a.mp4"}, {"path": "b.mp4", "URL": "https://x.org"}])
    assert told_of(path).startswith("m.jsonl line 2: what the column 'URL' holds is an address")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("l.jsonl", '{"path": "a.mp4"}\n\n{"path": \n', "l.jsonl line 3 is not JSON (Expecting value"),
        ("l.jsonl", "[" * 100_000, "l.jsonl line 1 is not JSON"),
        ("l.jsonl", '["a.mp4"]', "l.jsonl line 1 is not a JSON object: write one on each line"),
        ("l.jsonl", [{"path": "a.mp4"}, {"label": "x"}], "l.jsonl line 2 has no column path"),
        ("l.jsonl", [{"path": "a.mp4", "label": 1.5}], "l.jsonl line 1: label is 1.5: write a text there"),
        ("l.jsonl", [{"path": "a.mp4", "label": True}], "l.jsonl line 1: label is True: write a text"),
        ("l.jsonl", [{"path": "a.mp4", "caption": ["a", {}]}], "l.jsonl line 1: caption is {}: write a text"),
        ("l.jsonl", [{"path": ["a.mp4"]}], "l.jsonl line 1: path is ['a.mp4']: write a text there"),
        ("l.jsonl", [{"path": "a.mp4", "start": [1]}], "l.jsonl line 1: start is [1]: write seconds"),
        ("l.jsonl", [{"path": "a.mp4", "start": True}], "l.jsonl line 1: start is True: write seconds"),
        ("l.jsonl", '{"path": "a.mp4", "end": NaN}', "l.jsonl line 1: end is nan: write seconds"),
        ("l.jsonl", f'{{"path": "a.mp4", "end": 1{"0" * 400}}}', "l.jsonl line 1: end is 1000"),
        ("l.jsonl", [{"path": "a.mp4\0"}], "l.jsonl line 1 has no usable path"),
        ("l.jsonl", [{"path": None}], "l.jsonl line 1 has no usable path"),
        ("l.jsonl", [{"path": "a.mp4", "label": "a", "labels": ["a"]}], "has both 'label' and 'labels'"),
        ("l.jsonl", [{"path": "a.mp4", "key": "__x"}], "l.jsonl line 1: Key '__x' cannot name a sample"),
        ("l.json", "{", "l.json is not JSON (Expecting"),
        ("l.json", "7", "l.json is no list that vfm knows: name its columns path"),
        ("l.json", [{"path": "a.mp4"}, "b.mp4"], "l.json entry 2 is not an object"),
        ("l.json", {"a.mp4": {"x": 1}}, "l.json is no list that vfm knows"),
        ("l.json", [], "l.json holds no video"),
        ("l.parquet", [{"path": "a.mp4"}, {"path": None}], "l.parquet row 2 has no usable path"),
        ("l.parquet", [{"path": "a.mp4", "label": 0.5}], "l.parquet row 1: label is 0.5: write a text there"),
        ("l.tsv", "path\tlabel\na.mp4 x\n", "l.tsv line 2 has 1 cells, its header 2"),
    ],
)  # fmt: skip
def test_a_bad_list_is_told_with_its_place(tmp_path: Path, name: str, content: Any, told: str) -> None:
    assert told in told_of(write(tmp_path / name, content))


@pytest.mark.parametrize("name", ["l.csv", "l.tsv", "l.txt", "l.jsonl", "l.json", "l.parquet"])
def test_noise_is_no_list(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PAR1\xff\xfe\x00path\n\xc3\x28")
    assert told_of(tmp_path / name).startswith(name)


@pytest.mark.parametrize("name", ["l.csv", "l.tsv", "l.txt", "l.jsonl", "l.json", "l.parquet", "l.tar"])
def test_a_list_that_may_not_be_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / name, [{"path": "a.mp4"}])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # tests may run as root, whom no mode stops
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refuse)
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(MachineError, match="cannot be read .*Permission denied.*change its mode"):
        read(path)


def test_text_list_gives_integers_as_labels_and_paths_with_spaces(tmp_path: Path) -> None:
    lines = "\ufeffv/a.mp4 3\n\nv/cam 1.mp4\t0 4 1\nv/b.mp4\nv/take 2\n"
    found = [(source.identity, source.labels) for source in read(write(tmp_path / "l.txt", lines))]
    assert found == [
        ("v/a.mp4", ("3",)),
        ("v/cam 1.mp4", ("0", "4", "1")),
        ("v/b.mp4", ()),
        ("v/take.mp4", ("2",)),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "v/frames 163 1",
            "l.txt line 2 is not a video and its labels: fix it, or read the whole list as path, number of",
        ),
        ("v/frames 10 163 1", "l.txt line 2 is not a video and its labels"),
        (
            "b.mp4 run",
            "l.txt line 2: the label 'run' is not an integer: write integers and name them with --classes",
        ),
        ("https://x.org/b.mp4 1", "l.txt line 2 is an address, and vfm downloads nothing"),
    ],
)
def test_text_list_of_another_style_is_refused(tmp_path: Path, line: str, told: str) -> None:
    assert told in told_of(write(tmp_path / "l.txt", f"a.mp4 1\n{line}\n"))


def test_classes_name_integers_of_every_list(tmp_path: Path) -> None:
    classes = read_classes(write(tmp_path / "names", "\ufeffarm wrestling\nrun\nü\n"))
    assert classes.names == ("arm wrestling", "run", "ü")
    assert read_classes(write(tmp_path / "names", "arm wrestling\r\nrun\nü\n\n")) == classes
    options = ListOptions(classes=classes, format_name="mmaction2")
    (source,) = read(write(tmp_path / "l.txt", "a.mp4 2 0\n"), options)
    options = ListOptions(classes=classes)
    assert source.labels == ("ü", "arm wrestling")
    sources = read(write(tmp_path / "l.csv", "path,label\na.mp4,1\nb.mp4,ü\nc.mp4,\n"), options)
    assert [source.labels for source in sources] == [("run",), ("ü",), ()]
    for label in ("3", "-1", "walk"):
        told = told_of(write(tmp_path / "l.csv", f"path,label\na.mp4,1\nb.mp4,{label}\n"), options)
        assert told.startswith(f"l.csv line 3: the label {label!r} is not one of the 3 classes (0 to 2)")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n\nb\n", "line 2 is blank"),
        ("a\nb\na\n", "line 3 has the class 'a' of line 1 again"),
        ("a\nb\n\n\n", "line 3 is blank"),
        ("\n", "names is empty"),
        ("", "names is empty"),
    ],
)
def test_bad_classes(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_classes(write(tmp_path / "names", text))
    with pytest.raises(UsageError, match="nowhere does not exist: name a file with one class per line"):
        read_classes(tmp_path / "nowhere")
    (tmp_path / "noise").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="noise is not UTF-8 text"):
        read_classes(tmp_path / "noise")


def test_object_of_captions_by_path(tmp_path: Path) -> None:
    path = write(tmp_path / "l.json", {"a.mp4": "one", "v/b.mp4": ["two", "three"], "c.mp4": None})
    options = ListOptions(format_name="path-to-caption")
    found = [(source.identity, source.captions) for source in read(path, options)]
    assert found == [("a.mp4", ("one",)), ("v/b.mp4", ("two", "three")), ("c.mp4", ())]


KINETICS = "label,youtube_id,time_start,time_end,split\n"


@pytest.mark.parametrize("folder", ["", "train", "riding a bike", "riding_a_bike", "train/riding_a_bike"])
@pytest.mark.parametrize("root", ["", "disk"])
def test_kinetics_clip_is_found_trimmed_or_whole(tmp_path: Path, folder: str, root: str) -> None:
    lines = 'riding a bike,-0abc_,7,17,train\nsing,Zz,120.0,130.0,validate\n"x, y",gone,0,10,train\n'
    touch(tmp_path / root / folder, "-0abc__000007_000017.webm", "-0abc_.mp4", "other.mp4")
    touch(tmp_path / root, "validate/sing/Zz.mkv")
    options = ListOptions(root=tmp_path / root if root else None)
    path = write(tmp_path / "k.csv", KINETICS + lines)
    trimmed, whole, gone = read(path, options)
    assert trimmed.path == str(tmp_path / root / folder / "-0abc__000007_000017.webm")
    assert (trimmed.start_s, trimmed.end_s, trimmed.size_bytes) == (None, None, 1)
    assert (trimmed.labels, trimmed.split) == (("riding a bike",), "train")
    assert (whole.identity, whole.start_s, whole.end_s) == ("validate/sing/Zz.mkv", 120.0, 130.0)
    assert (gone.identity, gone.size_bytes, gone.start_s) == ("gone_000000_000010.mp4", -1, None)
    assert gone.labels == ("x, y",)
    with pytest.raises(UsageError, match=r"gone_000000_000010\.mp4 is missing, 1 of 3"):
        list_sources([path], missing="error", options=options)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (KINETICS + "a,,0,10,train\n", "k.csv line 2 has no youtube_id or no times"),
        (KINETICS + "a,../x,0,10,train\n", "k.csv line 2 has no usable id of a video"),
        (KINETICS + "a,x,0,,train\n", "k.csv line 2 has no youtube_id or no times"),
        ("youtube_id,time_start\nx,0\n", "k.csv line 2: a Kinetics list needs a column time_end"),
        ("youtube_id,time_start,time_end,z\nx,0,1,2\n", "k.csv line 2: a Kinetics list has no column 'z'"),
    ],
)
def test_bad_kinetics_list(tmp_path: Path, text: str, told: str) -> None:
    touch(tmp_path, "x.mp4")
    assert told in told_of(write(tmp_path / "k.csv", text))


def test_kinetics_list_with_other_columns_and_without_labels(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4")
    path = write(tmp_path / "k.csv", "youtube_id,time_start,time_end,split,is_cc\nx,0,10,test,1\n")
    (source,) = read(path)
    assert (source.labels, source.split, source.start_s, source.end_s) == ((), "test", 0.0, 10.0)


def test_kinetics_labels_do_not_lead_out_of_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4", "in/k")
    path = write(tmp_path / "in/k.csv", KINETICS + f"..,x,0,10,train\n{tmp_path},x,0,11,..\n")
    assert [source.size_bytes for source in read(path)] == [-1, -1]


def test_two_files_of_one_clip_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4", "x.webm", "x.mp4.part")
    path = write(tmp_path / "k.csv", KINETICS + "a,x,0,10,train\n")
    assert "holds both x.mp4 and x.webm, and k.csv line 2 names neither" in told_of(path)


MSRVTT: dict[str, Any] = {
    "info": {"year": "2016"},
    "videos": [
        {"video_id": "video0", "split": "train", "category": 9, "start time": 137.7, "end time": 149.4},
        {"video_id": "video1", "split": "test", "id": 1},
    ],
    "sentences": [
        {"caption": "a car", "video_id": "video0", "sen_id": 0},
        {"caption": "a man", "video_id": "video1", "sen_id": 1},
        {"caption": "a fast car", "video_id": "video0", "sen_id": 2},
    ],
}  # fmt: skip


def test_msrvtt_gives_all_captions_of_a_video(tmp_path: Path) -> None:
    touch(tmp_path, "TrainValVideo/video0.mp4", "video1.avi", "video10.mp4")
    path = write(tmp_path / "m.json", MSRVTT)
    first, second = list_sources([path], missing="error").sources
    assert (first.identity, first.captions) == ("TrainValVideo/video0.mp4", ("a car", "a fast car"))
    assert (first.split, first.labels) == ("train", ("9",))
    assert (first.start_s, first.end_s) == (None, None)  # the published clips are cut already
    assert (second.identity, second.captions, second.labels) == ("video1.avi", ("a man",), ())
    (tmp_path / "video1.avi").unlink()
    with pytest.raises(UsageError, match=r"video1\.mp4 is missing, 1 of 2"):
        list_sources([path], missing="error")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"videos": {}}, "m.json: videos is not a list"),
        ({"videos": [{"id": 1}]}, "m.json video 1 has no video_id"),
        ({"videos": [{"video_id": "../x"}]}, "m.json video 1 has no usable video_id"),
        ({"sentences": [7]}, "m.json sentence 1 is not an object"),
        ({"sentences": [{"video_id": "video0"}]}, "m.json sentence 1 lacks its video_id or its caption"),
        (
            {"sentences": [{"video_id": "video9", "caption": "x"}]},
            "m.json sentence 1 is about 'video9', which is not one of its videos",
        ),
    ],
)
def test_bad_msrvtt_file(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    assert told in told_of(write(tmp_path / "m.json", MSRVTT | change))


@pytest.mark.needs("shared")
def test_real_lists(shared: Path) -> None:
    labelled = list_sources([shared / "videos/labelled/labels.csv"], missing="error").sources
    assert len(labelled) == 300
    assert {source.label for source in labelled} == {"fight", "noFight"}
    captioned = list_sources([shared / "videos/captioned/captions.jsonl"], missing="error").sources
    assert len(captioned) == 120
    assert captioned[0].captions == ("bin blue at f two now",)
