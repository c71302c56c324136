from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vfm.cli.commands.extract import command


@pytest.mark.parametrize(
    "given",
    [
        ["--fps", "2"],
        ["--num-frames", "1"],
        ["--sampling", "grid"],
        ["--decoder", "pyav"],
        ["--max-frames", "5"],
        ["--decode-all"],
        ["--first", "3"],
        ["--whole-videos"],
        ["--signals", "hash"],
        ["--drop-static"],
        ["--drop-duplicates", "3"],
        ["--split-scenes"],
    ],
)
def test_what_is_of_videos_is_refused_with_images(tmp_path: Path, given: list[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    whole = [str(tmp_path), str(tmp_path / "data"), "--images", *given]
    with pytest.raises(click.UsageError) as error:
        CliRunner().invoke(command, whole, catch_exceptions=False, standalone_mode=False)
    assert error.value.message == f"{given[0]} is of videos, and an image is one frame: leave it out."
    assert not (tmp_path / "data").exists()
