"""Each published format: a small list as its data set writes it, and the exact samples that it means."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources import annotations
from vfm.video2token.sources.listing import Listing, ListOptions, list_sources, refuse_absent
from vfm.video2token.sources.lists.recognition import open_list, recognized
from vfm.video2token.sources.report import told

Sample = tuple[
    str, tuple[str, ...], tuple[str, ...], str | None, float | None, float | None
]  # identity, labels, captions, split, start_s, end_s


def sample(
    identity: str,
    *labels: str,
    captions: tuple[str, ...] = (),
    split: str | None = None,
    times_s: tuple[float | None, float | None] = (None, None),
) -> Sample:
    return (identity, labels, captions, split, *times_s)


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


def in_parquet(videos: list[dict[str, Any]], **columns: list[Any]) -> pa.Table:
    """Return a table as Hugging Face writes it, whose labels are a ClassLabel of ``cat`` and ``dog``."""
    table = pa.table({"video": videos, **columns})
    features = {"video": {"_type": "Video"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


@dataclass(frozen=True, kw_only=True)
class Case:
    """A list, the files beside it, and what it means.

    Attributes:
        name: of the format.
        file: name of the list.
        content: text, or the value of a JSON file, or a table.
        videos: the files that are there, of one byte each.
        samples: what the list means, in its order.
        read_as: of the sentence about the list, without its path.
        classes: in the order of their index; those that occur unless given.
        notes: more that is said, without the path.
        missing: the samples whose videos are not there.
        options: beside the defaults.
    """

    name: str
    file: str
    content: Any
    videos: tuple[str, ...]
    samples: list[Sample]
    read_as: str
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


EPIC = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
    "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
    "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,open door,open,3,door,3,['door'],[3]\n"
    "P01_01_1,P01,P01_01,00:00:02.629,00:01:04.37,01:00:06.17,262,370,turn on light,turn-on,6,light,114,"
    "['light'],[114]\n"
)
EPIC_TIMES_S = ((0.14, 3.37), (64.37, 3606.17))
LSMDC = ("1004_Juno_00.00.32.343-00.00.35.546", "1004_Juno_00.01.32.343-00.01.35.546")
MSVD = (
    "# Microsoft Research Video Description Corpus\n\n"
    "mv89psg6zh4_33_46 A bird is bathing in a sink.\n"
    "mv89psg6zh4_33_46 A bird bathes.\n"
    "-_aaMGK6GGw_57_61 Two men dance.\n"
)

CASES = [
    Case(
        name="activitynet",
        file="activity_net.v1-3.min.json",
        content={
            "version": "VERSION 1.3",
            "database": {
                "sJQCchGzGkU": {
                    "duration": 8.0,
                    "subset": "training",
                    "annotations": [
                        {"segment": [0.83, 3.0], "label": "Archery"},
                        {"segment": [3, 7.5], "label": "Drinking coffee"},
                        {"segment": [0.83, 3.0], "label": "Archery"},
                    ],
                },
                "--0edUL8zmA": {"subset": "testing", "annotations": []},
            },
        },
        videos=("v_sJQCchGzGkU.mp4", "test/v_--0edUL8zmA.mkv"),
        samples=[
            sample("v_sJQCchGzGkU.mp4", "Archery", split="train", times_s=(0.83, 3.0)),
            sample("v_sJQCchGzGkU.mp4", "Drinking coffee", split="train", times_s=(3.0, 7.5)),
            sample("test/v_--0edUL8zmA.mkv", split="test"),
        ],
        classes=("Archery", "Drinking coffee"),
        read_as="ActivityNet's annotations: 3 samples.",
    ),
    Case(
        name="activitynet-captions",
        file="train.json",
        content={
            "v_sJQCchGzGkU": {
                "duration": 8.0,
                "timestamps": [[0.83, 3.0], [2, 8.04]],
                "sentences": ["A man runs.", " He stops."],
            }
        },
        videos=("sJQCchGzGkU.webm",),
        samples=[
            sample("sJQCchGzGkU.webm", captions=("A man runs.",), split="train", times_s=(0.83, 3.0)),
            sample("sJQCchGzGkU.webm", captions=("He stops.",), split="train", times_s=(2.0, 8.04)),
        ],
        read_as="ActivityNet Captions: 2 samples.",
        notes=("split train by the name of the list: train.json.",),
    ),
    Case(
        name="charades",
        file="Charades_v1_train.csv",
        content="id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
        '46GP8,HR43,Kitchen,6,7,Yes,"A person, cooking.",food,"A person cooks",'
        "c092 11.90 21.20;c147 0.00 12.60;c001 11.90 21.20,24.83\n"
        "N11GT,0KZ7,Stairs,,7,Yes,A person,door,A person,,18.75\n",
        videos=("46GP8.mp4", "N11GT.mp4"),
        samples=[
            sample("46GP8.mp4", "c092", "c001", split="train", times_s=(11.9, 21.2)),
            sample("46GP8.mp4", "c147", split="train", times_s=(0.0, 12.6)),
            sample("N11GT.mp4", split="train"),
        ],
        classes=tuple(f"c{number:03d}" for number in range(157)),
        read_as="Charades' list: 3 samples.",
    ),
    Case(
        name="charades-sta",
        file="charades_sta_test.txt",
        content="AO8RW 0.0 6.9##a person is putting a book on a shelf.\n"
        "Y6R7T 20.8 30.0##person begins to play. ##twice\n",
        videos=("AO8RW.mp4", "Y6R7T.mp4"),
        samples=[
            sample(
                "AO8RW.mp4",
                captions=("a person is putting a book on a shelf.",),
                split="test",
                times_s=(0.0, 6.9),
            ),
            sample(
                "Y6R7T.mp4", captions=("person begins to play. ##twice",), split="test", times_s=(20.8, 30.0)
            ),
        ],
        read_as="Charades-STA's list: 2 samples.",
    ),
    Case(
        name="columns",
        file="mine.csv",
        content=",path;label;start\n".replace(",", ";") + '0;v/a.mp4;"run; jump";0:01:02.5\n1;b.mp4;sit;\n',
        videos=("v/a.mp4", "b.mp4"),
        samples=[sample("v/a.mp4", "run; jump", times_s=(62.5, None)), sample("b.mp4", "sit")],
        classes=("run; jump", "sit"),
        read_as="a table with the columns path and any of label, caption, start, end, split, key: 2 samples.",
        notes=(
            "mine.csv: semicolons stand between its cells, and are read as commas.",
            "mine.csv: a column without a name is left unread: the row numbers of pandas.",
        ),
    ),
    Case(
        name="didemo",
        file="val_data.json",
        content=[
            {
                "video": "54322086@N00_2408598493_274c77d26a.avi",
                "description": text,
                "times": [[0, 0], [0, 1]],
                "annotation_id": 7,
                "num_segments": 6,
            }
            for text in ("a dog runs into view", "the dog leaves")
        ]
        + [{"video": "1@N00_2_3.mov", "description": "a cat", "times": [[2, 3]]}],
        videos=("54322086@N00_2408598493_274c77d26a.mp4", "1@N00_2_3.mov"),
        samples=[
            sample(
                "54322086@N00_2408598493_274c77d26a.mp4",
                captions=("a dog runs into view", "the dog leaves"),
                split="val",
            ),
            sample("1@N00_2_3.mov", captions=("a cat",), split="val"),
        ],
        read_as="DiDeMo's list: 2 samples.",
        notes=(
            "val_data.json: its times are left unread: a sample is a whole video with all its descriptions.",
        ),
    ),
    Case(
        name="diving48",
        file="Diving48_V2_train.json",
        content=[
            {"vid_name": "-mwcnyUVtrA_00001", "label": 26, "start_frame": 0, "end_frame": 128},
            {"vid_name": "-mwcnyUVtrA_00002", "label": 3, "start_frame": 0, "end_frame": 97},
        ],
        videos=("rgb/-mwcnyUVtrA_00001.mp4", "rgb/-mwcnyUVtrA_00002.mp4"),
        samples=[
            sample("rgb/-mwcnyUVtrA_00001.mp4", "26", split="train"),
            sample("rgb/-mwcnyUVtrA_00002.mp4", "3", split="train"),
        ],
        classes=tuple(map(str, range(48))),
        read_as="Diving48's list: 2 samples.",
    ),
    Case(
        name="epic-kitchens",
        file="EPIC_100_train.csv",
        content=EPIC,
        videos=("P01/videos/P01_01.MP4",),
        samples=[
            sample("P01/videos/P01_01.MP4", captions=(text,), split="train", times_s=times_s)
            for text, times_s in zip(("open door", "turn on light"), EPIC_TIMES_S, strict=True)
        ],
        read_as="EPIC-KITCHENS' segments: 2 samples.",
        notes=(
            "EPIC_100_train.csv: its segments get captions and no labels: --label verb, noun or action gives "
            "them.",
        ),
    ),
    Case(
        name="epic-kitchens",
        file="EPIC_100_train.csv",
        content=EPIC,
        videos=("P01/P01_01.MP4",),
        samples=[
            sample("P01/P01_01.MP4", "3", captions=("open door",), split="train", times_s=EPIC_TIMES_S[0]),
            sample(
                "P01/P01_01.MP4", "6", captions=("turn on light",), split="train", times_s=EPIC_TIMES_S[1]
            ),
        ],
        options={"label": "verb"},
        classes=tuple(map(str, range(97))),
        read_as="EPIC-KITCHENS' segments: 2 samples.",
    ),
    Case(
        name="epic-kitchens",
        file="EPIC_100_train.csv",
        content=EPIC,
        videos=("P01_01.MP4",),
        samples=[
            sample("P01_01.MP4", "3,3", captions=("open door",), split="train", times_s=EPIC_TIMES_S[0]),
            sample(
                "P01_01.MP4", "6,114", captions=("turn on light",), split="train", times_s=EPIC_TIMES_S[1]
            ),
        ],
        options={"label": "action"},
        classes=("3,3", "6,114"),
        read_as="EPIC-KITCHENS' segments: 2 samples.",
    ),
    Case(
        name="hmdb51",
        file="brush_hair_test_split1.txt",
        content="April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \nb.avi 2 \nunused.avi 0 \n",
        videos=("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "b.avi", "brush_hair/unused.avi"),
        samples=[
            sample("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush_hair", split="train"),
            sample("b.avi", "brush_hair", split="test"),
        ],
        classes=("brush_hair",),
        read_as="HMDB51's split: 2 samples.",
        notes=(
            "note: rows (0 in HMDB51's split, neither train nor test) are left out: 1, the first "
            "{root}/brush_hair_test_split1.txt line 3.",
        ),
    ),
    Case(
        name="howto100m",
        file="HowTo100M_v1.csv",
        content="video_id,category_1,category_2,rank,task_id\n"
        "nVbIUDjzWY4,Cars & Other Vehicles,Motorcycles,27,52907\nCTPAZ2euJ2Q,,Motorcycles,35,109057\n",
        videos=("nVbIUDjzWY4.mp4", "CTPAZ2euJ2Q.webm"),
        samples=[sample("nVbIUDjzWY4.mp4", "Cars & Other Vehicles"), sample("CTPAZ2euJ2Q.webm")],
        classes=("Cars & Other Vehicles",),
        read_as="HowTo100M's list of videos: 2 samples.",
        notes=("note: without a label: 1 of 2 samples.",),
    ),
    Case(
        name="howto100m-captions",
        file="caption.json",
        content={"nVbIUDjzWY4": {"start": [9.52, 12.0], "end": [13.0, 15.1], "text": ["first", "and then"]}},
        videos=("nVbIUDjzWY4.mp4",),
        samples=[
            sample("nVbIUDjzWY4.mp4", captions=("first",), times_s=(9.52, 13.0)),
            sample("nVbIUDjzWY4.mp4", captions=("and then",), times_s=(12.0, 15.1)),
        ],
        read_as="HowTo100M's narrations: 2 samples.",
    ),
    Case(
        name="howto100m-captions",
        file="nVbIUDjzWY4.csv",
        content=",start,end,text\n0,9.52,13.0,first\n1,12.0,15.1,\n",
        videos=("nVbIUDjzWY4.mp4",),
        samples=[
            sample("nVbIUDjzWY4.mp4", captions=("first",), times_s=(9.52, 13.0)),
            sample("nVbIUDjzWY4.mp4", times_s=(12.0, 15.1)),
        ],
        read_as="HowTo100M's narrations: 2 samples.",
    ),
    Case(
        name="hugging-face",
        file="train-00000-of-00001.parquet",
        content=in_parquet(
            [{"bytes": b"GIF", "path": "a.mp4"}, {"bytes": b"other", "path": "b.mp4"}],
            label=[1, 0],
            fps=[2, 3],
        ),
        videos=(),
        samples=[
            sample("train-00000-of-00001.parquet/000000.mp4", "dog", split="train"),
            sample("train-00000-of-00001.parquet/000001.mp4", "cat", split="train"),
        ],
        classes=("cat", "dog"),
        read_as="Hugging Face's Parquet with videos inside: 2 samples.",
        notes=("train-00000-of-00001.parquet: left unread: fps.",),
    ),
    Case(
        name="internvid",
        file="InternVid-10M-flt.jsonl",
        content='{"YoutubeID": "6iBNXAm5N-w", "Start_timestamp": "00:00:01.227", "End_timestamp": '
        '"00:00:03.000", "Caption": "a person in a kitchen", "Aesthetic_Score": 4.2, "UMT_Score": 0.41}\n',
        videos=("6iBNXAm5N-w.mp4",),
        samples=[sample("6iBNXAm5N-w.mp4", captions=("a person in a kitchen",), times_s=(1.227, 3.0))],
        read_as="InternVid's list: 1 sample.",
    ),
    Case(
        name="kinetics",
        file="k700_list.csv",
        content="label,youtube_id,time_start,time_end,split\ntestifying,---QUuC4vJs,84,94,validate\n"
        '"eating, fast",--3ouPhoy2A,20,30,test\n',
        videos=("validate/testifying/---QUuC4vJs_000084_000094.mp4", "--3ouPhoy2A.mp4"),
        samples=[
            sample("validate/testifying/---QUuC4vJs_000084_000094.mp4", "testifying", split="val"),
            sample("--3ouPhoy2A.mp4", "eating, fast", split="test", times_s=(20.0, 30.0)),
        ],
        classes=("eating, fast", "testifying"),
        read_as="Kinetics' list: 2 samples.",
        notes=("split validate is called val here.", "splits: test 1, val 1."),
    ),
    Case(
        name="kinetics",
        file="kinetics700.json",
        content={
            "---QUuC4vJs": {
                "annotations": {"label": "testifying", "segment": [84.0, 94.0]},
                "duration": 10.0,
                "subset": "train",
                "url": "https://…",
            }
        },
        videos=("---QUuC4vJs_000084_000094.mp4",),
        samples=[sample("---QUuC4vJs_000084_000094.mp4", "testifying", split="train")],
        classes=("testifying",),
        read_as="Kinetics' list: 1 sample.",
    ),
    Case(
        name="lsmdc",
        file="LSMDC16_annos_training.csv",
        content=f"{LSMDC[0]}\t00.00.32.343\t00.00.35.546\t00.00.32.343\t00.00.35.546\tSOMEONE looks, then "
        f"walks.\n{LSMDC[1]}\t00.01.32.343\t00.01.35.546\t00.01.32.343\t00.01.35.546\t\n",
        videos=(f"1004_Juno/{LSMDC[0]}.avi", f"{LSMDC[1]}.avi"),
        samples=[
            sample(f"1004_Juno/{LSMDC[0]}.avi", captions=("SOMEONE looks, then walks.",), split="train"),
            sample(f"{LSMDC[1]}.avi", split="train"),
        ],
        read_as="LSMDC's list: 2 samples.",
    ),
    Case(
        name="mmaction2",
        file="kinetics_videos.txt",
        content="v/a.mp4 2\nv/cam 1.mp4 0 1\nv/b.mp4\n",
        videos=("v/a.mp4", "v/cam 1.mp4", "v/b.mp4"),
        samples=[sample("v/a.mp4", "2"), sample("v/cam 1.mp4", "0", "1"), sample("v/b.mp4")],
        classes=("0", "1", "2"),
        read_as="MMAction2's list of videos and labels: 3 samples.",
        notes=("classes: 3 (the integers from 0 to 2).",),
    ),
    Case(
        name="mmaction2-frames",
        file="rawframes.txt",
        content="v/b 163 0\nv/a.mp4 250 1\n",
        videos=("v/a.mp4", "v/b.webm"),
        samples=[sample("v/b.webm", "0"), sample("v/a.mp4", "1")],
        classes=("0", "1"),
        read_as="a list of path, number of frames and label: 2 samples.",
        notes=(
            "rawframes.txt: the first number of each line is left unread: it is how many frames the video "
            "has.",
        ),
    ),
    Case(
        name="msrvtt",
        file="MSRVTT_data.json",
        content={
            "videos": [{"video_id": "video0", "split": "validate", "category": 9, "start time": 137.7}],
            "sentences": [
                {"caption": "a car", "video_id": "video0"},
                {"caption": "a car", "video_id": "video0"},
                {"caption": "a fast car", "video_id": "video0"},
            ],
        },
        videos=("video0.mp4",),
        samples=[sample("video0.mp4", "9", captions=("a car", "a car", "a fast car"), split="val")],
        classes=tuple(map(str, range(20))),
        read_as="MSR-VTT's list: 1 sample.",
    ),
    Case(
        name="msrvtt",
        file="MSRVTT_JSFUSION_test.csv",
        content="key,vid_key,video_id,sentence\nret0,msr9770,video9770,a person is connecting something\n",
        videos=("video9770.mp4",),
        samples=[sample("video9770.mp4", captions=("a person is connecting something",), split="test")],
        read_as="MSR-VTT's list: 1 sample.",
    ),
    Case(
        name="msrvtt",
        file="MSRVTT_train.9k.csv",
        content="video_id\nvideo1\n",
        videos=("video1.mp4",),
        samples=[sample("video1.mp4", split="train")],
        read_as="MSR-VTT's list: 1 sample.",
        notes=("MSRVTT_train.9k.csv: it has ids alone: put MSRVTT_data.json beside it for the captions.",),
    ),
    Case(
        name="msvd",
        file="AllVideoDescriptions.txt",
        content=MSVD,
        videos=("mv89psg6zh4_33_46.avi", "YouTubeClips/-_aaMGK6GGw_57_61.avi"),
        samples=[
            sample("mv89psg6zh4_33_46.avi", captions=("A bird is bathing in a sink.", "A bird bathes.")),
            sample("YouTubeClips/-_aaMGK6GGw_57_61.avi", captions=("Two men dance.",)),
        ],
        read_as="MSVD's descriptions: 2 samples.",
    ),
    Case(
        name="msvd",
        file="video_corpus.csv",
        content="VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description\n"
        "mv89psg6zh4,33,46,588702,unverified,55,Slovene,Papagaj se umiva\n"
        "mv89psg6zh4,33,46,362812,unverified,55,English,A bird bathes.\n"
        "mv89psg6zh4,33,46,968828,unverified,55,English,\n",
        videos=("mv89psg6zh4_33_46.avi",),
        samples=[sample("mv89psg6zh4_33_46.avi", captions=("A bird bathes.",))],
        read_as="MSVD's descriptions: 1 sample.",
    ),
    Case(
        name="path-start-end",
        file="segments.txt",
        content="v/a.mp4 0.0 4.5 1\nv/a.mp4 7.2 12 0\nv/b 1 2\n",
        videos=("v/a.mp4", "v/b.mkv"),
        samples=[
            sample("v/a.mp4", "1", times_s=(0.0, 4.5)),
            sample("v/a.mp4", "0", times_s=(7.2, 12.0)),
            sample("v/b.mkv", times_s=(1.0, 2.0)),
        ],
        classes=("0", "1"),
        read_as="a list of path, begin and end in seconds, and label: 3 samples.",
    ),
    Case(
        name="path-to-caption",
        file="captions.json",
        content={"v/a.mp4": "a man runs on a beach", "b.mp4": ["a dog jumps high", "a dog catches a ball"]},
        videos=("v/a.mp4", "b.mp4"),
        samples=[
            sample("v/a.mp4", captions=("a man runs on a beach",)),
            sample("b.mp4", captions=("a dog jumps high", "a dog catches a ball")),
        ],
        read_as="an object of captions by path: 2 samples.",
    ),
    Case(
        name="path-to-label",
        file="labels.json",
        content={"v/a.mp4": "run", "b.mp4": "jump", "c.mp4": "run", "d.mp4": "jump"},
        videos=("v/a.mp4", "b.mp4", "c.mp4", "d.mp4"),
        samples=[
            sample("v/a.mp4", "run"),
            sample("b.mp4", "jump"),
            sample("c.mp4", "run"),
            sample("d.mp4", "jump"),
        ],
        classes=("jump", "run"),
        read_as="an object of labels by path: 4 samples.",
        notes=("classes: 2 (0 jump, 1 run).",),
    ),
    Case(
        name="something-something",
        file="something-something-v2-train.json",
        content=[
            {
                "id": "78687",
                "label": "holding potato next to vicks",
                "template": "Holding [something] next to [something]",
                "placeholders": ["potato", "vicks"],
            },
            {"id": "42326", "label": "tearing paper", "template": "Tearing [something]"},
        ],
        videos=("78687.webm", "v/42326.mp4"),
        samples=[
            sample(
                "78687.webm",
                "Holding something next to something",
                captions=("holding potato next to vicks",),
                split="train",
            ),
            sample("v/42326.mp4", "Tearing something", captions=("tearing paper",), split="train"),
        ],
        classes=("Holding something next to something", "Tearing something"),
        read_as="Something-Something v2's list: 2 samples.",
    ),
    Case(
        name="something-something",
        file="something-something-v2-test.json",
        content=[{"id": "1420"}, {"id": "2"}],
        videos=("1420.webm", "2.webm"),
        samples=[sample("1420.webm", split="test"), sample("2.webm", split="test")],
        read_as="Something-Something v2's list: 2 samples.",
    ),
    Case(
        name="ucf101",
        file="trainlist01.txt",
        content="Archery/v_Archery_g08_c01.avi 3\r\nApplyLipstick/v_ApplyLipstick_g08_c01.avi 2\r\n"
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi 1\r\nArchery/v_Archery_g09_c01.avi 3\r\n",
        videos=("Archery/v_Archery_g08_c01.avi", "ApplyLipstick/v_ApplyLipstick_g08_c01.avi"),
        samples=[
            sample("Archery/v_Archery_g08_c01.avi", "Archery", split="train"),
            sample("ApplyLipstick/v_ApplyLipstick_g08_c01.avi", "ApplyLipstick", split="train"),
            sample("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi", "ApplyEyeMakeup", split="train"),
            sample("Archery/v_Archery_g09_c01.avi", "Archery", split="train"),
        ],
        classes=("ApplyEyeMakeup", "ApplyLipstick", "Archery"),
        read_as="UCF101's trainlist or testlist: 4 samples.",
        notes=(
            "split train by the name of the list: trainlist01.txt.",
            "splits: train 4.",
            "classes: 3 (0 ApplyEyeMakeup, 1 ApplyLipstick, 2 Archery).",
            "note: missing, and so in quarantine: 2 of 4 samples, the first "
            "{root}/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi; --missing error refuses such a list.",
            "note: 2 classes with a single sample: ApplyLipstick, ApplyEyeMakeup.",
        ),
        missing=("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi", "Archery/v_Archery_g09_c01.avi"),
    ),
    Case(
        name="ucf101",
        file="testlist01.txt",
        content="Archery/v_Archery_g08_c01.avi\nHandstandPushups/v_HandStandPushups_g01_c01.avi\n",
        videos=("Archery/v_Archery_g08_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c01.avi"),
        samples=[
            sample("Archery/v_Archery_g08_c01.avi", "Archery", split="test"),
            sample("HandstandPushups/v_HandStandPushups_g01_c01.avi", "HandstandPushups", split="test"),
        ],
        classes=("Archery", "HandstandPushups"),
        read_as="UCF101's trainlist or testlist: 2 samples.",
    ),
    Case(
        name="vatex",
        file="vatex_training_v1.0.json",
        content=[
            {
                "videoID": "Ptf_2VRj-V0_000122_000132",
                "enCap": ["A boy is trying to clean a window.", "A boy cleans."],
                "chCap": ["…"],
            },
            {"videoID": "whole_000001_000011", "enCap": ["One."], "chCap": []},
        ],
        videos=("Ptf_2VRj-V0_000122_000132.mp4", "whole.mkv"),
        samples=[
            sample(
                "Ptf_2VRj-V0_000122_000132.mp4",
                captions=("A boy is trying to clean a window.", "A boy cleans."),
                split="train",
            ),
            sample("whole.mkv", captions=("One.",), split="train", times_s=(1.0, 11.0)),
        ],
        read_as="VATEX' captions: 2 samples.",
    ),
    Case(
        name="video-folder",
        file="metadata.jsonl",
        content='{"file_name": "a.mp4", "text": "a cat", "fps": 25}\n'
        '{"file_name": "v/b.mp4", "caption": "a dog", "label": "dog", "split": "validation"}\n',
        videos=("a.mp4", "v/b.mp4"),
        samples=[
            sample("a.mp4", captions=("a cat",)),
            sample("v/b.mp4", "dog", captions=("a dog",), split="val"),
        ],
        classes=("dog",),
        read_as="Hugging Face's VideoFolder: 2 samples.",
        notes=("metadata.jsonl: left unread: fps.", "splits: val 1, no split 1."),
    ),
    Case(
        name="videomae",
        file="list.csv",
        content="my v/78687.webm 1\nmy v/42326.webm 0\n",
        videos=("my v/78687.webm", "my v/42326.webm"),
        samples=[sample("my v/78687.webm", "1"), sample("my v/42326.webm", "0")],
        classes=("0", "1"),
        read_as="VideoMAE's or UMT's list of videos and labels: 2 samples.",
    ),
    Case(
        name="videomae",
        file="list.txt",
        content="a.mp4,1\nv/b.mp4, 0\n",
        videos=("a.mp4", "v/b.mp4"),
        samples=[sample("a.mp4", "1"), sample("v/b.mp4", "0")],
        classes=("0", "1"),
        read_as="VideoMAE's or UMT's list of videos and labels: 2 samples.",
    ),
    Case(
        name="webvid",
        file="results_2M_train.csv",
        content="videoid,contentUrl,duration,page_dir,name\n"
        '21179416,https://…,PT00H00M11S,006001_006050,"Aerial shot, winter forest"\n'
        "5629184,https://…,PT00H00M29S,../elsewhere,Senior couple\n",
        videos=("006001_006050/21179416.mp4", "5629184.mp4"),
        samples=[
            sample("006001_006050/21179416.mp4", captions=("Aerial shot, winter forest",), split="train"),
            sample("5629184.mp4", captions=("Senior couple",), split="train"),
        ],
        read_as="WebVid's list: 2 samples.",
    ),
]


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
        ("lsmdc", "l.csv", f"{LSMDC[0]}\tShe sits.\nJuno\tShe sits.\n",
         "l.csv line 2 does not begin with a clip of LSMDC and a tab: fix it."),
        ("mmaction2-frames", "l.txt", "v/b 163 0\nv/b 0\n",
         "l.txt line 2 is not a path, a number of frames and a label: fix it."),
        ("msrvtt", "l.csv", "video_id\nvideo1\n/etc/video2\n",
         "l.csv line 3 has no usable id of a video: write it, or delete it."),
        ("msvd", "l.txt", MSVD + "mv89psg6zh4 A bird\n",
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
