"""Lists of classes."""

from support.published.case import Case, in_parquet, sample

CASES = [
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
]
