"""Tars as sources: what is in them, hostile ones, and how a worker gets at the bytes of a member."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.media import number_in
from vfm.shards.errors import UsageError
from vfm.shards.format.plan import Source
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.container.tar_member import extracted
from vfm.video2token.decoding.decoders import pyav
from vfm.video2token.jobs.extract import video_task
from vfm.video2token.jobs.extract.extract import extract_sources
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import VideoRejected
from vfm.video2token.sources.classes import read_classes
from vfm.video2token.sources.listing import ListOptions, list_sources
from vfm.video2token.sources.report import told

Film = Callable[..., Path]
OPTIONS = ExtractOptions(fps=5.0, size_px=48)
PLAIN = ListOptions()


def pack(path: Path, members: dict[str, bytes | tarfile.TarInfo], *, style: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=style) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            data = content if isinstance(content, bytes) else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def read(path: Path, options: ListOptions = PLAIN) -> tuple[Source, ...]:
    return list_sources([path], missing="error", options=options).sources


def bytes_of(source: Source) -> bytes:
    assert source.offset is not None
    with Path(source.path).open("rb") as file:
        file.seek(source.offset)
        return file.read(source.size_bytes)


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_sources_with_their_texts(tmp_path: Path, style: int) -> None:
    long = "x" * 90 + "/" + "y" * 95 + ".mp4"
    path = pack(
        tmp_path / "00000.tar",
        {
            "a.json": b'{"caption": "json", "label": ["p", 3], "split": "val", "key": "k", "x": {}}',
            "a.mp4": b"first",
            "a.txt": "ein \u00fc\n".encode(),
            "./d/b.left.MKV": b"second",
            "d/b.right.mkv": b"",
            "d/b.cls": b"7",
            "c.webm": b"x" * 513,
            "c.json": b'[1, 2]',
            "e.mp4": b"e",
            "e.json": b'{"caption": {"text": "no"}, "labels": [1.5], "captions": null}',
            long: b"long",
            ".hidden.mp4": b"no",
            "__MACOSX/._a.mp4": b"no",
            "notes.pdf": b"no",
        },
        style=style,
    )  # fmt: skip
    sources = {source.identity.removeprefix("00000.tar/"): source for source in read(path)}
    assert list(sources) == ["a.mp4", "d/b.left.MKV", "d/b.right.mkv", "c.webm", "e.mp4", long]
    assert [bytes_of(source) for source in sources.values()] == [
        b"first",
        b"second",
        b"",
        b"x" * 513,
        b"e",
        b"long",
    ]
    first, left, right = (sources[name] for name in ("a.mp4", "d/b.left.MKV", "d/b.right.mkv"))
    assert (first.captions, first.labels, first.split) == (("ein ü",), ("p", "3"), "val")
    assert left.labels == right.labels == ("7",)
    assert (sources["e.mp4"].captions, sources["e.mp4"].labels) == ((), ())
    assert first.path == str(path)
    assert first.key.startswith("00000-tar-a-")


def test_several_tars_and_a_folder_of_the_same_names_never_collide(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        for name in ("00000.tar", "00001.tar"):
            pack(tmp_path / folder / name, {"0.mp4": b"x"})
    (tmp_path / "one" / "0.mp4").write_bytes(b"x")
    tars = [tmp_path / folder / name for folder in ("one", "two") for name in ("00000.tar", "00001.tar")]
    sources = list_sources([*tars, tmp_path / "one"], missing="error").sources
    assert [source.identity for source in sources] == [
        "one/00000.tar/0.mp4", "one/00001.tar/0.mp4", "two/00000.tar/0.mp4", "two/00001.tar/0.mp4",
        f"{tmp_path.name}/one/0.mp4",
    ]  # fmt: skip
    assert len({source.key for source in sources}) == 5
    assert [source.identity for source in read(tmp_path / "one" / "*.tar")] == [
        "00000.tar/0.mp4",
        "00001.tar/0.mp4",
    ]
    with pytest.raises(UsageError, match=r"00000\.tar is named twice"):
        list_sources([tars[0], tars[0]], missing="error")


def test_classes_name_the_integers_of_a_tar(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {"a.mp4": b"x", "a.cls": b"1\n"})
    (tmp_path / "two").write_text("walk\nrun\n")
    (tmp_path / "one").write_text("walk\n")
    assert read(path, ListOptions(classes=read_classes(tmp_path / "two")))[0].labels == ("run",)
    with pytest.raises(UsageError, match=r"a\.tar member a\.mp4: the label .1. is not one of the 1 classes"):
        read(path, ListOptions(classes=read_classes(tmp_path / "one")))


def test_what_is_hidden_in_a_tar_is_told(tmp_path: Path) -> None:
    names = ("a.mp4", "._a.mp4", "x/.y/b.mp4", ".c.txt", "../d.mp4")
    path = pack(tmp_path / "a.tar", dict.fromkeys(names, b"x"))
    found = list_sources([path], missing="error")
    assert [source.identity for source in found.sources] == ["a.tar/a.mp4", "a.tar/../d.mp4"]
    assert found.left_out["hidden"] == [f"{path} member ._a.mp4", f"{path} member x/.y/b.mp4"]


def test_folder_of_tars_says_how_to_name_them(tmp_path: Path) -> None:
    pack(tmp_path / "shards" / "0.tar", {"a.mp4": b"x"})
    with pytest.raises(
        UsageError, match=r"shards holds no video, but 1 tars: name them, as in '.*shards/\*\.tar'"
    ):
        read(tmp_path / "shards")


HOSTILE: dict[str, bytes | tarfile.TarInfo] = {
    "../../up.mp4": b"up",
    "/etc/abs.mp4": b"abs",
    "link.mp4": special("link.mp4", tarfile.SYMTYPE, "/etc/passwd"),
    "hard.mp4": special("hard.mp4", tarfile.LNKTYPE, "../../up.mp4"),
    "pipe.mp4": special("pipe.mp4", tarfile.FIFOTYPE),
    "device.mp4": special("device.mp4", tarfile.CHRTYPE),
    "folder.mp4": special("folder.mp4", tarfile.DIRTYPE),
    "\x1b[31m.mp4": b"red",
    "-rf $(id).mp4": b"rf",
}


def test_hostile_members_are_names_and_bytes_and_no_more(tmp_path: Path) -> None:
    inside = tmp_path / "deep" / "deeper"
    sources = read(pack(inside / "h.tar", HOSTILE))
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["deep", "deeper", "h.tar"]
    sizes = {source.identity.removeprefix("h.tar/"): source.size_bytes for source in sources}
    assert sizes == {
        "../../up.mp4": 2, "/etc/abs.mp4": 3, "link.mp4": -1, "hard.mp4": -1, "pipe.mp4": -1,
        "device.mp4": -1, "\x1b[31m.mp4": 3, "-rf $(id).mp4": 2,
    }  # fmt: skip
    assert all(source.key.replace("-", "").replace("_", "").isalnum() for source in sources)


def test_sparse_members_have_no_bytes_of_their_own(tmp_path: Path) -> None:
    pax = tarfile.TarInfo("GNUSparseFile.0/s.mp4")
    pax.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "s.mp4", "GNU.sparse.realsize": "99"}
    path = pack(tmp_path / "s.tar", {"GNUSparseFile.0/s.mp4": pax, "a.mp4": b"a"})
    old = bytearray(tarfile.TarInfo("old.mp4").tobuf(tarfile.GNU_FORMAT))
    old[156:157], old[482] = b"S", 1  # an old sparse file, whose map goes on in one more block
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    path.write_bytes(bytes(old) + bytes(512) + path.read_bytes())
    assert [(source.identity, source.size_bytes) for source in read(path)] == [
        ("s.tar/old.mp4", -1), ("s.tar/s.mp4", -1), ("s.tar/a.mp4", 1),
    ]  # fmt: skip


def _header(name: str, size_bytes: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size_bytes
    return info.tobuf(tarfile.GNU_FORMAT)


SOUND = _header("a.mp4", 1) + b"a".ljust(512, b"\0")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it does not begin with a member"),
        (bytes(10240), "it does not begin with a member"),
        (b"x" * 2048, "header at byte 0"),
        (SOUND[:100], "truncated header at byte 0"),
        (SOUND + _header("b.mp4", 9999), "it ends before its member at byte 1024 does"),
        (SOUND + b"y" * 512, "header at byte 1024"),
        (_header("x", 2 << 20, tarfile.XHDTYPE) + bytes(3 << 20), "a name or record of 2097152 bytes"),
        (
            _header("x", 2 << 20, tarfile.GNUTYPE_LONGNAME) + bytes(3 << 20),
            "a name or record of 2097152 bytes",
        ),
        (
            _header("x", 9, tarfile.XHDTYPE) + b"99 path=x".ljust(512, b"\0"),
            "a broken pax record at byte 512",
        ),
        (_header("x", 9, tarfile.XHDTYPE) + b"x" * 9 + bytes(503), "a broken pax record at byte 512"),
        (_header("x", 10, tarfile.XHDTYPE) + b"10 size=x\n" + bytes(502) + SOUND, "byte 1024 is 'x'"),
        (b"\x1f\x8b\x08" + bytes(2000), "at byte 0"),
    ],
)
def test_broken_tar_is_told(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "b.tar").write_bytes(data)
    with pytest.raises(UsageError, match=r"b\.tar is not a complete, uncompressed tar") as caught:
        read(tmp_path / "b.tar")
    assert told in str(caught.value)


def test_tar_cut_at_any_place_ends(tmp_path: Path) -> None:
    whole = pack(
        tmp_path / "w.tar", {"a" * 120 + ".mp4": b"a" * 700, "b.txt": b"b", "c.mp4": b""}
    ).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(whole[: rng.integers(1, len(whole))])
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        (tmp_path / "cut.tar").write_bytes(data)
        told = ""
        try:
            read(tmp_path / "cut.tar")
        except UsageError as error:
            told = str(error)
        assert "\n" not in told


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"a.mp4": b"x", "./a.mp4": b"y"}, "holds a.mp4 twice: leave one out"),
        ({"a.mp4": b"x", "a.json": b"{"}, "t.tar member a.json is not JSON"),
        ({"a.mp4": b"x", "a.txt": b"a\ncaf\xe9"}, "t.tar member a.txt is not UTF-8 text (line 2, byte 0xe9)"),
        (
            {"a.mp4": b"x", "a.txt": "a dog".encode("utf-16-le")},
            "member a.txt is not UTF-8 text (line 1, byte 0",
        ),
        (
            {"a.mp4": b"x", "a.txt": bytes((16 << 20) + 1)},
            "t.tar member a.txt has 16777217 bytes, which is too much",
        ),
        ({"a.jpg": b"x"}, "t.tar holds no video"),
    ],
)
def test_tar_with_bad_members_is_told(tmp_path: Path, members: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(pack(tmp_path / "t.tar", members))
    assert told in str(caught.value)


def test_copy_has_the_bytes_and_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    data = np.random.default_rng(0).bytes(100_000)
    (source,) = read(pack(tmp_path / "a.tar", {"a.mp4": data}))
    assert source.offset is not None
    copy = extracted(
        source.path, offset=source.offset, size_bytes=source.size_bytes, mtime_ns=source.mtime_ns
    )
    with copy as path:
        assert Path(path).read_bytes() == data
        assert list((tmp_path / "tmp").iterdir()) == []
    assert not Path(path).exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size_bytes": -1}, "not_regular"),
        ({"mtime_ns": 1}, "changed"),
        ({"size_bytes": 1 << 20}, "changed"),
        ({"path": "/nowhere/a.tar"}, "missing"),
    ],
)
def test_copy_that_cannot_be_made_is_a_rejection(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    (source,) = read(pack(tmp_path / "a.tar", {"a.mp4": b"abc"}))
    given = {name: getattr(source, name) for name in ("path", "offset", "size_bytes", "mtime_ns")} | change
    with pytest.raises(VideoRejected) as caught, extracted(**given):
        pass
    assert caught.value.reason == reason


def test_no_room_for_a_copy_is_a_rejection_that_can_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    (source,) = read(pack(tmp_path / "a.tar", {"a.mp4": b"abc"}))
    monkeypatch.setattr(os, "sendfile", refuse)
    head, body = video_task.extract_one(video_task.task_of(source, OPTIONS))
    assert (head["reason"], body) == ("no_space", b"")
    assert "No space left for 3 bytes in" in head["message"]


def test_samples_of_a_tar_are_those_of_its_files(films: Film, tmp_path: Path) -> None:
    root = films(5)
    members: dict[str, Any] = {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.mp4"))
    }
    path = pack(
        tmp_path / "t.tar", {**members, "a/000.txt": b"first", "b/z.mp4": special("b/z.mp4", b"2", "x")}
    )
    result = extract_sources(read(path), tmp_path / "data", OPTIONS, num_workers=2)
    assert (result.num_ok, result.rejected_by_reason) == (5, {"not_regular": 1})
    dataset = open_dataset(tmp_path / "data")
    captions = {}
    for index in range(len(dataset)):
        meta = dataset.meta(index)
        first = 5 * int(meta.source.removesuffix(".mp4")[-3:])
        assert number_in(dataset.frames(index, [0])[0]) == first
        captions[meta.source] = meta.captions
    assert captions.pop("t.tar/a/000.mp4") == ("first",)
    assert set(captions.values()) == {()}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the decoder is asked for from now on; it decodes the whole video whatever that is."""
    decode, asked = pyav.decode, list[dict[str, Any]]()

    def remember(path: str, options: ExtractOptions, *, size_bytes: int = -1, **segment: float) -> Any:
        asked.append({"size_bytes": size_bytes, **segment})
        return decode(path, options, size_bytes=size_bytes)

    monkeypatch.setattr(pyav, "decode", remember)
    return asked


def test_decoder_is_told_the_segment_and_only_when_there_is_one(
    asked: list[dict[str, Any]], film: Film, tmp_path: Path
) -> None:
    size = {"size_bytes": film("a.mp4", num_frames=20).stat().st_size}
    (tmp_path / "l.csv").write_text("path,start,end\na.mp4,,\na.mp4,0.2,0.6\na.mp4,0.4,\n")
    replies = [
        video_task.extract_one(video_task.task_of(source, OPTIONS)) for source in read(tmp_path / "l.csv")
    ]
    metas = [json.loads(head["meta"]) for head, _ in replies]
    assert asked == [size, {**size, "start_s": 0.2, "end_s": 0.6}, {**size, "start_s": 0.4}]
    assert [(meta["start_s"], meta["end_s"]) for meta in metas] == [(None, None), (0.2, 0.6), (0.4, None)]
    assert {meta["source"] for meta in metas} == {"a.mp4"}


IMAGES = ListOptions(images=True)


def test_images_of_img2dataset_have_the_caption_of_their_txt_else_of_their_json(tmp_path: Path) -> None:
    members = {
        "000000000.jpg": b"first",
        "000000000.txt": "ein Bär".encode(),
        "000000000.json": b'{"caption": "a bear", "url": "http://x", "width": 7, "status": "success"}',
        "000000001.JPEG": b"second",
        "000000001.json": b'{"caption": "a boat", "error_message": null}',
        "000000002.webp": b"third",
        "000000002.json": b'{"caption": null}',
        "000000003.mp4": b"a video",
    }
    sources = read(pack(tmp_path / "00000.tar", dict(members)), IMAGES)
    assert [source.identity for source in sources] == [
        "00000.tar/000000000.jpg", "00000.tar/000000001.JPEG", "00000.tar/000000002.webp",
    ]  # fmt: skip
    assert [bytes_of(source) for source in sources] == [b"first", b"second", b"third"]
    assert [source.captions for source in sources] == [("ein Bär",), ("a boat",), ()]
    assert {source.split for source in sources} == {None}


def test_failed_downloads_are_counted_over_all_tars_and_are_no_sources(tmp_path: Path) -> None:
    failed = b'{"caption": "gone", "status": "failed_to_download"}'
    one = pack(tmp_path / "0.tar", {"0.jpg": b"x", "0.json": b"{}", "1.json": failed, "2.json": failed})
    two = pack(tmp_path / "1.tar", {"0.json": failed})
    listing = list_sources([one, two], missing="error", options=IMAGES)
    assert [source.identity for source in listing.sources] == ["0.tar/0.jpg"]
    notes = [line for line in told(listing) if "KEY.json" in line]
    assert notes == [
        "note: members KEY.json without a file beside them, as of downloads that failed, are left out: 3, "
        f"the first {one} member 1.json."
    ]
    with pytest.raises(UsageError, match="holds what failed downloads have left, and no source"):
        read(two, IMAGES)


@pytest.mark.parametrize(("name", "images"), [("0.jpg", False), ("0.mp4", True)])
def test_a_tar_of_the_other_kind_says_so(tmp_path: Path, name: str, images: bool) -> None:
    path = pack(tmp_path / "0.tar", {name: b"x", "1.pdf": b"x"})
    remedy = "1 video: leave out --images" if images else "1 image: add --images"
    with pytest.raises(UsageError, match=f"holds no (image|video), but {remedy}"):
        read(path, ListOptions(images=images))
