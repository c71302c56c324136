"""The curve from HDR to SDR, against the standards' formulas written down once more, number by number."""

import math

import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import VideoReformatter

from vfm.video2token.picture import tonemap

PQ, HLG = "smpte2084", "arib-std-b67"


def stored(signal: float | tuple[float, float, float], transfer: str, primaries: str = "bt2020") -> list[int]:
    """Return what one pixel of a signal in [0, 1] is stored as."""
    codes = np.round(np.broadcast_to(signal, 3) * np.array(65280.0)).astype(np.uint16)
    rgb = tonemap.to_sdr(codes.reshape(1, 1, 3), transfer=transfer, primaries=primaries, white=65280)
    assert rgb.dtype == np.uint8
    return [int(value) for value in rgb[0, 0]]


def pq_signal(nits: float) -> float:
    """SMPTE ST 2084 equation 5.2, with its constants as decimals."""
    y = (nits / 10_000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)


def expected_level(nits: float) -> float:
    """BT.2390 section 5.4.1 from 1000 to 203 cd/m2, black at 0, and BT.1886 with gamma 2.4; not rounded."""
    peak = pq_signal(1000)
    e1, max_lum = pq_signal(min(nits, 1000)) / peak, pq_signal(203) / peak
    ks = 1.5 * max_lum - 0.5
    e2 = e1
    if e1 >= ks:
        t = (e1 - ks) / (1 - ks)
        e2 = (
            (2 * t**3 - 3 * t**2 + 1) * ks
            + (t**3 - 2 * t**2 + t) * (1 - ks)
            + (-2 * t**3 + 3 * t**2) * max_lum
        )
    root = (e2 * peak) ** (1 / 78.84375)
    light = 10_000 * (max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    return 255 * (light / 203) ** (1 / 2.4)


def hlg_nits(signal: float) -> float:
    """BT.2100 table 5 for a grey: inverse OETF, then OOTF with gamma 1.2 at 1000 cd/m2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = signal**2 / 3 if signal <= 0.5 else (math.exp((signal - c) / a) + b) / 12
    return 1000 * scene**1.2


def test_a_grey_pq_ramp_follows_the_formulas() -> None:
    for nits in [0, *np.geomspace(0.01, 10_000, 200)]:
        levels = stored(pq_signal(nits), PQ)
        assert levels == [levels[0]] * 3
        assert abs(levels[0] - expected_level(nits)) < 0.6  # half a level, and the 16-bit code


def test_a_grey_hlg_ramp_follows_the_formulas() -> None:
    for signal in np.linspace(0, 1, 201):
        levels = stored(signal, HLG)
        assert levels == [levels[0]] * 3
        assert abs(levels[0] - expected_level(hlg_nits(signal))) < 0.6


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_the_curve_rises_from_black_to_white(transfer: str) -> None:
    ramp = np.repeat(np.arange(65281, dtype=np.uint16)[None, :, None], 3, axis=2)
    levels = tonemap.to_sdr(ramp, transfer=transfer, primaries="bt2020", white=65280)[0, :, 0].astype(int)
    assert (levels[0], levels[-1]) == (0, 255)
    assert set(np.diff(levels)) == {0, 1}


def test_reference_white_and_mid_grey_lie_where_sdr_has_them() -> None:
    assert stored(pq_signal(203), PQ) == [230] * 3
    assert stored(0.75, HLG) == [230] * 3  # the same white: BT.2408 table 1
    assert stored(pq_signal(26), PQ) == [108] * 3  # 18 % grey; no change below the knee
    assert stored(pq_signal(1000), PQ) == stored(1.0, PQ) == stored(1.0, HLG) == [255] * 3


def test_hues_stay_and_what_bt709_lacks_is_cut() -> None:
    assert stored((pq_signal(100), 0, 0), PQ, "bt709") == [189, 0, 0]
    assert stored((pq_signal(100), 0, 0), PQ)[1:] == [0, 0]  # deeper than any red of BT.709
    # a red of BT.709 in BT.2020, by the columns of BT.2087 table 1
    red = tuple(pq_signal(50 * part) for part in (0.6274, 0.0691, 0.0164))
    assert stored(red, PQ) == pytest.approx([142, 0, 0], abs=3)
    bright = stored((pq_signal(800), pq_signal(400), pq_signal(400)), PQ, "bt709")
    assert (bright[1] / bright[0]) ** 2.4 == pytest.approx(0.5, abs=0.01)


def test_the_matrix_is_that_of_bt2407() -> None:
    published = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    np.testing.assert_allclose(tonemap.matrix_to_bt709("bt2020"), published, atol=6e-5)
    np.testing.assert_allclose(tonemap.matrix_to_bt709("bt709"), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(tonemap.matrix_to_bt709("smpte432").sum(axis=1), 1, atol=1e-9)


def test_unstated_primaries_are_those_of_bt2100() -> None:
    color = (0.5, 0.3, 0.2)
    assert stored(color, PQ, "unknown") == stored(color, PQ, "bt2020") != stored(color, PQ, "bt709")


@pytest.mark.parametrize(("transfer", "code"), [(PQ, 16), pytest.param(HLG, 18, marks=pytest.mark.slow)])
def test_below_the_knee_ffmpeg_gives_the_same_grey(transfer: str, code: int) -> None:
    """swscale maps HDR to SDR too, in a table that takes it seconds to make.

    Without mastering metadata it clips at 203 cd/m2, where our curve bends.
    """
    signals = np.linspace(0, 1, 128)
    ramp = np.round(65535 * signals).astype(np.uint16)[None, :, None] * np.ones((8, 1, 3), np.uint16)
    frame = VideoFrame.from_ndarray(ramp, format="rgb48le")
    frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = code, 9, 0, 2
    scaled = VideoReformatter().reformat(frame, format="rgb24", dst_color_trc=1, dst_color_primaries=1)
    theirs = scaled.to_ndarray()[4, :, 0].astype(int)
    ours = np.array([stored(signal, transfer)[0] for signal in signals])
    is_below = np.array([light_of(signal, transfer) < 87 for signal in signals])
    assert is_below.sum() > 60
    assert np.abs(theirs - ours)[is_below].max() <= 1


def light_of(signal: float, transfer: str) -> float:
    return hlg_nits(signal) if transfer == HLG else float(tonemap.pq_to_nits(np.array(signal)))
