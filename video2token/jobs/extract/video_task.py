"""What a decoding process does with one video: look, decode, mux, describe."""

import errno
import math
import tempfile
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.spool import Payload
from vfm.video2token.analysis.measure import measure, refuse_static
from vfm.video2token.analysis.options import SignalOptions
from vfm.video2token.container.mjpeg import mux
from vfm.video2token.container.tar_member import opened_source
from vfm.video2token.decoding.decoder import DecodedVideo, load_decoder
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.copy_times import times_in_copy

if TYPE_CHECKING:
    from vfm.shards.format.plan import Source  # brings pyarrow, which would double the start-up of a worker

_PLACE = ("offset", "size_bytes", "mtime_ns")  # of a source in its file
# What DecodedVideo and SampleMeta call by the same name.
_SHARED = (
    "pts_s", "width_px", "height_px", "source_width_px", "source_height_px", "source_fps",
    "source_duration_s", "codec", "pix_fmt", "container", "rotation_deg", "sample_aspect_ratio", "color",
    "num_decode_errors", "flags", "decoding", "damage",
)  # fmt: skip


def task_of(
    source: "Source", options: ExtractOptions, *, signals: SignalOptions | None = None
) -> dict[str, Any]:
    """Return what ``extract_one`` takes, as plain values that can cross to another process."""
    return {
        "path": source.path,
        "size_bytes": source.size_bytes,
        "mtime_ns": source.mtime_ns,
        "offset": source.offset,
        "options": asdict(options),
        "signals": (signals or SignalOptions()).to_task(),
        "known": {
            "key": source.key,
            "source": source.identity,
            "labels": source.labels,
            "captions": source.captions,
            "split": source.split,
            "start_s": source.start_s,
            "end_s": source.end_s,
        },
    }


def extract_one(task: dict[str, Any]) -> tuple[dict[str, Any], Payload]:
    """Return a sample's facts and its MP4, or why there is none.

    Args:
        task: made by ``task_of``.

    Returns:
        ``meta`` (text of the ``KEY.json``), ``offsets`` and ``sizes`` of the JPEGs in the MP4, and the MP4;
        or ``reason`` and ``message``, and nothing.
    """
    options = ExtractOptions(**task["options"])
    decoder = load_decoder(options.decoder)
    try:
        _refuse_empty_segment(**_segment(task["known"]))
        with opened_source(task["path"], **{name: task[name] for name in _PLACE}) as path:
            # Before the frames, because a video that is dropped for them need not be decoded in full.
            signals = _signals(task, path=path)
            decoded = decoder.decode(path, options, size_bytes=task["size_bytes"], **_segment(task["known"]))
        times_s = decoded.copy_times_s or times_in_copy(
            decoded.pts_s, fps=float(options.sampling_options.exact_fps)
        )
        video, offsets, sizes = mux(decoded.jpegs, times_s=times_s, last_s=decoded.last_s)
    except VideoRejected as rejected:
        return {"reason": rejected.reason, "message": rejected.message}, b""
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        told = f"No space left for its frames in {tempfile.gettempdir()} (set TMPDIR)."
        return {"reason": RejectReason.NO_SPACE, "message": told}, b""
    except MemoryError:
        limit = options.memory_bytes >> 20
        return {
            "reason": RejectReason.MEMORY,
            "message": f"Its frames take more than {limit} MiB of memory.",
        }, b""
    known = {**task["known"], "signals": signals}
    meta = _describe(decoded, known=known, options=options).to_json().decode()
    return {"meta": meta, "offsets": offsets, "sizes": sizes}, video


def _signals(task: dict[str, Any], *, path: str) -> dict[str, Any]:
    asked = task["signals"]
    signals = measure(path, asked["names"], size_bytes=task["size_bytes"], **_segment(task["known"]))
    refuse_static(signals, drop_static=asked["drop_static"])
    return signals


def _segment(known: dict[str, Any]) -> dict[str, float]:
    """Return the ends of the segment that is wanted; none for the whole video."""
    return {name: known[name] for name in ("start_s", "end_s") if known[name] is not None}


def _refuse_empty_segment(*, start_s: float = 0.0, end_s: float = math.inf) -> None:
    """Reject a segment that a list ends before it begins."""
    if end_s <= start_s:
        told = f"Its segment from {start_s:g} to {end_s:g} s, as the list has it, has no length."
        raise VideoRejected(RejectReason.EMPTY_SEGMENT, told)


def _describe(decoded: DecodedVideo, *, known: dict[str, Any], options: ExtractOptions) -> SampleMeta:
    return SampleMeta(
        outcome="partial" if decoded.damage else "ok",
        fps=options.fps,
        sampling=options.sampling,
        num_frames=len(decoded.jpegs),
        **known,
        **{name: getattr(decoded, name) for name in _SHARED},
    )


def tool_versions(decoder: str) -> dict[str, str]:
    """Return the versions of what turns a video into the bytes of a sample."""
    import simplejpeg  # type: ignore[import-untyped]  # it ships no types

    from vfm import __version__

    module = load_decoder(decoder)
    return {"vfm": __version__, "simplejpeg": simplejpeg.__version__, **module.version()}
