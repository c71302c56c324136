"""Each published format: a small list as its data set writes it, and the exact samples that it means."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.published import action_recognition, captions, segments
from support.published.case import Case, Sample, in_parquet, sample
from vfm.shards.errors import UsageError
from vfm.video2token.sources import annotations
from vfm.video2token.sources.listing import Listing, ListOptions, list_sources, refuse_absent
from vfm.video2token.sources.lists.recognition import open_list, recognized
from vfm.video2token.sources.report import told


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def listing_of(path: Path, options: ListOptions = ListOptions()) -> Listing:  # noqa: B008 (frozen)
    return list_sources([path], missing="quarantine", options=options)


def samples_of(found: Listing) -> list[Sample]:
    return [
        (source.identity, source.labels, source.captions, source.split, source.start_s, source.end_s)
        for source in found.sources
    ]


CASES = [*action_recognition.CASES, *captions.CASES, *segments.CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.file}")
def test_a_list_as_published_means_these_samples(case: Case, tmp_path: Path) -> None:
    path = written(tmp_path / case.file, case.content)
    touch(tmp_path, *case.videos)
    found = listing_of(path, ListOptions(**case.options))
    assert samples_of(found) == case.samples
    assert found.classes == case.classes
    (read,) = found.inputs
    assert read.format_name == case.name
    sentences = told(found)
    assert sentences[0] == f"{path} is read as {case.read_as}"
    assert [note for note in case.notes if note.format(root=tmp_path) not in sentences] == []
    missing = [source.identity for source in found.sources if source.size_bytes < 0]
    assert missing == list(case.missing)


def test_every_format_has_a_case() -> None:
    assert {case.name for case in CASES} == set(annotations.names())


# The name that an example's file may have, where it is another than of CSV.
FILES = {
    "charades-sta": "l.txt",
    "hmdb51": "brush_hair_test_split1.txt",
    "internvid": "l.jsonl",
    "mmaction2": "l.txt",
    "mmaction2-frames": "l.txt",
    "msvd": "l.txt",
    "path-start-end": "l.txt",
    "ucf101": "trainlist01.txt",
    "video-folder": "metadata.jsonl",
}


@pytest.mark.parametrize("name", annotations.names())
def test_an_example_is_of_its_own_format_and_no_other(name: str, tmp_path: Path) -> None:
    text = annotations.load(name).example
    content: Any = text.replace("\\t", "\t")
    file = FILES.get(name, "l.json" if text.startswith(("{", "[")) else "l.csv")
    if name == "internvid":
        content = text.replace("\n", "")  # one object on two lines, as a line of it is long
    if name == "hugging-face":
        assert text.splitlines() == [
            f"video: {{bytes: …, path: {v}.mp4}}, label: {i}" for i, v in enumerate("ab")
        ]
        file = "l.parquet"
        content = in_parquet(
            [{"bytes": b"G", "path": "a.mp4"}, {"bytes": b"x", "path": "b.mp4"}], label=[0, 1]
        )
    found = open_list(written(tmp_path / file, content))
    assert recognized(found, name=None) == name
    own = [each for each in annotations.names() if not annotations.load(each).is_common]
    fitting = {each for each in own if annotations.load(each).fits(found)}
    assert fitting == ({name} & set(own))
    assert len(text.split("\n")) == 2
    sources = listing_of(tmp_path / file).sources
    assert 1 <= len(sources) <= 2


EPIC_HEADER = "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,verb_class\n"
CHARADES = "id,actions,length\n"
UCF = "Archery/v_Archery_g08_c01.avi"


@pytest.mark.parametrize(
    ("name", "file", "content", "expected"),
    [
        ("activitynet", "l.json", {"database": {"a": {"annotations": {}}}},
         "l.json video a is not an object with a list of annotations: write it as ActivityNet does."),
        ("activitynet", "l.json", {"database": {"a": {"annotations": [{"segment": [1], "label": "x"}]}}},
         "l.json video a has an annotation without a label or a segment of two times: fix it."),
        ("activitynet", "l.json", {"database": {"a": {"annotations": [{"segment": [0, "x"], "label": "x"}]}}},
         "l.json video a: segment is 'x': write seconds from the video's first frame, or hh:mm:ss."),
        ("activitynet", "l.json", [{"a": 1}],
         "l.json has no object `database`: give the file of ActivityNet v1.3."),
        ("activitynet-captions", "l.json", {"a": {"timestamps": [[0, 1]], "sentences": []}},
         "l.json video a has not one sentence for each timestamp of two times: fix it."),
        ("activitynet-captions", "l.json", [7],
         "l.json is not an object of videos by their ids: give the file of ActivityNet Captions."),
        ("charades", "l.csv", CHARADES + "a,c092 11.90,2\n",
         "l.csv line 2: 'c092 11.90' is not an action such as c092 11.90 21.20: fix it."),
        ("charades", "l.csv", CHARADES + "a,c157 0 1,2\n",
         "l.csv line 2: 'c157 0 1' is not an action such as c092 11.90 21.20: fix it."),
        ("charades-sta", "l.txt", "a 0.0 1.0##x\na 0.0 1.0 x\n",
         "l.txt line 2 is not `ID START END##sentence`: fix it."),
        ("charades-sta", "l.txt", "a 0.0 one##x\n",
         "l.txt line 1: end is 'one': write seconds from the video's first frame, or hh:mm:ss."),
        ("columns", "l.csv", "path,start\na.mp4,0:5/0\n",
         "l.csv line 2: start is '0:5/0': write seconds from the video's first frame, or hh:mm:ss."),
        ("didemo", "l.json", [{"video": "../a.avi", "description": "x", "times": []}],
         "l.json entry 1 has no usable id of a video: write it, or delete it."),
        ("diving48", "l.json", [{"vid_name": "a", "label": 1.5}],
         "l.json entry 1: label is 1.5: write a text there."),
        ("epic-kitchens", "l.csv", EPIC_HEADER + "n,P01,P01_01,0:0:1,0:0:60:1,3\n",
         "l.csv line 2: stop_timestamp is '0:0:60:1': write seconds from the video's first frame, or "
         "hh:mm:ss."),
        ("hmdb51", "l.txt", "a.avi 1\n",
         "l.txt is not called CLASS_test_splitN.txt: give it HMDB51's name again."),
        ("hmdb51", "run_test_split1.txt", "a.avi 1\nb.avi 3\n",
         "run_test_split1.txt line 2 is not a video and 0, 1 or 2: fix it."),
        ("howto100m", "l.csv", "video_id,category_1,task_id\n,x,1\n",
         "l.csv line 2 has no usable id of a video: write it, or delete it."),
        ("howto100m-captions", "l.json", {"a": {"start": [1], "end": [2, 3], "text": ["x"]}},
         "l.json video a has not as many start, end and text: fix it."),
        ("hugging-face", "l.parquet", pa.table({"a": [1]}),
         "l.parquet has no column of videos: name one video, or choose another --format."),
        ("hugging-face", "l.parquet", pa.table({"video": [b"\x89PNG\r\n"]}),
         "l.parquet row 1 holds a PNG picture, no video: give a data set of videos."),
        ("hugging-face", "l.parquet", pa.table({"video": [b"\xff\xd8\xff\xe0"]}),
         "l.parquet row 1 holds a JPEG picture, no video: give a data set of videos."),
        ("hugging-face", "l.parquet", pa.table({"video": [b"RIFF\0\0\0\0WEBPVP8 "]}),
         "l.parquet row 1 holds a WebP picture, no video: give a data set of videos."),
        ("hugging-face", "l.parquet", pa.table({"video": [b"noise"]}),
         "l.parquet row 1 holds bytes of another kind, no video: give a data set of videos."),
        ("hugging-face", "l.parquet", in_parquet([{"bytes": b"G", "path": None}], label=[2]),
         "l.parquet row 1 has the label 2, and the file names 2 classes: correct it."),
        ("internvid", "l.jsonl",
         '{"YoutubeID": "a", "Start_timestamp": "x", "End_timestamp": 1, "Caption": ""}',
         "l.jsonl line 1: start_timestamp is 'x': write seconds from the video's first frame, or hh:mm:ss."),
        ("kinetics", "l.json", {"a": {"annotations": {"segment": [1]}, "subset": "train"}},
         "l.json entry a has no segment of two times: write it as Kinetics does."),
        ("lsmdc", "l.csv", f"{captions.LSMDC[0]}\tShe sits.\nJuno\tShe sits.\n",
         "l.csv line 2 is not a clip of LSMDC and cells behind tabs: fix it."),
        ("mmaction2-frames", "l.txt", "v/b 163 0\nv/b 0\n",
         "l.txt line 2 is not a path, a number of frames and a label: fix it."),
        ("msrvtt", "l.csv", "video_id\nvideo1\n/etc/video2\n",
         "l.csv line 3 has no usable id of a video: write it, or delete it."),
        ("msvd", "l.txt", captions.MSVD + "mv89psg6zh4 A bird\n",
         "l.txt line 6 is not `ID_START_END sentence`: fix it."),
        ("path-start-end", "l.txt", "a.mp4 0 1.5\na.mp4 7\n",
         "l.txt line 2 is not a path, two times in seconds and a label or none: fix it."),
        ("path-to-caption", "l.json", [{"path": "a.mp4"}],
         "l.json does not hold an object of texts by path: choose another --format."),
        ("path-to-caption", "l.json", {"a.mp4": "one of many words", "b.mp4": 1.5},
         "l.json entry 2: caption is 1.5: write a text there."),
        ("path-to-label", "l.json", {"a.mp4": "x", "b.mp4": 1.5},
         "l.json entry 2: label is 1.5: write a text there."),
        ("path-to-label", "l.json", {"a.mp4": "x", "": "x"},
         "l.json entry 2 has no usable path: name a video there, or delete it."),
        ("something-something", "l.json", [{"id": "1", "template": ["x"]}],
         "l.json entry 1: template is ['x']: write a text there."),
        ("ucf101", "l.txt", f"{UCF} 1\na.avi 1\n",
         "l.txt line 2 is not `Class/v_Class_gNN_cNN.avi` with a number or without: fix it."),
        ("ucf101", "l.txt", f"{UCF} 0\n",
         "l.txt line 1 has the number 0, and UCF101's classes count from 1: choose another --format."),
        ("ucf101", "l.txt", f"{UCF} 1\nArchery/v_Archery_g09_c01.avi 2\n",
         "l.txt line 2 gives the class Archery another number than 1, which it has elsewhere: use the lists "
         "and the classInd.txt of one release."),
        ("vatex", "l.json", [{"videoID": "a", "enCap": []}],
         "l.json entry 1: videoID is 'a', not ID_START_END with six digits each: fix it."),
        ("video-folder", "l.csv", "file_name\nhttps://x.org/a.mp4\n",
         "l.csv line 2 is an address, and vfm downloads nothing: fetch it with another tool and name "
         "the file."),
        ("videomae", "l.csv", "a.mp4 1\na.mp4 1 2\n",
         "l.csv line 2 is not a video and one label: fix it, or choose another --format."),
        ("webvid", "l.csv", "videoid,page_dir,name\n7,x\n",
         "l.csv line 2 has 2 cells, its header 3: fix it."),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_with_its_place(
    name: str, file: str, content: Any, expected: str, tmp_path: Path
) -> None:
    path = written(tmp_path / file, content)
    with pytest.raises(UsageError) as caught:
        listing_of(path, ListOptions(format_name=name))
    assert str(caught.value).replace(f"{tmp_path}/", "") == expected


@pytest.mark.parametrize("name", annotations.names())
@pytest.mark.parametrize("file", ["l.txt", "l.csv", "l.json", "l.jsonl", "l.parquet"])
def test_a_list_of_another_kind_is_refused_in_one_sentence(name: str, file: str, tmp_path: Path) -> None:
    contents: dict[str, Any] = {
        "l.txt": "one two three four\n",
        "l.csv": "one,two\n3,0\n",
        "l.json": {"one": [0], "three": None},
        "l.jsonl": '{"one": 2}\n',
        "l.parquet": pa.table({"one": [2]}),
    }
    path = written(tmp_path / file, contents[file])
    with pytest.raises(UsageError, match=r"\A[^\n]*l\.[a-z]+[^\n]*\Z"):
        refuse_absent(
            listing_of(path, ListOptions(format_name=name))
        )  # some formats take any name for a path


def test_captions_of_a_list_of_ids_are_those_of_the_file_beside(tmp_path: Path) -> None:
    touch(tmp_path, "video1.mp4")
    videos = [{"video_id": "video1"}, {"video_id": "video2"}]
    sentences = [{"video_id": "video1", "caption": text} for text in ("one", "two")]
    written(tmp_path / "MSRVTT_data.json", {"videos": videos, "sentences": sentences})
    found = listing_of(written(tmp_path / "MSRVTT_train.7k.csv", "video_id\nvideo1\n"))
    assert samples_of(found) == [sample("video1.mp4", captions=("one", "two"), split="train")]
    assert told(found)[2] == (
        f"MSRVTT_train.7k.csv: its captions are those of {tmp_path}/MSRVTT_data.json, which lies beside it."
    )


def test_msrvtt_for_retrieval_has_all_captions_to_train_on_and_one_to_test_with(tmp_path: Path) -> None:
    sentences = [f"caption {number % 19}" for number in range(20)]  # one stands there twice
    whole = {
        "videos": [{"video_id": name, "split": "train", "category": 3} for name in ("video7", "video9770")],
        "sentences": [
            {"video_id": video_id, "caption": f"{text} of {video_id}", "sen_id": number}
            for number, text in enumerate(sentences)
            for video_id in ("video9770", "video7")
        ],
    }
    written(tmp_path / "MSRVTT_data.json", whole)
    train = written(tmp_path / "MSRVTT_train.9k.csv", "video_id\nvideo7\n")
    header = "key,vid_key,video_id,sentence"
    test = written(tmp_path / "1k.csv", f"{header}\nret0,msr9770,video9770,a person connects something\n")
    touch(tmp_path, "video7.mp4", "video9770.mp4")
    found = list_sources(
        [], missing="error", options=ListOptions(root=tmp_path), lists=[("train", train), ("test", test)]
    )
    assert samples_of(found) == [
        sample(
            "MSRVTT_train.9k.csv/video7.mp4",
            captions=tuple(f"{text} of video7" for text in sentences),
            split="train",
        ),
        sample("1k.csv/video9770.mp4", captions=("a person connects something",), split="test"),
    ]
    assert (
        f"MSRVTT_train.9k.csv: its captions are those of {tmp_path / 'MSRVTT_data.json'}, which lies "
        in str(told(found))
    )
    assert "captions: 21 for 2 samples." in told(found)


def test_charades_whole_videos_have_all_actions_as_labels(tmp_path: Path) -> None:
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    actions = "c092 11.90 21.20;c147 0.00 12.60;c001 11.90 21.20;c092 1.00 2.00"
    path = written(
        tmp_path / "l.csv",
        f"{header}\n46GP8,HR43,Kitchen,6,7,Yes,A,food,B,{actions},24.8\nN11GT,,,,,,A,d,B,,18\n",
    )
    touch(tmp_path, "46GP8.mp4", "N11GT.mp4")
    found = listing_of(path, ListOptions(whole_videos=True))
    assert samples_of(found) == [sample("46GP8.mp4", "c147", "c092", "c001"), sample("N11GT.mp4")]
    assert "l.csv: its segments are joined to whole videos: 3 to 1." in told(found)
