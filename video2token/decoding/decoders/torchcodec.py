"""Decodes with torchcodec, an extra: ``pip install 'vfm[torchcodec]'``, over this machine's FFmpeg.

torchcodec hands out frames as RGB at their full size, and they are scaled from that; the default decoder
scales and converts in one step, so pixels differ a little (``docs/reference/decoders.md`` has by how much).
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import av

from vfm.shards.errors import MachineError
from vfm.video2token.decoding.by_time import chunks, decode_by_time, rgb_frame
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.probe import VideoInfo, probe
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.timeline import FrameTimes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SOURCE_LINE = re.compile(r"^\w+, \S+\.cpp:\d+, ")
_NO_LIBRARIES = ("libtorchcodec", "FFmpeg is not")


def decode(
    path: str,
    options: ExtractOptions,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    size_bytes: int = -1,
) -> DecodedVideo:
    """Return the frames of a video or of a segment of it, see ``decoder.Decoder``.

    torchcodec knows no list of allowed formats, so PyAV, which does, opens the file first.

    Raises:
        VideoRejected: with the reason.
        MachineError: torchcodec is not here, or finds no FFmpeg.
    """
    opener = _opener()
    info = probe(path, size_px=options.size_px, size_bytes=size_bytes)
    if info.converter.orientation.mirrored:
        raise VideoRejected(RejectReason.UNSUPPORTED, "It is displayed mirrored: use --decoder pyav.")
    return decode_by_time(info, _Library(opener, path, info), options, start_s=start_s, end_s=end_s)


def version() -> dict[str, str]:
    """Return the versions that the pixels follow from.

    Raises:
        MachineError: torchcodec is not here, or finds no FFmpeg.
    """
    from importlib.metadata import version as version_of

    opener = _opener()
    import torchcodec

    try:
        opener(b"no video")
    except (RuntimeError, ValueError, OSError) as error:
        if any(told in str(error) for told in _NO_LIBRARIES):
            raise _no_libraries() from None
    return {
        "torchcodec": version_of("torchcodec"),
        "ffmpeg": f"{getattr(torchcodec, 'ffmpeg_major_version', 'unknown')}.x",
        "pyav": av.__version__,
    }


def _opener() -> Any:
    try:
        from torchcodec import decoders
    except ImportError:
        raise MachineError(
            "The decoder torchcodec is not installed: run `pip install 'vfm[torchcodec]'`, "
            "or use --decoder pyav."
        ) from None
    except (RuntimeError, OSError):
        raise _no_libraries() from None
    return getattr(decoders, "VideoDecoder")  # noqa: B009 (mypy sees no export)


def _no_libraries() -> MachineError:
    return MachineError(
        "torchcodec is installed and cannot load its libraries: install shared libraries of FFmpeg 4 to 8 "
        "(and torchcodec 0.13 or older beside a torch without CUDA), or use --decoder pyav."
    )


class _Library:
    """torchcodec at work on one video."""

    decoding = "selective"
    num_errors = 0  # torchcodec tells of none

    def __init__(self, opener: Any, path: str, info: VideoInfo) -> None:
        self._opener = opener
        self._path = path
        self._info = info

    def times(self) -> FrameTimes:
        """Refuse what the packets do not tell the times of: torchcodec would have to guess them."""
        raise VideoRejected(
            RejectReason.UNSUPPORTED,
            "torchcodec does not find all frames by their times: use --decoder pyav.",
        )

    def frames(self, times: FrameTimes, wanted: Sequence[int]) -> "Iterator[tuple[int, VideoFrame]]":
        """Yield the wanted frames, in chunks that fit into memory; stop where one has another time."""
        if times.is_counted:
            raise VideoRejected(
                RejectReason.UNSUPPORTED,
                "Its container has no presentation times to find frames by: use --decoder pyav.",
            )
        converter, unit_s = self._info.converter, float(self._info.time_base)
        try:
            decoder = self._opener(
                self._path,
                stream_index=self._info.stream_index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                seek_mode="exact",  # scans the packets, so that frames have their own times
            )
            for chunk in chunks(wanted, converter=converter):
                batch = decoder.get_frames_played_at([amid(times, index) * unit_s for index in chunk])
                for index, pixels, pts_s in zip(chunk, batch.data, batch.pts_seconds.tolist(), strict=True):
                    if abs(pts_s - times.pts[index] * unit_s) > unit_s / 2 + 1e-6:
                        return
                    yield index, rgb_frame(pixels.numpy(), converter=converter)
        except (RuntimeError, ValueError, IndexError) as error:
            told = _SOURCE_LINE.sub("", str(error).strip().partition("\n")[0])
            raise VideoRejected(RejectReason.DECODE_ERROR, f"torchcodec cannot decode it ({told}).") from None


def amid(times: FrameTimes, index: int) -> float:
    """Return a moment at which a frame is surely shown, in units of the time base."""
    pts = times.pts[index]
    if index + 1 < len(times.pts):
        return (pts + times.pts[index + 1]) / 2
    return pts + times.durations[index] / 2
