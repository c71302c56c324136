import io

import av
import numpy as np
import pytest

from vfm.shards.pixels import jpeg
from vfm.video2token.container.mjpeg import mux


def jpegs(count: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    return [jpeg.encode(rng.integers(0, 255, (48, 65, 3), dtype=np.uint8), quality=90) for _ in range(count)]


def packets(video: bytes) -> list[av.Packet]:
    with av.open(io.BytesIO(video)) as container:
        return [packet for packet in container.demux() if packet.size]


def test_packets_are_the_jpegs_where_the_offsets_say() -> None:
    given = jpegs(5)
    video, offsets, sizes = mux(given, times_s=[0.0, 0.48, 1.0, 1.48, 2.0], last_s=0.5)
    assert [video[at : at + size] for at, size in zip(offsets, sizes, strict=True)] == given
    assert [bytes(packet) for packet in packets(video)] == given


def test_times_and_durations_are_kept() -> None:
    times = [0.0, 0.467133, 0.9676, 10.0, 2e4]
    video, _, _ = mux(jpegs(5), times_s=times, last_s=0.5)
    assert [float(packet.pts * packet.time_base) for packet in packets(video)] == pytest.approx(
        times, abs=6e-6
    )
    assert packets(video)[-1].duration == 45_000


def test_same_jpegs_same_bytes_without_version_or_date() -> None:
    first, *_ = mux(jpegs(3), times_s=[0, 0.5, 1.0], last_s=0.5)
    second, *_ = mux(jpegs(3), times_s=[0, 0.5, 1.0], last_s=0.5)
    assert first == second
    assert b"Lav" not in first


def test_container_costs_about_a_kilobyte() -> None:
    given = jpegs(20)
    video, *_ = mux(given, times_s=[i / 2 for i in range(20)], last_s=0.5)
    assert len(video) - sum(map(len, given)) < 1200


def test_times_that_round_to_one_unit_stay_apart() -> None:
    video, *_ = mux(jpegs(3), times_s=[0.0, 1e-7, 2e-7], last_s=0.5)
    assert [packet.pts for packet in packets(video)] == [0, 1, 2]


def test_equal_jpegs_have_places_of_their_own() -> None:
    _, offsets, sizes = mux(jpegs(1) * 3, times_s=[0.0, 0.5, 1.0], last_s=0.5)
    assert np.diff(offsets).tolist() == sizes[:2]


def test_frames_decode_with_another_reader(tmp_path: object) -> None:
    given = jpegs(2)
    video, *_ = mux(given, times_s=[0.0, 0.5], last_s=0.5)
    with av.open(io.BytesIO(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(48, 65, 3)] * 2
    assert np.abs(frames[1].astype(int) - jpeg.decode(given[1])).mean() < 25
