"""What a coded frame says of itself."""

from collections.abc import Callable
from typing import NamedTuple


class NotSelectableError(Exception):
    """The stream holds something that selective decoding is not known to be exact for; the text says what."""


class PacketFacts(NamedTuple):
    """What one packet is in its stream.

    Attributes:
        is_entry: from here on pictures decode without any packet before; leading pictures excepted.
        is_clean: an entry that resets the decoder by itself, such as an IDR picture.
        is_leading: precedes its entry in time and may be predicted from before it; undecodable without.
        is_reference: later pictures may be predicted from it, or it is not known that none is.
        is_shown: the decoder gives a picture for it.
        is_layered: belongs to a higher temporal layer, which may be predicted from pictures said to be
            no references.
        parameters: what applies to pictures after this one, such as parameter sets: more than the first
            packet brought means that the stream changes midway.
    """

    is_entry: bool = False
    is_clean: bool = True
    is_leading: bool = False
    is_reference: bool = True
    is_shown: bool = True
    is_layered: bool = False
    parameters: tuple[bytes, ...] = ()


Reader = Callable[[bytes], PacketFacts]
