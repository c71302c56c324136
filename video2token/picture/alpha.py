"""Transparent pictures: flattened on black, the colour that players show behind them."""

from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from vfm.video2token.picture.color import full_white
from vfm.video2token.picture.scaling import SCALING, Scaler

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_BAND_ROWS = 256  # flattened at a time, for the memory that takes
# FFmpeg's own decoders of VP8 and VP9 drop the alpha that WebM keeps beside the pictures; these do not.
_DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def announces_alpha(stream: "VideoStream") -> bool:
    """Return whether a WebM file says that its pictures have transparent parts, in whatever letters."""
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def decoder_of(stream: "VideoStream") -> VideoCodecContext:
    """Return what decodes a stream with its alpha: its own decoder, but libvpx for WebM that announces alpha.

    Where libav was built without libvpx, that is the stream's own decoder too, and the alpha is dropped.
    """
    context = stream.codec_context
    name = _DECODERS_WITH_ALPHA.get(context.codec.canonical_name) if announces_alpha(stream) else None
    if name not in av.codecs_available:
        return context
    with_alpha = av.CodecContext.create(name, "r")
    assert isinstance(with_alpha, VideoCodecContext)
    with_alpha.extradata, with_alpha.options = context.extradata, context.options
    with_alpha.thread_count = 1  # the job runs one process per core
    return with_alpha


def has_alpha(pix_fmt: "VideoFormat") -> bool:
    """Return whether pixels of this format may be transparent; a palette's colours may."""
    return pix_fmt.has_palette or any(component.is_alpha for component in pix_fmt.components)


def flatten(frame: "VideoFrame", *, scaler: Scaler) -> "tuple[VideoFrame, bool]":
    """Return a picture as seen on black, in RGB of its own size, and whether it was transparent anywhere.

    That is done before scaling: otherwise the hidden colour of transparent pixels would bleed into their
    neighbours. RGB has 8 bits for each component, or 16 where the source has more than 8.
    """
    is_deep = max(component.bits for component in frame.format.components) > 8
    rgba = scaler.whole.reformat(
        frame, format="rgba64le" if is_deep else "rgba", interpolation=SCALING, threads=1
    ).to_ndarray()
    opaque = opaque_code(frame.format)
    flat = np.concatenate(
        [
            flatten_on_black(rgba[top : top + _BAND_ROWS], opaque=opaque)
            for top in range(0, len(rgba), _BAND_ROWS)
        ]
    )
    is_transparent = bool((rgba[..., 3] < opaque).any())
    return av.VideoFrame.from_ndarray(flat, format="rgb48le" if is_deep else "rgb24"), is_transparent


def opaque_code(pix_fmt: "VideoFormat") -> int:
    """Return the alpha value of opaque pixels in 8-bit RGBA, or in 16-bit RGBA of deeper formats."""
    bits = pix_fmt.components[-1].bits
    return full_white(bits) if bits > 8 else 255


def flatten_on_black(rgba: np.ndarray, *, opaque: int) -> np.ndarray:
    """Return RGB [H,W,3] of straight RGBA [H,W,4], both uint8 or both uint16: colour times alpha, rounded.

    The signal is multiplied and not the light, as players and browsers do.
    """
    alpha = np.minimum(rgba[..., 3:], opaque).astype(np.uint32)
    flat: np.ndarray = (rgba[..., :3] * alpha + opaque // 2) // opaque
    return flat.astype(rgba.dtype)
