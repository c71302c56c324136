"""Files that name other files or hosts: rejected, with no connection made and no other file opened (E13)."""

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from support.jobs import extract, outcomes, wait_for

IN_ACCESS, IN_OPEN, IN_NONBLOCK = 0x1, 0x20, 0x800
HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n"
KEY = '#EXT-X-KEY:METHOD=AES-128,URI="{url}/key.bin"\n'
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="1000" width="64" height="48"><BaseURL>{where}</BaseURL><SegmentBase/></Representation>'
    "</AdaptationSet></Period></MPD>"
)
SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{where}"/></svg>'
)

# Name, text, and what it becomes; {url} is a server that counts, {canary} a film that nobody may open.
HOSTILE = {
    "hls_file.mp4": (HLS + "#EXTINF:2.0,\ncanary.ts\n#EXT-X-ENDLIST\n", "playlist"),
    "hls_absolute.ts": (HLS + "#EXTINF:2.0,\nfile:{canary}\n#EXT-X-ENDLIST\n", "playlist"),
    "hls_concat.mp4": (HLS + "#EXTINF:2.0,\nconcat:canary.ts|canary.ts\n#EXT-X-ENDLIST\n", "playlist"),
    "hls_subfile.mp4": (
        HLS + "#EXTINF:2,\nsubfile,,start,0,end,99,,:canary.ts\n#EXT-X-ENDLIST\n",
        "playlist",
    ),
    "hls_http.mp4": (HLS + "#EXTINF:2.0,\n{url}/a.ts\n#EXT-X-ENDLIST\n", "playlist"),
    "hls_key.mp4": (HLS + KEY + "#EXTINF:2.0,\ncanary.ts\n#EXT-X-ENDLIST\n", "playlist"),
    "hls_spaced.mp4": ("\ufeff \n" + HLS + "#EXTINF:2.0,\ncanary.ts\n#EXT-X-ENDLIST\n", "playlist"),
    "concat_file.mp4": ("ffconcat version 1.0\nfile canary.ts\n", "playlist"),
    "concat_absolute.mkv": ("ffconcat version 1.0\nfile 'file:{canary}'\n", "playlist"),
    "concat_http.avi": ("ffconcat version 1.0\nfile {url}/a.mp4\n", "playlist"),
    "concat_without_header.mp4": ("file canary.ts\nfile canary.ts\n", "not_video"),
    "dash_file.mp4": (DASH.replace("{where}", "canary.ts"), "playlist"),
    "dash_http.webm": (DASH.replace("{where}", "{url}/a.mp4"), "playlist"),
    "asx.wmv": ('<asx version="3.0"><entry><ref href="{url}/a.wmv"/></entry></asx>', "playlist"),
    "reference.asf": ("[Reference]\nRef1={url}/a.asf\n", "playlist"),
    "pls.mp4": ("[playlist]\nFile1=canary.ts\nNumberOfEntries=1\n", "playlist"),
    "sdp.mp4": ("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "not_video"),
    "rtsp.mp4": ("RTSPtextRTSP://127.0.0.1/a\n", "not_video"),
    "imf.mp4": ('<?xml version="1.0"?><CompositionPlaylist/>', "not_video"),
    "svg_http.mp4": (SVG.replace("{where}", "{url}/a.png"), "not_video"),
    "svg_file.mov": (SVG.replace("{where}", "canary.ts"), "not_video"),
}


def write_magenta(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(25):
            picture = np.full((48, 64, 3), (255, 0, 255), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@contextmanager
def counting_server() -> Iterator[tuple[str, list[object]]]:
    """Yield an address and the list of who connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        callers: list[object] = []
        thread = threading.Thread(target=accept_all, args=(server, callers))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", callers
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


def accept_all(server: socket.socket, callers: list[object]) -> None:
    while True:
        try:
            connection, address = server.accept()
        except OSError:  # it was shut down
            return
        callers.append(address)
        connection.close()


@contextmanager
def watching(*paths: Path) -> Iterator[Callable[[], int]]:
    """Yield a function that returns how often the files were opened or read since it was last asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(IN_NONBLOCK)
    for path in paths:
        assert libc.inotify_add_watch(descriptor, os.fsencode(path), IN_OPEN | IN_ACCESS) > 0

    def num_events() -> int:
        try:
            return len(os.read(descriptor, 1 << 16)) // 16  # the size of an event without a name
        except BlockingIOError:
            return 0

    try:
        yield num_events
    finally:
        os.close(descriptor)


def test_no_connection_and_no_other_file_opened(tmp_path: Path) -> None:
    canary = write_magenta(tmp_path / "canary.ts")
    with counting_server() as (url, callers), watching(canary) as num_events:
        rows = []
        for name, (text, _) in HOSTILE.items():
            (tmp_path / name).write_text(text.replace("{url}", url).replace("{canary}", str(canary)))
            rows.append(f'"{name}"\n')
        (tmp_path / "list.csv").write_text("path\n" + "".join(rows))
        done = extract(tmp_path / "list.csv", tmp_path / "data", cwd=tmp_path)
        assert callers == []
        assert num_events() == 0
        # both would have been noticed
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()
        canary.read_bytes()
        assert num_events() > 0
        wait_for(lambda: len(callers) == 1)
    assert done.returncode == 1
    ends = outcomes(tmp_path / "data")
    assert {name: end.word for name, end in ends.items()} == {
        name: word for name, (_, word) in HOSTILE.items()
    }


@pytest.mark.needs("shared")
def test_playlists_of_the_corpus_open_none_of_its_canaries(shared: Path, tmp_path: Path) -> None:
    files = shared / "badvideos" / "files"
    playlists = [path for path in sorted(files.glob("s*")) if "canary" not in path.name]
    (tmp_path / "list.csv").write_text("path\n" + "".join(f'"{path}"\n' for path in playlists))
    with watching(*files.glob("s00_secret_canary.*")) as num_events:
        done = extract(tmp_path / "list.csv", tmp_path / "data", "--fps", 2, cwd=files)
        assert num_events() == 0
    assert done.returncode == 1
    assert len(outcomes(tmp_path / "data")) == len(playlists) == 10
