"""Bits that flip in a coded video: never a sound sample where a full decode has errors to report (E11)."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from support.jobs import assert_sound, outcomes
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.execution.executors.processes import ProcessExecutor
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.options import ExtractOptions

Figure = Callable[[str, object], None]

# Decodes everything a file has and counts what libav reports; in the pool, for a flip may crash a decoder.
REFERENCE = """
import av

def num_errors(path):
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    with av.logging.Capture() as log:
        try:
            with av.open("file:" + path) as container:
                stream = container.streams.best("video")
                if stream is None:
                    return 1, b""
                stream.codec_context.thread_count = 1
                for packet in container.demux(stream):
                    try:
                        stream.codec_context.decode(packet if packet.size else None)
                    except av.FFmpegError as error:
                        log.append((0, "", str(error)))
        except av.FFmpegError as error:
            log.append((0, "", str(error)))
        return len(log), b""
"""


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Path]], list[int]]:
    """Return a function that says how many errors a full decode of each file reports."""
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "full_decode.py").write_text(REFERENCE)
    monkeypatch.syspath_prepend(str(tmp_path / "reference"))

    def num_errors(paths: list[Path]) -> list[int]:
        with ProcessExecutor(
            "full_decode:num_errors", num_workers=2, timeout_s=60.0, memory_bytes=2 << 30
        ) as pool:
            # a decoder that crashes has found an error too
            return [1 if reply.failure else reply.head for reply in pool.run(map(str, paths))]

    return num_errors


def textured_film(path: Path, *, num_frames: int = 50, size: tuple[int, int] = (96, 64)) -> Path:
    """Write H.264 of moving noise, so that nearly every bit of the file is coded picture."""
    rng = np.random.default_rng(11)
    width, height = size
    noise = rng.integers(0, 256, (height // 8, width // 8 + num_frames, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "12", "bf": "2", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for index in range(num_frames):
            tile = noise[:, index : index + width // 8].repeat(8, axis=0).repeat(8, axis=1)
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(tile), format="rgb24"))
            )
        container.mux(stream.encode(None))
    return path


def sound_by_selection(data: Path, *, whole: str) -> set[str]:
    """Return which videos were decoded in part only, to the very frames of the whole one.

    What is wrong with a packet that no stored frame depends on was never looked for.
    """
    dataset = open_dataset(data)
    metas = [dataset.meta(index) for index in range(len(dataset))]
    frames = [dataset.frames(index, range(meta.num_frames)) for index, meta in enumerate(metas)]
    at = next(index for index, meta in enumerate(metas) if meta.source == whole)
    return {
        meta.source
        for meta, found in zip(metas, frames, strict=True)
        if meta.decoding == "selective" and np.array_equal(found, frames[at])
    }


@pytest.mark.parametrize(
    ("num_flips", "seed"), [(20, 20), pytest.param(200, 200, marks=pytest.mark.slow)], ids=["20", "200"]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_flipped_bit_is_never_a_sound_sample_where_a_full_decode_has_errors(
    tmp_path: Path,
    reference: Callable[[list[Path]], list[int]],
    num_flips: int,
    seed: int,
    suffix: str,
    figure: Figure,
) -> None:
    whole = textured_film(tmp_path / f"whole{suffix}").read_bytes()
    rng = np.random.default_rng(seed)
    root = tmp_path / "flipped"
    root.mkdir()
    for index, bit in enumerate(rng.integers(0, 8 * len(whole), num_flips)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << (bit % 8)
        (root / f"{index:03d}{suffix}").write_bytes(data)
    paths = sorted(root.iterdir())
    num_errors = reference(paths)
    (root / f"whole{suffix}").write_bytes(whole)
    options = ExtractOptions(fps=5.0, size_px=48, timeout_s=60.0)
    extract([root], tmp_path / "data", options, samples_per_shard=50, num_workers=2)
    assert_sound(tmp_path / "data")
    ends = outcomes(tmp_path / "data")
    is_ok = [ends[path.name].word == "ok" for path in paths]
    untouched = sound_by_selection(tmp_path / "data", whole=f"whole{suffix}")
    has_errors = [num > 0 for num in num_errors]
    wrong = [path.name for path, ok, bad in zip(paths, is_ok, has_errors, strict=True) if ok and bad]
    wrong = [name for name in wrong if name not in untouched]
    figure("flips", num_flips)
    figure("with_errors", sum(has_errors))
    figure("not_ok", num_flips - sum(is_ok))
    figure("ok_with_errors", len(wrong))
    assert wrong == []
    assert sum(has_errors) >= num_flips // 8  # the flips were felt
