"""From HDR to SDR: PQ and HLG signals to BT.709 pictures, by the curve of Report ITU-R BT.2390.

1. Signal to light of the mastering display: Rec. ITU-R BT.2100, tables 4 (PQ) and 5 (HLG, system gamma 1.2).
2. 1000 cd/m2 to the 203 cd/m2 that SDR white gets (Report ITU-R BT.2408, reference white): the EETF of Report
   ITU-R BT.2390, section 5.4.1, on the largest of R, G and B, so that hues stay and nothing leaves the gamut.
3. Primaries to BT.709 in linear light (Report ITU-R BT.2407, section 2), cut at the gamut's borders.
4. Light to signal by the inverse of the display's curve: Rec. ITU-R BT.1886, gamma 2.4, black at 0.

The curve is the same for all videos: one signal value always becomes one stored value. Powers are taken in
tables only, so that their last bits cannot tell one processor from another.
"""

from functools import cache

import numpy as np

PEAK_NITS = 1000.0  # of the mastering display; more of a primary than it could show is cut
WHITE_NITS = 203.0  # of SDR
_NUM_CODES = 1 << 16
_STEP = 16  # between the knots of tables that are interpolated, in 16-bit codes
_HLG_GAMMA = 1.2  # of the system, at 1000 cd/m2
_DISPLAY_GAMMA = 2.4

# CIE 1931 x and y of red, green, blue and white: Rec. ITU-R BT.709, BT.2020 and SMPTE EG 432-1.
_CHROMATICITY = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
}


def pq_to_nits(signal: np.ndarray) -> np.ndarray:
    """Return the light in cd/m2 that a PQ signal in [0, 1] stands for (BT.2100 table 4, EOTF)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1))


def nits_to_pq(nits: np.ndarray) -> np.ndarray:
    """Return the PQ signal in [0, 1] of light in cd/m2 (BT.2100 table 4, inverse EOTF)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (nits / 10_000) ** m1
    return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def hlg_to_scene(signal: np.ndarray) -> np.ndarray:
    """Return the scene light in [0, 1] of an HLG signal in [0, 1] (BT.2100 table 5, inverse OETF)."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def eetf(nits: np.ndarray) -> np.ndarray:
    """Return light of at most ``WHITE_NITS`` for light of up to ``PEAK_NITS`` (BT.2390 section 5.4.1).

    Black is 0 on both sides. Below the knee, which lies at 88 cd/m2, light stays as it is.
    """
    peak = nits_to_pq(np.array(PEAK_NITS))
    target = nits_to_pq(np.array(WHITE_NITS)) / peak  # maxLum
    knee = 1.5 * target - 0.5  # KS
    signal = np.minimum(nits_to_pq(nits) / peak, 1)  # E1
    t = np.maximum(signal - knee, 0) / (1 - knee)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * target
    )
    return np.where(signal < knee, nits, pq_to_nits(peak * curve))


def to_sdr(codes: np.ndarray, *, transfer: str, primaries: str, white: int = _NUM_CODES - 1) -> np.ndarray:
    """Return a BT.709 picture, uint8 [H,W,3], of an HDR one.

    Args:
        codes: R'G'B', uint16 [H,W,3].
        transfer: ``smpte2084`` (PQ) or ``arib-std-b67`` (HLG).
        primaries: ``bt709``, ``smpte432`` or ``bt2020``; any other is taken for BT.2020, as BT.2100 has it.
        white: the code of signal 1.
    """
    light = _light_table(transfer, white)[codes]
    if transfer == "arib-std-b67":
        light = _hlg_display(light)
    knots, gains = _gain_table()
    light *= np.interp(light.max(axis=2), knots, gains)[..., None]
    thresholds = ((np.arange(1, 256) - 0.5) / 255) ** _DISPLAY_GAMMA
    levels = np.searchsorted(thresholds, _to_bt709(light, primaries), side="right")
    return levels.astype(np.uint8)


@cache
def _light_table(transfer: str, white: int) -> np.ndarray:
    """Return the light of each 16-bit code: cd/m2 of the display for PQ, in [0, 1] of the scene for HLG."""
    signal = np.minimum(np.arange(_NUM_CODES) / white, 1)
    if transfer == "arib-std-b67":
        return _frozen(hlg_to_scene(signal))
    return _frozen(np.minimum(pq_to_nits(signal), PEAK_NITS))


@cache
def _gain_table() -> tuple[np.ndarray, np.ndarray]:
    """Return light in cd/m2, rising, and what the EETF multiplies it by."""
    knots = pq_to_nits(np.append(np.arange(0, _NUM_CODES, _STEP), _NUM_CODES - 1) / (_NUM_CODES - 1))
    return _frozen(knots), _frozen(np.append(1.0, eetf(knots[1:]) / knots[1:]) / WHITE_NITS)


@cache
def _gamma_table() -> tuple[np.ndarray, np.ndarray]:
    """Return luminance of the HLG scene in [0, 1], rising, and its factor in the OOTF."""
    knots = _light_table("arib-std-b67", _NUM_CODES - 1)[::_STEP]
    knots = np.append(knots, 1.0)
    return _frozen(knots), _frozen(PEAK_NITS * knots ** (_HLG_GAMMA - 1))


def _hlg_display(scene: np.ndarray) -> np.ndarray:
    """Return light of the display in cd/m2 (BT.2100 table 5, OOTF) of light of the scene in [0, 1]."""
    luminance = 0.2627 * scene[..., 0] + 0.6780 * scene[..., 1] + 0.0593 * scene[..., 2]
    factor: np.ndarray = np.interp(luminance, *_gamma_table())
    light: np.ndarray = factor[..., None] * scene
    return light


def _to_bt709(light: np.ndarray, primaries: str) -> np.ndarray:
    matrix = matrix_to_bt709(primaries)
    # Spelled out: a matrix product may add in another order on another processor.
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    return np.stack([row[0] * red + row[1] * green + row[2] * blue for row in matrix], axis=2)


@cache
def matrix_to_bt709(primaries: str) -> np.ndarray:
    """Return float64 [3,3] from linear R, G, B of these primaries to those of BT.709 (SMPTE RP 177)."""
    source = _to_xyz(_CHROMATICITY.get(primaries, _CHROMATICITY["bt2020"]))
    return _frozen(np.round(np.linalg.solve(_to_xyz(_CHROMATICITY["bt709"]), source), 12))


def _to_xyz(chromaticity: tuple[tuple[float, float], ...]) -> np.ndarray:
    x, y = np.array(chromaticity).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    scales = np.linalg.solve(columns[:, :3], columns[:, 3])
    return np.asarray(columns[:, :3] * scales)


def _frozen(table: np.ndarray) -> np.ndarray:
    table.flags.writeable = False
    return table
