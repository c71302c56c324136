import json

import pytest

from vfm.cli.display import output


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_json({"name": "\x1bü", "count": 2})
    told = capsys.readouterr().out
    assert told.isascii()
    assert told.count("\n") == 1
    assert json.loads(told) == {"name": "\x1bü", "count": 2}
    with pytest.raises(ValueError, match="Out of range"):
        output.show_json({"loss": float("nan")})


def test_talk_is_on_stderr_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a \x1b[31m name", color="red")
    assert capsys.readouterr() == ("", "a \\x1b[31m name\n")


def test_table_lines_up_numbers_to_the_right() -> None:
    text = output.table(["name", "count", "share"], [["a\x1bb", 5, 0.5], ["longer", 1234, None]])
    assert text.splitlines() == [
        "name    count  share",
        "a\\x1bb      5  0.5",
        "longer   1234",
    ]
