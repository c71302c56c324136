import dataclasses
import json
import os
from pathlib import Path

import pytest

from vfm.shards.errors import MachineError, UsageError
from vfm.video2token.sources.listing import VIDEO_SUFFIXES, ListOptions, list_sources, refuse_absent
from vfm.video2token.sources.lists import file_types


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def identities(*inputs: Path) -> list[str]:
    return [source.identity for source in list_sources(inputs, missing="error").sources]


def write_list(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_folder_is_searched_for_videos_in_a_fixed_order(tmp_path: Path) -> None:
    names = (
        "b/2.MP4",
        "b/10.mkv",
        "a.webm",
        "b/c/d.Mov",
        "notes.txt",
        ".hidden.mp4",
        ".cache/x.mp4",
        "still.jpg",
    )
    touch(tmp_path, *names)
    assert identities(tmp_path) == ["a.webm", "b/10.mkv", "b/2.MP4", "b/c/d.Mov"]
    found = list_sources([tmp_path], missing="error")
    assert found.left_out == {"hidden": [str(tmp_path / ".cache"), str(tmp_path / ".hidden.mp4")]}
    assert found.num_hidden == 2


def test_source_knows_its_file(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.mp4")
    (source,) = list_sources([tmp_path], missing="error").sources
    assert source.path == str(tmp_path / "a" / "b.mp4")
    assert source.size_bytes == 7
    assert source.mtime_ns == (tmp_path / "a" / "b.mp4").stat().st_mtime_ns
    assert source.key.startswith("a-b-")
    assert (source.labels, source.captions, source.split) == ((), (), None)


def test_a_file_is_a_source_whatever_its_name(tmp_path: Path) -> None:
    assert identities(touch(tmp_path, "film.bin") / "film.bin") == ["film.bin"]


def test_several_inputs_begin_with_as_many_parents_as_tell_them_apart(tmp_path: Path) -> None:
    touch(tmp_path, "one/cam/x.mp4", "two/cam/x.mp4", "three/x.mp4")
    inputs = (tmp_path / "one/cam", tmp_path / "two/cam", tmp_path / "three/x.mp4")
    assert identities(*inputs) == ["one/cam/x.mp4", "two/cam/x.mp4", "three/x.mp4"]
    assert identities(*inputs[:1], inputs[2]) == ["cam/x.mp4", "x.mp4"]


def test_identity_does_not_depend_on_where_the_root_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "here", "a/b.mp4")
    touch(tmp_path / "there", "a/b.mp4")
    monkeypatch.chdir(tmp_path / "here")
    assert identities(Path()) == identities(tmp_path / "there") == ["a/b.mp4"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "real", "a.mp4")
    root = touch(tmp_path / "root", "b.mp4")
    (root / "link.mp4").symlink_to(tmp_path / "real" / "a.mp4")
    (root / "folder").symlink_to(tmp_path / "real")
    (root / "loop").symlink_to(root)
    assert identities(root) == ["b.mp4", "link.mp4"]


def test_what_is_no_regular_file_becomes_a_source_without_size(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "dangling.mp4").symlink_to("nowhere.mp4")
    sizes = {
        source.identity: source.size_bytes for source in list_sources([tmp_path], missing="error").sources
    }
    assert sizes == {"a.mp4": 5, "dangling.mp4": -1, "pipe.mp4": -1}


@pytest.mark.parametrize(
    "name", ["a b.mp4", "-rf.mp4", "%03d.mp4", "x\ny.mp4", "$(id).mp4", "日本.mp4", "\udcff.mp4"]
)
def test_hostile_names_get_plain_keys(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    (source,) = list_sources([tmp_path], missing="error").sources
    assert source.identity == name
    assert source.key.replace("-", "").replace("_", "").isalnum()
    assert source.key.isascii()


def test_list_gives_labels_splits_captions_and_keys_in_any_order(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.mp4", "v/b.mp4")
    lines = '\ufeffsplit,key,path,caption,label\ntrain,first,v/a.mp4,"A, b",run\n,,./v//b.mp4,,\n\n'
    first, second = list_sources([write_list(tmp_path / "list.csv", lines)], missing="error").sources
    assert (first.identity, first.key, first.split) == ("v/a.mp4", "first", "train")
    assert (first.captions, first.labels) == (("A, b",), ("run",))
    assert (second.identity, second.split, second.captions, second.labels) == ("v/b.mp4", None, (), ())
    assert second.key.startswith("v-b-")


def test_listed_paths_keep_the_spaces_around_them(tmp_path: Path) -> None:
    touch(tmp_path, " a.mp4 ", "b.mp4")
    (source,) = list_sources(
        [write_list(tmp_path / "l.csv", "path, label\n a.mp4 , x \n")], missing="error"
    ).sources
    assert (source.identity, source.labels) == (" a.mp4 ", ("x",))


def test_listed_paths_outside_the_lists_folder_stay_relative(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4")
    path = write_list(tmp_path / "lists" / "l.csv", f"path\n{tmp_path / 'videos' / 'a.mp4'}\n")
    assert identities(path) == ["../videos/a.mp4"]


def test_listed_files_that_are_missing(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    path = write_list(tmp_path / "l.csv", "path\na.mp4\nb.mp4\nc.mp4\nd.mp4\ne.mp4\n")
    with pytest.raises(
        UsageError, match=r"b\.mp4, .*d\.mp4 and 1 more are missing, 4 of 5: .*--missing quarantine"
    ):
        list_sources([path], missing="error")
    assert [source.size_bytes for source in list_sources([path], missing="quarantine").sources] == [
        5,
        -1,
        -1,
        -1,
        -1,
    ]


def test_a_list_of_another_data_set_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.webm")
    good = write_list(tmp_path / "good.csv", "path\na.mp4\ngone.mp4\n")
    bad = write_list(tmp_path / "bad.csv", "path\nx/1.mp4\nx/2.mp4\n")
    refuse_absent(list_sources([good], missing="quarantine"))
    with pytest.raises(UsageError) as caught:
        refuse_absent(list_sources([good, bad], missing="quarantine"))
    assert str(caught.value) == (
        f"None of the 2 files that {bad} names is there, the first would be {tmp_path}/x/1.mp4: give the "
        "folder of its files with --root, or see whether it is another data set's list."
    )
    other = write_list(tmp_path / "other.csv", "path\nb.mp4\n")
    with pytest.raises(UsageError) as caught:
        refuse_absent(list_sources([other], missing="quarantine"))
    assert str(caught.value) == (
        f"None of the 1 files that {other} names is there, the first would be {tmp_path}/b.mp4: b.webm is, "
        "so take it with --any-suffix."
    )
    with pytest.raises(UsageError) as caught:
        list_sources([other], missing="error")
    assert str(caught.value) == (
        f"{tmp_path}/b.mp4 is missing, 1 of 1: correct the list, or use --missing quarantine to go on "
        f"without them ({tmp_path}/b.webm is there: --any-suffix takes it)."
    )


@pytest.mark.parametrize("times", ["3,3", "3,2.5", ",0"])
def test_a_segment_without_length_is_a_source_unless_that_is_an_error(tmp_path: Path, times: str) -> None:
    touch(tmp_path, "a.mp4")
    path = write_list(tmp_path / "l.csv", f"path,start,end\na.mp4,0,1\na.mp4,{times}\n")
    found = list_sources([path], missing="quarantine").sources
    start, _, end = times.partition(",")
    assert [(source.start_s, source.end_s) for source in found] == [
        (0.0, 1.0),
        (float(start) if start else None, float(end)),
    ]
    with pytest.raises(UsageError) as caught:
        list_sources([path], missing="error")
    assert str(caught.value) == (
        f"{path} line 3: the segment from {start or 0} to {end} s has no length: let it end later, or use "
        "--missing quarantine to go on without it."
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no video"),
        ("path,lable\na.mp4,x\n", "line 1 has an unknown column 'lable'.*path and any of label or labels"),
        ("label\nx\n", "is no list that vfm knows: name its columns path"),
        ("path,path\na.mp4,a.mp4\n", "line 1 has a column twice"),
        ("path,video\na.mp4,a.mp4\n", "has both 'path' and 'video', which mean the same"),
        ("url,label\na.mp4,x\n", "the column 'url' holds is an address, and vfm downloads nothing"),
        ("path\nhttps://x.org/a.mp4\n", "line 2 is an address, and vfm downloads nothing"),
        ("a.mp4,x\n", "line 1 names a video and a text: put a line such as path,label or path,caption"),
        ("path,start\na.mp4,soon\n", "line 2: start is 'soon': write seconds"),
        ("path,start\na.mp4,-1\n", "line 2: start is '-1': write seconds"),
        ("path,start\na.mp4,nan\n", "line 2: start is 'nan': write seconds"),
        ("path,end\na.mp4,inf\n", "line 2: end is 'inf': write seconds"),
        ("path,start,end\na.mp4,3,3\n", "line 2: the segment from 3 to 3 s has no length"),
        ("path,end\na.mp4,0\n", "line 2: the segment from 0 to 0 s has no length"),
        ("path,key\na.mp4,a/b\n", "line 2: Key 'a/b' cannot name a sample"),
        ("path\na.mp4\x00b\n", r"is not UTF-8 text \(line 2, byte 0x00\): re-save it as UTF-8\."),
        ("path,label\na.mp4\n", "line 2 has 1 cells, its header 2"),
        ("path,label\n,x\n", "line 2 has no usable path"),
        ('path\n"a.mp4\n', "is not a table of text"),
        ("path\na.mp4\na.mp4\n", r"a\.mp4 is named more than once"),
        ("path\n", "holds no video"),
    ],
)
def test_list_that_cannot_be_understood(tmp_path: Path, text: str, told: str) -> None:
    touch(tmp_path, "a.mp4")
    with pytest.raises(UsageError, match=told):
        list_sources([write_list(tmp_path / "list.csv", text)], missing="error")


def test_list_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"path\n\xff.mp4\n")
    with pytest.raises(
        UsageError, match="is not UTF-8 text .*: re-save it as UTF-8, as with iconv -f LATIN1 -t UTF-8"
    ):
        list_sources([tmp_path / "l.csv"], missing="error")


@pytest.mark.parametrize("name", ["list.lst", "shard.tar.gz", "list.xlsx", "all.zip"])
def test_lists_of_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="vfm can read \\(csv, json, jsonl, parquet, tsv, txt, tar\\)"):
        list_sources([touch(tmp_path, name) / name], missing="error")


def test_kinds_are_the_files_of_the_folder() -> None:
    assert file_types.names() == ["csv", "json", "jsonl", "parquet", "tsv", "txt"]
    assert not {f".{kind}" for kind in file_types.names()} & VIDEO_SUFFIXES


def test_an_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="https:/x.org/a.mp4 is an address, and vfm downloads nothing"):
        list_sources([Path("https://x.org/a.mp4")], missing="error")
    touch(tmp_path, "s3:/a.mp4")
    assert identities(Path("s3:/a.mp4")) == ["a.mp4"]  # a folder of that name is here


def test_what_is_not_there_or_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UsageError, match="nowhere does not exist: name a folder, a video or a list"):
        list_sources([tmp_path / "nowhere"], missing="quarantine")
    with pytest.raises(UsageError, match="empty holds no video: name"):
        list_sources([tmp_path / "empty"], missing="error")
    touch(tmp_path / "empty", ".a.mp4")
    with pytest.raises(UsageError, match="empty holds no video but hidden ones, 1: give them names"):
        list_sources([tmp_path / "empty"], missing="error")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        list_sources([tmp_path / "pipe.mp4"], missing="error")


def test_nothing_is_taken_twice(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.mp4")
    with pytest.raises(UsageError, match="named twice: name it once"):
        list_sources([tmp_path, tmp_path], missing="error")
    with pytest.raises(UsageError, match=r"b\.mp4 is named more than once"):
        list_sources([tmp_path, tmp_path / "a"], missing="error")


def test_unreadable_folder_is_an_error_and_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.mp4", "closed/b.mp4")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no mode stops
    with pytest.raises(MachineError, match="closed cannot be read .*Permission denied.*change its mode"):
        list_sources([tmp_path], missing="error")


def test_a_list_inside_a_folder_is_told_and_not_read(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4", "videos/b.mp4")
    listing = list_sources([tmp_path / "videos"], missing="error")
    assert not listing.inputs[0].notes
    path = write_list(tmp_path / "videos" / "metadata.jsonl", '{"file_name": "a.mp4", "text": "a cat"}\n')
    listing = list_sources([tmp_path / "videos"], missing="error")
    assert listing.inputs[0].notes == [f"{path} is not read: name it to have what it says of the videos."]
    assert [source.captions for source in listing.sources] == [(), ()]


def test_a_label_that_a_list_does_not_have_is_refused(tmp_path: Path) -> None:
    header = "narration_id,video_id,start_timestamp,stop_timestamp,narration,verb_class,noun_class"
    row = "P01_01_0,P01_01,00:00:00.14,00:00:03.37,open door,3,8"
    epic = write_list(tmp_path / "epic.csv", f"{header}\n{row}\n")
    other = write_list(tmp_path / "l.txt", "a.mp4 0\n")
    options = ListOptions(label="adverb")
    told = "--label adverb: .*epic.csv is read as EPIC-.*, which has no such label: choose verb, noun, action"
    with pytest.raises(UsageError, match=told):
        list_sources([epic], missing="quarantine", options=options)
    with pytest.raises(UsageError, match="l.txt is read as .*, which has one kind of label: leave it out"):
        list_sources([other], missing="quarantine", options=options)


def test_a_whole_video_is_the_source_that_a_list_without_times_names(tmp_path: Path) -> None:
    touch(tmp_path, "v_a.mp4", "v_b.mp4")
    facts = {"timestamps": [[3, 7.5], [0.2, 3.0], [3, 4]], "sentences": ["He stops.", "He runs.", "He runs."]}
    segments = write_list(tmp_path / "train.json", json.dumps({"a": facts}))
    plain = write_list(tmp_path / "plain.csv", "path,caption,split\nv_a.mp4,x,train\n")
    options = ListOptions(whole_videos=True)
    (source,) = list_sources([segments], missing="error", options=options).sources
    assert source.captions == ("He runs.", "He stops.", "He runs.")
    (named,) = list_sources([plain], missing="error").sources
    assert source == dataclasses.replace(named, captions=source.captions)
    with pytest.raises(
        UsageError, match="^--whole-videos joins .*, and no list here names any: leave it out"
    ):
        list_sources([plain, tmp_path / "v_b.mp4"], missing="error", options=options)
    assert len(list_sources([segments, tmp_path / "v_b.mp4"], missing="error", options=options).sources) == 2
    again = write_list(tmp_path / "val_2.json", json.dumps({"a": facts}))
    with pytest.raises(UsageError, match=r"v_a\.mp4 is named more than once"):
        list_sources([segments, again], missing="error", options=options)


def test_the_first_seconds_of_each_video_are_a_segment_that_a_list_can_name_too(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.mp4", "v/b.mp4")
    rows = write_list(tmp_path / "l.csv", "path,end,caption\nv/a.mp4,30,x\nv/b.mp4,30,\n")
    named = list_sources([rows], missing="error").sources
    plain = write_list(tmp_path / "p.csv", "path,caption\nv/a.mp4,x\nv/b.mp4,\n")
    first = ListOptions(first_s=30.0)
    assert list_sources([plain], missing="error", options=first).sources == named
    assert [(source.start_s, source.end_s) for source in named] == [(None, 30.0), (None, 30.0)]
    of_folder = list_sources([tmp_path / "v"], missing="error", options=first).sources
    assert [(source.identity, source.end_s) for source in of_folder] == [("a.mp4", 30.0), ("b.mp4", 30.0)]
    with pytest.raises(UsageError) as caught:
        list_sources([rows], missing="error", options=first)
    assert str(caught.value) == (
        f"--first is of whole videos, and {rows} line 2 names a segment of v/a.mp4: leave --first "
        "out, or add --whole-videos."
    )
    both = ListOptions(first_s=12.5, whole_videos=True)
    assert [source.end_s for source in list_sources([rows], missing="error", options=both).sources] == [
        12.5
    ] * 2


IMAGES = ListOptions(images=True)


def test_images_of_a_folder_are_sources_and_its_videos_are_told(tmp_path: Path) -> None:
    names = ("cat/1.jpg", "cat/2.JPEG", "dog/1.png", "dog/2.WebP", "dog/3.bmp", "dog/4.gif", "dog/5.tif")
    root = touch(tmp_path / "all", *names, "dog/v.mp4", ".git/1.jpg")
    listing = list_sources([root], missing="error", options=IMAGES)
    assert {source.identity: source.labels for source in listing.sources} == {
        "cat/1.jpg": ("cat",), "cat/2.JPEG": ("cat",), "dog/1.png": ("dog",), "dog/2.WebP": ("dog",),
        "dog/3.bmp": ("dog",),
    }  # fmt: skip
    assert f"{root}: 2 videos in it left out, as one dataset holds one kind." in listing.inputs[0].notes
    assert listing.num_hidden == 1


def test_images_beside_videos_are_no_sources(tmp_path: Path) -> None:
    assert identities(touch(tmp_path, "1.mp4", "1.jpg", "2.mp4", "2.webp")) == ["1.mp4", "2.mp4"]


@pytest.mark.parametrize(
    ("names", "images", "told"),
    [
        (("1.jpg", "a/2.png"), False, "holds no video, but 2 images: add --images to have them"),
        (("a/1.mp4",), True, "holds no image, but 1 video: leave out --images to have them"),
        (("1.pdf",), True, "holds no image: name a folder with some"),
    ],
)
def test_a_folder_of_the_other_kind_says_so(
    tmp_path: Path, names: tuple[str, ...], images: bool, told: str
) -> None:
    root = touch(tmp_path / "all", *names)
    with pytest.raises(UsageError, match=told):
        list_sources([root], missing="error", options=ListOptions(images=images))


@pytest.mark.parametrize("name", ["l.csv", "l.jsonl", "l.txt"])
def test_lists_name_images_as_they_name_videos(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "i/a b.jpg", "i/b.PNG")
    text = {
        "l.csv": "path,caption,split,label\ni/a b.jpg,a bear,train,x\ni/b.PNG,a boat,val,y\n",
        "l.jsonl": '{"path": "i/a b.jpg", "label": "x", "caption": "a bear", "split": "train"}\n'
        '{"path": "i/b.PNG", "label": "y", "caption": "a boat", "split": "val"}\n',
        "l.txt": "i/a b.jpg 0\ni/b.PNG 1\n",
    }[name]
    path = write_list(tmp_path / name, text)
    first, second = list_sources([path], missing="error", options=IMAGES).sources
    assert (first.identity, second.identity) == ("i/a b.jpg", "i/b.PNG")
    if name == "l.txt":
        assert (first.labels, second.labels) == (("0",), ("1",))
    else:
        assert (first.captions, first.split, first.labels) == (("a bear",), "train", ("x",))
        assert (second.captions, second.split, second.labels) == (("a boat",), "val", ("y",))


@pytest.mark.parametrize("images", [True, False])
def test_a_file_of_the_other_kind_among_others_is_left_to_the_decoder(tmp_path: Path, images: bool) -> None:
    touch(tmp_path, "a.jpg", "b.mp4")
    path = write_list(tmp_path / "l.csv", "path\na.jpg\nb.mp4\n")
    listing = list_sources([path], missing="error", options=ListOptions(images=images))
    assert {source.identity for source in listing.sources} == {"a.jpg", "b.mp4"}


def test_any_suffix_finds_the_image_of_another_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.webp", "a.mp4")
    path = write_list(tmp_path / "l.csv", "path\na.jpg\n")
    options = ListOptions(images=True, any_suffix=True)
    (source,) = list_sources([path], missing="error", options=options).sources
    assert source.identity == "a.webp"


@pytest.mark.parametrize(
    ("text", "images", "told"),
    [
        ("path\nb.mp4\n", True, "l.csv line 2: b.mp4 is a video, as is all .* leave out --images"),
        ("path\na.jpg\n", False, "l.csv line 2: a.jpg is an image, as is all .* add --images"),
        ("path,start,end\na.jpg,0,2\n", True, "l.csv line 2 has times, which an image has not"),
    ],
)
def test_a_dataset_is_of_one_kind(tmp_path: Path, text: str, images: bool, told: str) -> None:
    touch(tmp_path, "a.jpg", "b.mp4")
    with pytest.raises(UsageError, match=told):
        list_sources(
            [write_list(tmp_path / "l.csv", text)], missing="error", options=ListOptions(images=images)
        )
