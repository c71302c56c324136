import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vfm.cli.commands.inspect import command
from vfm.cli.display.describe import aligned, size
from vfm.shards.errors import UsageError
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.options import ExtractOptions
from vfm.video2token.target import TargetOptions

Film = Callable[..., Path]


def inspect(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments)], standalone_mode=False)


@pytest.fixture
def data(films: Film, tmp_path: Path) -> Path:
    """Return a dataset of two labelled videos and one broken one."""
    folder = films(2)
    (folder / "broken.mp4").write_bytes(b"")
    rows = [
        "path,label,split,caption",
        "a/000.mp4,dog,train,",
        "b/001.mp4,cat,val,two cats",
        "broken.mp4,cat,,",
    ]
    (folder / "list.csv").write_text("\n".join(rows))
    extract([folder / "list.csv"], tmp_path / "data", ExtractOptions(fps=5, size_px=48))
    return tmp_path / "data"


def test_summary_tells_columns_labels_splits_and_quarantine(data: Path) -> None:
    lines = inspect(data).stdout.splitlines()
    assert lines[0] == "3 sources: 2 ok, 1 rejected"
    assert lines[1] == "9 frames: 4 to 5 a sample, median 4.5"
    text = " ".join(" ".join(lines).split())
    assert "frames 1/1 2 " in text
    assert "json mp4 cls txt" in text
    assert "labels cat 1 dog 1" in text
    assert "splits train 1 val 1" in text
    assert "quarantine by reason empty 1" in text


def test_json_holds_the_same(data: Path) -> None:
    found = json.loads(inspect(data, "--json").stdout)
    assert (found["num_ok"], found["num_rejected"], found["num_frames"]) == (2, 1, 9)
    assert found["rejected_by_reason"] == {"empty": 1}
    assert found["frames_per_sample"] == [4, 4.5, 5]


@pytest.mark.parametrize("text", ["a/000.mp4", "a-000"])
def test_one_sample_in_detail(data: Path, text: str) -> None:
    lines = inspect(data, text).stdout.splitlines()
    assert lines[0].startswith("a-000-")
    told = lines[1 : lines.index("")]
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in told}
    assert facts["labels"] == "dog"
    assert facts["frames"] == "4 of 64×48 px, grid of 5 fps"
    assert facts["times"] == "0.000, 0.200, 0.400, 0.600 s"
    assert "64×48 px, 25 fps, 0.80 s, h264 yuv420p" in facts["video"]


@pytest.fixture
def described(stills: Callable[..., Path], tiny_vocabulary: Path) -> Path:
    """Return a dataset of samples with two, no and seven captions, and their ids."""
    data = stills(captions=(("A dog runs!", " ", "a zebra"), (), tuple("a" * n for n in range(1, 8))))
    tokenize(data, [f"text:{tiny_vocabulary}"], TargetOptions())
    return data


def test_captions_and_the_words_of_their_ids(described: Path) -> None:
    lines = inspect(described, "still-000").stdout.splitlines()
    at = lines.index("  captions  A dog runs!")
    assert lines[at + 1] == "            a zebra"
    assert lines[-3:] == [
        "text.words: 2 captions",
        "  7 ids: [CLS] a dog run ##s ! [SEP]",
        "  4 ids: [CLS] a [UNK] [SEP]",
    ]
    (ids,) = [line for line in lines if " ids.npy " in line]
    assert "uint8 [2, 7], 0 to 9" in ids
    assert inspect(described, "still-002").stdout.splitlines()[-2:] == [
        "  3 ids: [CLS] [UNK] [SEP]",
        "  and 2 more",
    ]


def test_no_captions_are_no_words(described: Path) -> None:
    output = inspect(described, "still-001").stdout
    assert output.endswith("text.words: 0 captions\n")
    assert "  captions " not in output
    assert "uint8 [0, 0], empty, " in output
    found = json.loads(inspect(described, "still-000", "--json").stdout)
    assert found["words"] == {
        "text.words": [["[CLS]", "a", "dog", "run", "##s", "!", "[SEP]"], ["[CLS]", "a", "[UNK]", "[SEP]"]]
    }
    assert found["captions"] == ["A dog runs!", " ", "a zebra"]


def test_a_rejected_source_says_why(data: Path) -> None:
    error = inspect(data, "broken.mp4").exception
    assert isinstance(error, UsageError)
    assert "broken.mp4 was rejected (empty): The file is empty." in str(error)


def test_verify_finds_nothing_in_a_sound_dataset(data: Path) -> None:
    result = inspect(data, "--verify")
    assert result.return_value == 0
    assert result.stdout.splitlines()[-1].startswith("verified: ")


def test_verify_names_the_damaged_member_and_ends_with_3(data: Path) -> None:
    tar = data / "frames" / "000000.tar"
    damaged = bytearray(tar.read_bytes())
    damaged[damaged.index(b"\xff\xd8") + 200] ^= 4
    tar.write_bytes(damaged)
    result = inspect(data, "--verify")
    assert result.return_value == 3
    assert "damage  frames/000000.tar:" in result.stdout
    assert ".mp4: " in result.stdout


def test_sheet_shows_every_sample(data: Path, tmp_path: Path) -> None:
    result = inspect(data, "--sheet", tmp_path / "sheet.png")
    assert result.stdout.splitlines()[-1] == f"contact sheet: {tmp_path / 'sheet.png'}"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width >= 5 * 48
        assert sheet.height >= 2 * 48


def test_no_control_byte_of_a_caption_reaches_the_terminal(films: Film, tmp_path: Path) -> None:
    folder = films(1)
    (folder / "list.csv").write_text("path,caption\na/000.mp4,\x1b[31mred\n")
    extract([folder / "list.csv"], tmp_path / "data", ExtractOptions(fps=5, size_px=48))
    output = inspect(tmp_path / "data", "a-000").stdout
    assert "\x1b" not in output
    assert "\\x1b[31mred" in output


def test_what_is_no_dataset_is_one_sentence(tmp_path: Path) -> None:
    error = inspect(tmp_path).exception
    assert isinstance(error, UsageError)
    assert str(error).endswith(f"is not a vfm dataset: make one with `vfm extract VIDEOS {tmp_path}`.")


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1400, "1.4 kB"), (2_500_000, "2.5 MB"), (3e12, "3.0 TB")],
)
def test_size(size_bytes: float, text: str) -> None:
    assert size(size_bytes) == text


def test_aligned() -> None:
    assert list(aligned([("a", "bytes"), ("longer", "7")])) == ["  a       bytes", "  longer      7"]
