"""Names of colour codes (ITU-T H.273), as FFmpeg spells them, for the record kept with each sample."""

_SPACE = {
    0: "rgb", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 14: "ictcp",
}  # fmt: skip
_RANGE = {1: "limited", 2: "full"}
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_TRANSFER = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100",
    10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12",
    16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip


def describe_color(*, space: int, value_range: int, primaries: int, transfer: int) -> dict[str, str]:
    """Return the names of the codes; ``unknown`` where the source does not say.

    ``transfer`` tells HDR: ``smpte2084`` is PQ and ``arib-std-b67`` is HLG.
    """
    return {
        "space": _SPACE.get(space, "unknown"),
        "range": _RANGE.get(value_range, "unknown"),
        "primaries": _PRIMARIES.get(primaries, "unknown"),
        "transfer": _TRANSFER.get(transfer, "unknown"),
    }
