"""Decodes with NVIDIA DALI, an extra: ``pip install 'vfm[dali]'``; with NVDEC where there is a GPU.

Without a GPU, DALI decodes VP8, VP9 and Motion JPEG and refuses the rest. Its path on a GPU is written from
its documentation and was not run.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from vfm.shards.errors import MachineError
from vfm.video2token.decoding.by_time import chunks, decode_by_time
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.probe import VideoInfo, probe
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.timeline import FrameTimes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

CPU_CODECS = ("vp8", "vp9", "mjpeg")
GPU_CODECS = (*CPU_CODECS, "h264", "hevc", "av1", "mpeg4")


def decode(
    path: str,
    options: ExtractOptions,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    size_bytes: int = -1,
) -> DecodedVideo:
    """Return the frames of a video or of a segment of it, see ``decoder.Decoder``.

    DALI knows no list of allowed formats and no times, so PyAV, which does, reads the packets first. DALI is
    handed the whole file in memory.

    Raises:
        VideoRejected: with the reason.
        MachineError: DALI is not here.
    """
    dali = _library()
    info = probe(path, size_px=options.size_px, size_bytes=size_bytes)
    allowed = GPU_CODECS if has_gpu() else CPU_CODECS
    if info.codec not in allowed:
        where = "" if has_gpu() else " without a GPU"
        raise VideoRejected(
            RejectReason.UNSUPPORTED, f"DALI does not decode {info.codec}{where}: use --decoder pyav."
        )
    if info.is_packed:
        raise VideoRejected(
            RejectReason.UNSUPPORTED, "DALI does not take packed B-frames apart: use --decoder pyav."
        )
    return decode_by_time(info, _Library(dali, path, info), options, start_s=start_s, end_s=end_s)


def version() -> dict[str, str]:
    """Return the versions that the pixels follow from.

    Raises:
        MachineError: DALI is not here.
    """
    dali = _library()
    return {"dali": str(dali.__version__), "device": "gpu" if has_gpu() else "cpu", "pyav": av.__version__}


def has_gpu() -> bool:
    """Return whether the NVIDIA driver shows a GPU."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _library() -> Any:
    try:
        import nvidia.dali
        import nvidia.dali.fn
    except (ImportError, OSError, RuntimeError):
        raise MachineError(
            "The decoder dali is not installed: run `pip install 'vfm[dali]'` (for CUDA 13 "
            "`pip install nvidia-dali-cuda130`), or use --decoder pyav."
        ) from None
    return nvidia.dali


class _Library:
    """DALI at work on one video."""

    decoding = "selective"
    num_errors = 0  # DALI tells of none

    def __init__(self, dali: Any, path: str, info: VideoInfo) -> None:
        self._dali = dali
        self._path = path
        self._info = info

    def times(self) -> FrameTimes:
        """Refuse what the packets do not tell the times of: DALI has none of its own."""
        raise VideoRejected(
            RejectReason.UNSUPPORTED, "DALI does not find all of its frames: use --decoder pyav."
        )

    def frames(self, times: FrameTimes, wanted: Sequence[int]) -> "Iterator[tuple[int, VideoFrame]]":
        """Yield the wanted frames, in chunks that fit into memory."""
        parts = chunks(wanted, converter=self._info.converter)
        try:
            pipeline = self._pipeline(parts)
            for chunk in parts:
                (decoded,) = pipeline.run()
                pixels = np.asarray((decoded.as_cpu() if has_gpu() else decoded).at(0))
                if len(pixels) != len(chunk):
                    return
                for index, frame in zip(chunk, pixels, strict=True):  # DALI does not turn them upright
                    yield index, av.VideoFrame.from_ndarray(frame, format="rgb24")
        except (RuntimeError, ValueError) as error:
            lines = (line.strip() for line in str(error).splitlines() if "failed" in line)
            told = next(lines, "no reason given")
            raise VideoRejected(RejectReason.DECODE_ERROR, f"DALI cannot decode it ({told}).") from None

    def _pipeline(self, parts: list[Sequence[int]]) -> Any:
        """Return a pipeline whose runs give one chunk after the other, by places in the order of showing."""
        fn, data = self._dali.fn, np.fromfile(self._path, np.uint8)
        pipeline = self._dali.Pipeline(
            batch_size=1, num_threads=1, device_id=0 if has_gpu() else None, prefetch_queue_depth=1
        )
        places = iter([np.array(chunk, np.int32) for chunk in parts])
        with pipeline:
            encoded = fn.external_source(source=lambda: [data], batch=True)
            frames = fn.external_source(source=lambda: [next(places)], batch=True)
            device = "mixed" if has_gpu() else "cpu"
            pipeline.set_outputs(fn.decoders.video(encoded, device=device, frames=frames))
        pipeline.build()
        return pipeline
