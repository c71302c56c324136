"""Which signals a job computes of every video, and which videos it leaves out by them."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from vfm.video2token.container.tar_member import opened_source
from vfm.video2token.rejection import RejectReason, VideoRejected


def measure(
    path: str,
    signals: Sequence[str],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    size_bytes: int = -1,
) -> dict[str, Any]:
    """Return the signals of a video, or of a segment of it, by name; all in one pass over its frames.

    Args:
        path: absolute.
        signals: files of ``vfm.video2token.analysis.signals``.
        start_s: begin of the segment, seconds from the video's first frame; None for its begin.
        end_s: its end, None for the video's end.
        size_bytes: size of the file that the plan counted with, -1 when it is not to be compared.

    Raises:
        VideoRejected: the file cannot be opened, or holds no video.
        MemoryError: decoding takes more memory than there is.
    """
    if not signals:
        return {}
    from vfm.video2token.analysis.thumbnails import thumbnails

    modules = {name: _module(name) for name in signals}
    measured = {name: module.build() for name, module in modules.items()}
    wants_vectors = any(module.WANTS_VECTORS for module in modules.values())
    for thumbnail in thumbnails(
        path, start_s=start_s, end_s=end_s, size_bytes=size_bytes, wants_vectors=wants_vectors
    ):
        for signal in measured.values():
            signal.add(thumbnail)
    return {name: signal.result() for name, signal in measured.items()}


def refuse_static(signals: dict[str, Any], *, drop_static: float | None) -> None:
    """Reject a video that hardly moves; one whose motion could not be measured stays.

    Raises:
        VideoRejected: with reason static.
    """
    score = signals["motion"]["score"] if drop_static is not None else None
    if drop_static is not None and score is not None and score < drop_static:
        raise VideoRejected(
            RejectReason.STATIC,
            f"It moves by {score:g} of its diagonal per second (below --drop-static {drop_static:g}).",
        )


def measure_one(task: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer the pool: the signals of one video, none when it is rejected (which decoding will find too).

    Args:
        task: the arguments of ``measure``, and of ``opened_source`` for the path.
    """
    place = {name: task.pop(name) for name in ("offset", "mtime_ns")}
    try:
        with opened_source(task["path"], size_bytes=task["size_bytes"], **place) as path:
            return {"signals": measure(**{**task, "path": path})}, b""
    except (VideoRejected, MemoryError):
        return {"signals": {}}, b""


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"vfm.video2token.analysis.signals.{name}")
