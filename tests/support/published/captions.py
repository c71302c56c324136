"""Lists of sentences."""

from support.published.case import Case, sample

LSMDC = ("1004_Juno_00.00.32.343-00.00.35.546", "1004_Juno_00.01.32.343-00.01.35.546")
MSVD = (
    "# Microsoft Research Video Description Corpus\n\n"
    "mv89psg6zh4_33_46 A bird is bathing in a sink.\n"
    "mv89psg6zh4_33_46 A bird bathes.\n"
    "-_aaMGK6GGw_57_61 Two men dance.\n"
)
CASES = [
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
