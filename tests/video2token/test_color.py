from vfm.video2token.color import describe_color


def test_codes_are_named_and_the_unstated_is_unknown() -> None:
    hdr = describe_color(space=9, value_range=1, primaries=9, transfer=16)
    assert hdr == {"space": "bt2020nc", "range": "limited", "primaries": "bt2020", "transfer": "smpte2084"}
    unstated = describe_color(space=2, value_range=0, primaries=2, transfer=2)
    assert set(unstated.values()) == {"unknown"}
