"""Lists of parts of videos."""

from support.published.case import Case, sample

EPIC = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
    "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
    "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,open door,open,3,door,3,['door'],[3]\n"
    "P01_01_1,P01,P01_01,00:00:02.629,00:01:04.37,01:00:06.17,262,370,turn on light,turn-on,6,light,114,"
    "['light'],[114]\n"
)
EPIC_TIMES_S = ((0.14, 3.37), (64.37, 3606.17))
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
        name="internvid",
        file="InternVid-10M-flt.jsonl",
        content='{"YoutubeID": "6iBNXAm5N-w", "Start_timestamp": "00:00:01.227", "End_timestamp": '
        '"00:00:03.000", "Caption": "a person in a kitchen", "Aesthetic_Score": 4.2, "UMT_Score": 0.41}\n',
        videos=("6iBNXAm5N-w.mp4",),
        samples=[sample("6iBNXAm5N-w.mp4", captions=("a person in a kitchen",), times_s=(1.227, 3.0))],
        read_as="InternVid's list: 1 sample.",
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
]
