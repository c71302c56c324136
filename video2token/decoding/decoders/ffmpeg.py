"""Decodes with the ffmpeg command, through ffmpeg-python: the one on this machine, with its own codecs.

The command decodes and picks the frames; scaling, colour and orientation are done here on the pictures that
it decoded, by the code that the default decoder uses. Where both decode a codec exactly, and standards since
H.264 ask for that, the pixels are the same whatever version of FFmpeg the command is.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

import av
import ffmpeg
import numpy as np

from vfm.video2token.container.demuxer import FORMATS, MAX_SOURCE_PIXELS, raise_memory_error
from vfm.video2token.decoding.by_time import decode_by_time
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.ffmpeg_command import Run, find_ffmpeg, locate_ffmpeg, running
from vfm.video2token.decoding.probe import VideoInfo, probe
from vfm.video2token.execution.exit_status import how_it_ended
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.timeline import FrameTimes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MAX_INLINE_BYTES = 60_000  # Linux takes 128 KiB in one argument
_TINY = "scale=16:16:flags=neighbor"
_NO_DECODER = ("Decoder not found", "Decoder (codec", "no decoder found")


def decode(
    path: str,
    options: ExtractOptions,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    size_bytes: int = -1,
) -> DecodedVideo:
    """Return the frames of a video or of a segment of it, see ``decoder.Decoder``.

    PyAV reads the packets first; their times decide which frames the command is asked for.

    Raises:
        VideoRejected: with the reason.
        MachineError: there is no command that works.
        MemoryError: the command got no memory.
    """
    info = probe(path, size_px=options.size_px, size_bytes=size_bytes)
    backend = _Command(locate_ffmpeg(), path, info)
    return decode_by_time(info, backend, options, start_s=start_s, end_s=end_s)


def version() -> dict[str, str]:
    """Return the versions that the pixels follow from.

    Raises:
        MachineError: there is no command that works.
    """
    return {"ffmpeg": find_ffmpeg().version, "pyav": av.__version__, "swscale": str(av.ffmpeg_version_info)}


class _Command:
    """The command at work on one video."""

    decoding = "full"

    def __init__(self, tool: str, path: str, info: VideoInfo) -> None:
        self.num_errors = 0
        self._tool = tool
        self._path = path
        self._info = info

    def times(self) -> FrameTimes:
        """Return the times of all frames that the command decodes, in an own pass without their pictures."""
        pts, durations = [], []
        with running(self._arguments({"filter:v": _TINY})) as run:
            for packet in _packets(run):
                pts.append(self._units(packet, packet.pts))
                durations.append(self._units(packet, packet.duration or 0))
        self._judge(run, num_frames=len(pts))
        return FrameTimes(pts=tuple(pts), durations=tuple(durations), is_counted=True)

    def frames(self, times: FrameTimes, wanted: Sequence[int]) -> "Iterator[tuple[int, VideoFrame]]":
        """Yield the wanted frames as the command decodes them, in their own pixel format."""
        marks = range(len(times.pts)) if times.is_counted else times.pts
        chosen = selection(runs_of(marks, wanted), by="n" if times.is_counted else "pts")
        filters = f"select='{chosen}',format=pix_fmts={self._info.converter.pix_fmt}"
        places = {marks[index]: index for index in wanted}
        in_order = iter(wanted)
        num_frames = 0
        with tempfile.TemporaryFile() as script, running(*self._selecting(filters, script=script)) as run:
            for packet in _packets(run):
                for frame in _picture(packet):
                    num_frames += 1
                    place = next(in_order) if times.is_counted else places[self._units(packet, packet.pts)]
                    yield place, self._painted(frame)
        self._judge(run, num_frames=num_frames)

    def _selecting(self, filters: str, *, script: IO[bytes]) -> tuple[list[str], tuple[int, ...]]:
        """Return the command line, and the file it reads a filter from that is too long for it."""
        if len(filters) <= _MAX_INLINE_BYTES:
            return self._arguments({"filter:v": filters}), ()
        script.write(filters.encode())
        script.flush()
        os.lseek(script.fileno(), 0, os.SEEK_SET)
        option = "/filter:v" if find_ffmpeg().number >= (7, 0) else "filter_script:v"
        return self._arguments({option: f"/dev/fd/{script.fileno()}"}), (script.fileno(),)

    def _arguments(self, filters: dict[str, str]) -> list[str]:
        return command_line(
            self._tool,
            self._path,
            stream_index=self._info.stream_index,
            time_base=self._info.time_base,
            filters=filters,
        )

    def _units(self, packet: Any, length: int) -> int:
        """Return a time of a raw picture in units of the video; NUT counts in whole parts of them."""
        return int(round(length * packet.time_base / self._info.time_base))

    def _painted(self, frame: "VideoFrame") -> "VideoFrame":
        """Return the picture on the canvas of the first frame, which PyAV decoded.

        Colour codes, the place of chroma samples and the field order do not travel with raw pictures, and
        the scaler heeds them.
        """
        canvas = self._info.first
        if _layout(frame) != _layout(canvas):  # the stream changes on the way
            return frame
        for target, source in zip(canvas.planes, frame.planes, strict=True):
            num_bytes = min(target.line_size, source.line_size)
            _rows(target)[:, :num_bytes] = _rows(source)[:, :num_bytes]
        return canvas

    def _judge(self, run: Run, *, num_frames: int) -> None:
        """Count what the command complained about, and reject the video that it did not survive."""
        raise_memory_error([(0, "ffmpeg", run.said)])
        self.num_errors = max(self.num_errors, run.num_lines)
        if any(told in run.said for told in _NO_DECODER):
            raise VideoRejected(
                RejectReason.UNSUPPORTED,
                f"{self._tool} has no decoder for {self._info.codec}: use --decoder pyav.",
            )
        how = how_it_ended(run.returncode or 0)
        if how.startswith("ended by"):
            raise VideoRejected(RejectReason.CRASH, f"Its ffmpeg process was {how}.")
        if run.returncode and not num_frames:
            raise VideoRejected(RejectReason.DECODE_ERROR, f"ffmpeg gave no frame of it ({how}).")


def command_line(
    tool: str, path: str, *, stream_index: int, time_base: Fraction, filters: dict[str, str]
) -> list[str]:
    """Return the arguments that decode one video stream into raw pictures on stdout, with their times.

    Args:
        tool: the command.
        path: of the video, absolute.
        stream_index: of its video stream.
        time_base: of that stream; the times keep it.
        filters: the option that names the filters, and its value.
    """
    opened: Any = ffmpeg.input(
        "INPUT",  # ffmpeg-python cannot take names that are not UTF-8
        protocol_whitelist="file",
        format_whitelist=FORMATS,
        max_pixels=MAX_SOURCE_PIXELS,
        threads=1,  # the job runs one process per core
        copyts=None,
        noautorotate=None,
    )
    written = opened[str(stream_index)].output(
        "pipe:1",
        format="nut",  # raw pictures that keep their times
        vcodec="rawvideo",
        fps_mode="passthrough",
        enc_time_base=str(time_base),
        **filters,
    )
    arguments = ffmpeg.compile(written, cmd=tool)
    # "file:" keeps names such as "concat:x" from being read as protocols.
    arguments[arguments.index("INPUT")] = f"file:{path}"
    return [arguments[0], "-nostdin", "-hide_banner", "-v", "error", *arguments[1:]]


def runs_of(marks: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last mark of each run of frames that follow each other, all of them wanted.

    Args:
        marks: what tells each frame of the video, ascending: its time or its number.
        wanted: places in it, ascending, one at least.
    """
    runs: list[tuple[int, int]] = []
    for before, index in zip([-1, *wanted], wanted, strict=False):
        begin = runs.pop()[0] if runs and before == index - 1 else marks[index]
        runs.append((begin, marks[index]))
    return runs


def selection(runs: Sequence[tuple[int, int]], *, by: str) -> str:
    """Return the expression that is true within the runs, as a search tree: some ten steps a frame.

    Args:
        runs: first and last mark of each, ascending.
        by: what FFmpeg calls the mark, ``pts`` or ``n``.
    """
    if len(runs) == 1:
        return "between({},{},{})".format(by, *runs[0])
    middle = len(runs) // 2
    return (
        f"if(lt({by},{runs[middle][0]}),{selection(runs[:middle], by=by)},{selection(runs[middle:], by=by)})"
    )


def _picture(packet: Any) -> "list[VideoFrame]":
    """Return the frame in a raw picture; none when it was cut off in the middle."""
    try:
        return list(packet.decode())
    except (av.FFmpegError, ValueError):
        return []


def _layout(frame: "VideoFrame") -> tuple[int, int, str]:
    # yuvj420p is laid out as yuv420p; its name says "full range", which NUT does not keep
    return frame.width, frame.height, frame.format.name.replace("yuvj", "yuv")


def _rows(plane: Any) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)


def _packets(run: Run) -> Iterator[Any]:
    """Yield the raw pictures that the command writes; it may stop at any byte."""
    try:
        with av.open(run.stdout, mode="r", format="nut") as pictures:
            yield from (packet for packet in pictures.demux(video=0) if packet.size)
    except (av.FFmpegError, IndexError):
        return
