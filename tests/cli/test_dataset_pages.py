"""The pages about data sets say what is so: each of their commands runs on the lists that the page shows.

A page shows a list as a line that begins with its name and ends with a colon, and the list indented behind
it; and what vfm says of it behind "it says:". Added here are the videos, and the files of classes, which no
page shows whole.
"""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from support.media import write_film
from vfm.cli.main import group
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.recipes.requirements import requirements_of
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.registry import load_recipe, recipe_names
from vfm.video2token.sources import annotations

PAGES = Path(__file__).parents[2] / "docs" / "how-to" / "datasets"
REFERENCE = PAGES.parents[1] / "reference" / "sources.md"
NUM_SECONDS = 90  # of the one video that stands for all: longer than any segment of the pages
SAYS = "it says:"
QUICK = {  # what a command is given besides, so that many run in a minute
    "extract": ["--size", "16", "--workers", "1"],
    "tokenize": ["--workers", "1"],
}

# The videos that the lists of a section mean, one a line.
VIDEOS = {
    "UCF101": """
        UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi
        UCF-101/ApplyLipstick/v_ApplyLipstick_g08_c01.avi
        UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi
        UCF-101/ApplyLipstick/v_ApplyLipstick_g01_c01.avi""",
    "HMDB51": """
        hmdb51/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi
        hmdb51/brush_hair/brushing_hair_brush_hair_f_nm_np2_ba_goo_2.avi
        hmdb51/brush_hair/Brushing_my_hair_brush_hair_u_nm_np1_fr_goo_0.avi
        hmdb51/cartwheel/(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0.avi""",
    "Kinetics": """
        kinetics/train/javelin throw/--07WQ2iBlw_000001_000011.mp4
        kinetics/train/flipping_pancake/--33Lscn6sk.mkv
        kinetics/val/---QUuC4vJs_84_94.webm""",
    "Something-Something v2": """
        20bn-something-something-v2/78687.webm
        20bn-something-something-v2/42326.webm
        20bn-something-something-v2/74225.webm""",
    "Diving48": """
        rgb/-mwcnyUVtrA_00001.mp4
        rgb/-mwcnyUVtrA_00002.mp4
        rgb/zPQ8Fv6gPDk_00001.mp4""",
    "Lists for training": """
        k400/0wR5jVB-WPk.mp4
        k400/3CaJrzVMEr 0.mp4
        ssv2/78687.webm
        ssv2/42326.webm""",
    "Folders": """
        videos/cat/a.mp4
        videos/cat/b.mp4
        videos/dog/a.mp4
        videos/dog/b.mp4""",
    "Hugging Face": """
        folder/a.mp4
        folder/b.mp4""",
    "Splits": """
        v/a.mp4
        v/b.mp4
        v/c.mp4""",
    "MSR-VTT": """
        videos/all/video0.mp4
        videos/all/video9770.mp4""",
    "MSVD": """
        YouTubeClips/mv89psg6zh4_33_46.avi
        YouTubeClips/-_aaMGK6GGw_57_61.avi""",
    "LSMDC": """
        avi/1004_Juno/1004_Juno_00.00.32.343-00.00.35.546.avi
        avi/1004_Juno/1004_Juno_00.01.32.343-00.01.35.546.avi
        avi/1020_Crazy_Stupid_Love_00.04.05.800-00.04.08.200.avi""",
    "DiDeMo": """
        videos/54322086@N00_2408598493_274c77d26a.mp4
        videos/12090392@N02_13482799053_87ef417396.mov
        videos/77063266@N00_4768506894_be9b3ff6ed.mov""",
    "VATEX": """
        val/Ptf_2VRj-V0_000122_000132.mp4
        val/G9zN5TTuGO4_000179_000189.mp4
        val/hhIbJDjyQXs.mp4""",
    "WebVid": """
        videos/006001_006050/21179416.mp4
        videos/4731074.mp4""",
    "One caption a row": """
        v/a.mp4
        v/b.mp4""",
    "JSON by path": """
        v/a.mp4
        v/b.mp4""",
    "ActivityNet": """
        v1-3/v_sJQCchGzGkU.mp4
        v1-3/v_o1WPnnvs00I.mkv
        v1-3/v_0iwA5VMUdvQ.mp4""",
    "ActivityNet Captions": """
        v1-3/train/v_QOlSCBRmfWY.mp4
        v1-3/val/v_uqiMw7tQ1Cc.mp4""",
    "Charades": """
        Charades_v1_480/46GP8.mp4
        Charades_v1_480/YSKX3.mp4""",
    "Charades-STA": """
        Charades_v1_480/AO8RW.mp4
        Charades_v1_480/Y6R7T.mp4
        Charades_v1_480/3MSZA.mp4""",
    "EPIC-KITCHENS-100": """
        EPIC-KITCHENS/P01/P01_01.MP4
        EPIC-KITCHENS/P01/videos/P01_11.MP4""",
    "HowTo100M": "howto/nVbIUDjzWY4.webm",
    "InternVid": """
        internvid/6iBNXAm5N-w.mp4
        internvid/6iBNXAm5N-w_5_9.mp4""",
    "Lists with begin and end": """
        v/a.mp4
        v/b.mp4""",
}


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a command makes of the lists of its section.

    Attributes:
        samples: sorted, with commas between: split (- is none), index of the class (-1 is none), number of
            captions, and the times of a segment.
        num_classes: unused ones too.
    """

    samples: str
    num_classes: int = 0


MADE = {
    "data/ucf101": Made(samples="test 0 0, test 1 0, train 0 0, train 1 0", num_classes=2),
    "data/ucf101-val": Made(samples="train 0 0, train 1 0, val 0 0, val 1 0", num_classes=2),
    "data/hmdb51": Made(samples="test 0 0, train 0 0, train 1 0", num_classes=2),
    "data/k400": Made(samples="train 0 0 4-14, train 1 0, val 2 0", num_classes=3),
    "data/ssv2": Made(samples="train 125 1, train 65 1, val 125 1", num_classes=174),
    "data/diving48": Made(samples="test 3 0, train 26 0, train 3 0", num_classes=48),
    "data/k400-list": Made(samples="train 0 0, train 1 0", num_classes=2),
    "data/ssv2-list": Made(samples="train 127 0, train 140 0", num_classes=174),
    "data/ssv2-frames": Made(samples="- 127 0, - 140 0", num_classes=174),
    "data/mine": Made(samples="- 0 0, - 0 0, - 1 0, - 1 0", num_classes=2),
    "data/folder": Made(samples="- 0 0, - 1 0", num_classes=2),
    "data/hub": Made(samples="train 1 1, train 2 1", num_classes=3),
    "data/split": Made(samples="train 0 0, train 1 0, val 0 0", num_classes=2),
    "data/msrvtt": Made(samples="test 2 1, train 9 2", num_classes=20),
    "data/msrvtt-1ka": Made(samples="test -1 1, train -1 2"),
    "data/msvd": Made(samples="- -1 2"),
    "data/msvd-splits": Made(samples="test -1 2, train -1 3"),
    "data/lsmdc": Made(samples="test -1 1, train -1 1, train -1 1"),
    "data/didemo": Made(samples="test -1 2 0-30, train -1 2 0-30, val -1 1 0-30"),
    "data/vatex": Made(samples="train -1 1, train -1 2, val -1 1 4-14"),
    "data/webvid": Made(samples="train -1 1, train -1 1"),
    "data/captions": Made(samples="train -1 2, val -1 1"),
    "data/by-path": Made(samples="- -1 1, - -1 2"),
    "data/activitynet": Made(
        samples="test -1 0, train 0 0 0.83-19.86, train 0 0 56.26-79.42, val 1 0 7-23", num_classes=2
    ),
    "data/anet-captions": Made(samples="train -1 1 0.83-19.86, train -1 1 17.37-60.81, val -1 1 0-4.14"),
    "data/anet-paragraphs": Made(samples="test -1 1, train -1 2"),
    "data/charades": Made(
        samples="test 106 0 3-9, train 147 0 0-12.6, train 92 0 11.9-21.2", num_classes=157
    ),
    "data/charades-sta": Made(samples="test -1 1 24.3-30.4, train -1 1 0-6.9, train -1 1 20.8-30"),
    "data/epic": Made(samples="train 3 1 0.14-3.37, train 6 1 4.37-6.17, val 0 1 0-1.89", num_classes=97),
    "data/howto100m": Made(samples="- -1 1 12-15.1, - -1 1 9.52-13"),
    "data/howto100m-videos": Made(samples="- 0 0", num_classes=1),
    "data/internvid": Made(samples="- -1 1, - -1 1 1.227-3"),
    "data/lines": Made(samples="- 0 0 7.2-12, - 1 0 0-4.5", num_classes=2),
    "data/table": Made(samples="- 0 0 1.5-4, - 1 0 0-3", num_classes=2),
}


def sections(page: str) -> dict[str, str]:
    """Return the text of each section of a page by its heading."""
    parts = re.split(r"^## (.+)$", (PAGES / page).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield each indented block that stands behind a line with a colon at its end, and that line."""
    for told, block in re.findall(r"^(.*:)\n\n((?:    .*\n)+)", text, flags=re.MULTILINE):
        yield told, re.sub(r"^    ", "", block, flags=re.MULTILINE)


def lists(text: str) -> dict[str, str]:
    """Return the lists that a section shows, by their names."""
    shown = ((re.match(r"`(\S+)`", told), block) for told, block in blocks(text) if SAYS not in told)
    return {name[1]: block for name, block in shown if name and not block.startswith("vfm ")}


def commands(text: str) -> list[str]:
    """Return the indented lines that begin with vfm."""
    return re.findall(r"^ {4,}(vfm .*)$", text, flags=re.MULTILINE)


def said(text: str) -> list[str]:
    """Return the lines that vfm says of the lists of a section, as the page has them."""
    return [line for told, block in blocks(text) if SAYS in told for line in block.splitlines()]


SECTIONS = {
    (page.name, title): text
    for page in sorted(PAGES.glob("*.md"))
    for title, text in sections(page.name).items()
    if commands(text) and title != "Retrieval"  # whose commands are for a GPU
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One video of a frame a second, of which every other is a copy."""
    path = tmp_path_factory.mktemp("pages") / "video.mp4"
    return write_film(path, fps=1, num_frames=NUM_SECONDS, size=(32, 32))


def write_classes(folder: Path) -> None:
    """Write the published files of classes; only names that the pages use are the real ones."""
    names = {65: "Holding something next to something", 125: "Spinning something that quickly stops spinning"}
    numbers = {names.get(number, f"class {number}"): str(number) for number in range(174)}
    (folder / "something-something-v2-labels.json").write_text(json.dumps(numbers))
    lines = [f"c{number:03d} class {number}" for number in range(157)]
    (folder / "Charades_v1_classes.txt").write_text("\n".join(lines))
    rows = ["id,key,instances,category", *(f"{number},verb {number},[],x" for number in range(97))]
    (folder / "EPIC_100_verb_classes.csv").write_text("\n".join(rows))


def write_parquet(path: Path, *, video: Path) -> None:
    """Write a table as the library datasets does, with videos inside and the names of the labels."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    inside = {"bytes": video.read_bytes(), "path": "a.mp4"}
    table = pa.table({"video": [inside, inside], "label": [2, 1], "text": ["a dog", "a cat"]})
    features = {"label": {"names": ["bird", "cat", "dog"], "_type": "ClassLabel"}}
    metadata = json.dumps({"info": {"features": features}})
    path.parent.mkdir()
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), path)


def made(dataset: Dataset) -> Made:
    samples = []
    for index, number in enumerate(dataset.class_indices):
        meta = dataset.meta(index)
        is_segment = meta.start_s is not None or meta.end_s is not None
        times = f" {meta.start_s or 0:g}-{meta.end_s:g}" if is_segment else ""
        samples.append(f"{meta.split or '-'} {number} {len(meta.captions)}{times}")
    return Made(samples=", ".join(sorted(samples)), num_classes=len(dataset.classes))


@pytest.mark.parametrize(("page", "title"), SECTIONS, ids=lambda name: name.removesuffix(".md"))
def test_commands_of_a_data_set_do_what_its_page_says(
    page: str, title: str, video: Path, tiny_vocabulary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bert-base-uncased").symlink_to(tiny_vocabulary)
    text = SECTIONS[page, title]
    for name in VIDEOS[title].strip().splitlines():
        path = tmp_path / name.strip()
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, path)
    for name, content in lists(text).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    write_classes(tmp_path)
    write_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet", video=video)
    monkeypatch.chdir(tmp_path)
    told = ""
    for command in commands(text):
        (data,) = re.findall(r"data/\S+", command)
        words = shlex.split(command)[1:]
        done = CliRunner().invoke(group, [*words, *QUICK[words[0]]], standalone_mode=False)
        assert done.exception is None, f"{command}\n{done.output}\n{done.exception}"
        assert not done.return_value, f"{command}\n{done.output}"
        assert made(open_dataset(Path(data), columns=["frames"])) == MADE[data], command
        told += done.output
    for line in said(text):
        assert f"{line.removeprefix('…')}\n" in told, told


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("l.txt", "v/a 68 140\nv/b 31 127\n", "--format mmaction2-frames.*--format path-start-end"),
        ("l.txt", "v/a.mp4 3 12\n", "--format mmaction2-frames.*--format path-start-end"),
        ("l.csv", "v/a.mp4,140\nv/b.mp4,127\n", "no video has 0, 1, 2 and .*--num-classes"),
        (
            "l.json",
            '{"v/a.mp4": "run", "v/b.mp4": "jump"}',
            "--format path-to-caption.*--format path-to-label",
        ),
        ("l.csv", "path,caption,label\nv/a.mp4,x,1\nv/a.mp4,y,2\n", "line 3 gives .*'2', and .* line 2 '1'"),
        ("l.csv", "path\nother/a.mp4\n", "None of the 1 files that .* names is there"),
    ],
)
def test_what_a_page_calls_refused_is_refused(
    name: str, text: str, told: str, video: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "v").mkdir()
    for stem in "ab":
        shutil.copy(video, tmp_path / "v" / f"{stem}.mp4")
    command = ["extract", str(tmp_path / name), str(tmp_path / "data"), "--fps", "2"]
    with pytest.raises(UsageError, match=told):
        CliRunner().invoke(group, command, standalone_mode=False, catch_exceptions=False)
    assert not (tmp_path / "data").exists()


def test_every_command_has_its_outcome_and_every_list_is_named_in_one() -> None:
    named = [word for text in SECTIONS.values() for line in commands(text) for word in shlex.split(line)]
    assert {word for word in named if word.startswith("data/")} == MADE.keys()
    patterns = [word.rpartition("=")[2] for word in named]
    shown = {name for text in SECTIONS.values() for name in lists(text)}
    assert {name for name in shown if not any(fnmatchcase(name, each) for each in patterns)} == {
        "classInd.txt"
    }


def anchors(text: str) -> list[str]:
    """Return what links to the headings of a page are called, in their order."""
    titles = re.findall(r"^##+ (.+)$", text, flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("page", [*sorted(PAGES.glob("*.md")), REFERENCE], ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)", page.read_text())
    assert links
    for file, anchor in links:
        there = page.parent / file if file else page
        assert not anchor or anchor in anchors(there.read_text()), (file, anchor)
        assert there.is_file(), file


def test_the_reference_names_every_format() -> None:
    text = REFERENCE.read_text().partition("## Lists")[2].partition("## Columns")[0]
    rows = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(rows))) == annotations.names()


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md")))
def test_the_table_of_a_page_leads_to_its_sections(page: str) -> None:
    text = (PAGES / page).read_text()
    head = text.partition("\n## ")[0]
    linked = re.findall(r"^\| \[.*?\]\(#([\w-]+)\)", head, flags=re.MULTILINE)
    assert linked == anchors(text)[: len(linked)]
    assert set(anchors(text)[len(linked) :]) <= {"classes-in-their-published-order", "retrieval", "splits"}


RETRIEVAL = re.findall(
    r"^\| .*? \| `(data/\S+)` \| `(\S+)` \| (.*) \|$",
    sections("captions.md")["Retrieval"],
    flags=re.MULTILINE,
)


def test_retrieval_is_told_for_every_published_recipe() -> None:
    assert {name for _, name, _ in RETRIEVAL} == {
        name for name in recipe_names() if name.startswith("simvtp-base-retrieve")
    }


@pytest.mark.parametrize(("data", "name", "told"), RETRIEVAL)
def test_what_the_pages_make_for_retrieval_fits_its_recipe(data: str, name: str, told: str) -> None:
    recipe = load_recipe(name)
    assert isinstance(recipe.objective, RetrieveConfig)
    assert told == {"each": "each caption", "joined": "all of a video, joined"}[recipe.objective.captions]
    needed, made = requirements_of(recipe), [line for text in SECTIONS.values() for line in commands(text)]
    extract, tokenize = (line for line in made if f" {data} " in line)
    assert extract.startswith("vfm extract ")
    assert extract.endswith(f" --fps 7.5 --size {needed.frame_px}")
    assert needed.seconds_apart == 1 / 7.5
    assert tokenize == f"vfm tokenize {data} --target text:bert-base-uncased"


def test_options_of_the_commands_for_retrieval_are_real() -> None:
    finetune, evaluate = (shlex.split(line)[1:] for line in commands(sections("captions.md")["Retrieval"]))
    context = click.Context(group)
    for (name, *words), wanted in (
        (finetune, {"task": "retrieve", "recipe": "RECIPE", "out": Path("runs/retriever")}),
        (evaluate, {"paths": (Path("runs/retriever"),), "data": Path("DATA"), "protocol": "retrieval"}),
    ):
        command = group.get_command(context, name)
        assert command is not None
        given = command.make_context(name, words).params
        assert {key: given[key] for key in wanted} == wanted
