"""Which file a path or an id of a list means."""

import os
from pathlib import Path

import pytest

from vfm.shards.errors import MachineError, UsageError
from vfm.video2token.sources.lists.video_finder import Times, VideoFinder, beside

WHERE = "l.txt line 7"
Found = tuple[str, float | None, float | None, bool]  # name, begin and end in seconds, whether it is there


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def by_id(root: Path, video_id: str | None, *folders: str, times_s: Times = (None, None)) -> Found:
    entry = VideoFinder(root).by_id(video_id, where=WHERE, folders=folders, times_s=times_s)
    assert entry.where == WHERE
    assert entry.path == os.path.normpath(root / entry.name)
    return entry.name, entry.start_s, entry.end_s, os.path.lexists(entry.path)


@pytest.mark.parametrize(
    ("file", "video_id"),
    [
        ("78687.webm", "78687"),
        ("a.b.c.MKV", "a.b.c"),
        ("v_--0edUL8zmA.mp4", "--0edUL8zmA"),
        ("--0edUL8zmA.mp4", "v_--0edUL8zmA"),
        ("v_x.mp4", "v_x"),
        ("clip.avi", "clip.avi"),
        ("clip.mp4", "clip.avi"),
        ("train/01/78687.mp4", "78687"),
        ("train/01/78687.mp4", "01/78687"),
        ("train/01/v_78687.mp4", "train/01/78687"),
        ("train/01/78687.webm", "01/78687.mp4"),
    ],
)
def test_id_without_suffix_or_folder_finds_its_file(tmp_path: Path, file: str, video_id: str) -> None:
    touch(tmp_path, file, "other.mp4", "78687.txt", "deep/er/786.mp4", "01.mp4")
    assert by_id(tmp_path, video_id) == (file, None, None, True)


def test_whole_videos_are_found_past_the_clips_that_are_cut_already(tmp_path: Path) -> None:
    touch(tmp_path, "x_3_7.mp4", "x.mp4", "y_000003_000007.mp4")
    finder = VideoFinder(tmp_path, whole_videos=True)
    found = [finder.by_id(video_id, where=WHERE, times_s=(3.0, 7.0)) for video_id in ("x", "y")]
    assert [(entry.name, entry.start_s, entry.end_s) for entry in found] == [
        ("x.mp4", 3.0, 7.0),
        ("y.mp4", 3.0, 7.0),  # which is missing: its clip is not the whole video
    ]


def test_what_lies_nearest_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "train/a.mp4", "val/b.mp4", "train/b.mp4", "x/c.mp4")
    assert by_id(tmp_path, "a", "train")[0] == "a.mp4"
    assert by_id(tmp_path, "b", "train", "val")[0] == "train/b.mp4"
    assert by_id(tmp_path, "b", "gone", "val", "train")[0] == "val/b.mp4"
    assert by_id(tmp_path, "c", "train")[0] == "x/c.mp4"


@pytest.mark.parametrize(
    ("files", "times_s", "found"),
    [
        (("a_000001_000011.mp4", "a.mp4"), (1.0, 11.0), ("a_000001_000011.mp4", None, None, True)),
        (("d/a_1_11.webm", "d/a.mp4"), (1, 11), ("d/a_1_11.webm", None, None, True)),
        (("a_000001_000011.mp4", "a.mp4"), (1.0, 12.0), ("a.mp4", 1.0, 12.0, True)),
        (("a_000001_000011.mp4", "a.mp4"), (1.5, 11.0), ("a.mp4", 1.5, 11.0, True)),
        (("v_a.mp4",), (1.0, None), ("v_a.mp4", 1.0, None, True)),
        (("b.mp4",), (1.0, 11.0), ("a_000001_000011.mp4", None, None, False)),
        (("b.mp4",), (1.25, 11.0), ("a.mp4", 1.25, 11.0, False)),
    ],
)
def test_segment_is_a_clip_that_is_cut_or_a_part_of_the_whole(
    tmp_path: Path, files: tuple[str, ...], times_s: Times, found: Found
) -> None:
    assert by_id(touch(tmp_path, *files), "a", times_s=times_s) == found


def test_id_with_a_suffix_keeps_its_times(tmp_path: Path) -> None:
    touch(tmp_path, "a.avi")
    assert by_id(tmp_path, "a.avi", times_s=(1.0, 2.0)) == ("a.avi", 1.0, 2.0, True)
    assert by_id(tmp_path, "b.avi", times_s=(1.0, 2.0)) == ("b.avi", 1.0, 2.0, False)


def test_segments_of_a_missing_video_stay_apart(tmp_path: Path) -> None:
    places = [by_id(tmp_path, "a", times_s=times_s) for times_s in ((0.1, 3.2), (0.3, 3.9), (0.0, 3.0))]
    assert len(set(places)) == 3


def test_two_files_of_one_id_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.mp4", "two/a.webm")
    with pytest.raises(UsageError) as caught:
        by_id(tmp_path, "a")
    assert str(caught.value) == (
        f"{tmp_path} holds both one/a.mp4 and two/a.webm, and {WHERE} names neither: keep one of them, or "
        "point --root at its folder."
    )
    assert by_id(tmp_path, "two/a")[0] == "two/a.webm"
    assert by_id(tmp_path, "a", "two")[0] == "two/a.webm"


@pytest.mark.parametrize("video_id", [None, "", "../a", "x/../../a", "/etc/a", "a\0", ".."])
def test_an_id_never_leads_out_of_the_root(tmp_path: Path, video_id: str | None) -> None:
    touch(tmp_path, "a.mp4", "in/b.mp4")
    with pytest.raises(UsageError) as caught:
        by_id(tmp_path / "in", video_id)
    assert str(caught.value) == f"{WHERE} has no usable id of a video: write it, or delete it."


def test_what_is_hidden_is_not_searched(tmp_path: Path) -> None:
    touch(tmp_path, ".cache/a.mp4", ".b.mp4", "._a.mp4", "d/._a.mp4")
    assert by_id(tmp_path, "a") == ("a.mp4", None, None, False)
    assert by_id(tmp_path, "b") == ("b.mp4", None, None, False)


def named(root: Path, text: str | None, *, any_suffix: bool = False) -> tuple[str, str]:
    entry = VideoFinder(root, any_suffix=any_suffix).named(text, where=WHERE)
    return entry.name, entry.path


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert named(tmp_path, "v//a.mp4") == ("v/a.mp4", f"{tmp_path}/v/a.mp4")
    assert named(tmp_path / "in", "../a.mp4") == ("../a.mp4", f"{tmp_path}/a.mp4")
    assert named(tmp_path / "in", f"{tmp_path}/a.mp4") == ("../a.mp4", f"{tmp_path}/a.mp4")
    assert named(tmp_path, f"{tmp_path}/a.mp4") == ("a.mp4", f"{tmp_path}/a.mp4")
    for text in (None, "", "a\0.mp4"):
        with pytest.raises(UsageError, match="^l.txt line 7 has no usable path: name a video there, or dele"):
            named(tmp_path, text)
    with pytest.raises(UsageError, match="^l.txt line 7 is an address, and vfm downloads nothing: fetch it"):
        named(tmp_path, "s3://bucket/a.mp4")


def test_another_suffix_is_taken_only_when_asked(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.webm", "v/b.mp4", "v/b.mkv", "c.avi")
    assert named(tmp_path, "v/a.mp4")[0] == "v/a.mp4"
    assert named(tmp_path, "v/a.mp4", any_suffix=True) == ("v/a.webm", f"{tmp_path}/v/a.webm")
    assert named(tmp_path, "c.mp4", any_suffix=True)[0] == "c.avi"
    assert named(tmp_path, "v/b.mp4", any_suffix=True)[0] == "v/b.mp4"
    assert named(tmp_path, "v/gone.mp4", any_suffix=True)[0] == "v/gone.mp4"
    with pytest.raises(
        UsageError, match=r"holds both v/b\.mkv and v/b\.mp4, and l\.txt line 7 names neither"
    ):
        named(tmp_path, "v/b.avi", any_suffix=True)


def test_what_lies_beside_a_missing_file(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.webm", "v/a.txt")
    assert beside(f"{tmp_path}/v/a.mp4") == f"{tmp_path}/v/a.webm"
    assert beside(f"{tmp_path}/v/b.mp4") is None
    assert beside(f"{tmp_path}/gone/a.mp4") is None
    assert beside(f"{tmp_path}/v/a.txt/a.mp4") is None


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)  # tests may run as root, whom no mode stops
    with pytest.raises(MachineError, match="cannot be read .Permission denied.: change its mode"):
        by_id(tmp_path, "a")


def test_each_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(f"d/{number}.mp4" for number in range(9)))
    listdir, walk, calls = os.listdir, os.walk, list[str]()
    monkeypatch.setattr(os, "listdir", lambda path: calls.append("listdir") or listdir(path))
    monkeypatch.setattr(os, "walk", lambda *a, **b: calls.append("walk") or walk(*a, **b))
    finder = VideoFinder(tmp_path)
    names = [finder.by_id(str(number), where=WHERE, folders=["e"]).name for number in range(9)]
    assert names == [f"d/{number}.mp4" for number in range(9)]
    assert sorted(calls) == ["listdir", "listdir", "walk"]
