import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from vfm.cli.commands import doctor as doctor_command
from vfm.cli.main import group
from vfm.video2token.decoding.ffmpeg_command import find_ffmpeg
from vfm.video2token.jobs import doctor


def test_tables_name_every_decoder_codec_and_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {
            "codec": "H.264",
            "container": "mp4",
            "made": True,
            "pyav": "ok",
            "dali": "unsupported: No \x1b[31m.",
        }
    ]
    monkeypatch.setattr(doctor, "try_clips", lambda _names: rows)
    done = CliRunner().invoke(group, ["doctor"])
    assert done.exit_code == 0
    assert "H.264  mp4        ok    unsupported" in done.stdout
    assert "\x1b" not in done.output
    for name in ("dali", "ffmpeg", "pyav", "torchcodec"):
        assert f"\n{name} " in f"\n{done.stdout}"


def test_json_is_one_object_and_a_broken_default_is_3(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"codec": "H.264", "container": "mp4", "made": True, "pyav": "crash: Its process ended."}]
    monkeypatch.setattr(doctor, "try_clips", lambda _names: rows)
    done = CliRunner().invoke(group, ["doctor", "--json"], standalone_mode=False)
    assert done.return_value == 3
    assert json.loads(done.stdout)["ok"] is False
    assert "default decoder pyav does not work" in done.stderr


def test_the_text_of_a_quick_look_has_no_codecs() -> None:
    text = doctor_command._text(doctor.examine(quick=True))
    assert "codec" not in text.split("library")[0].replace("torchcodec", "")


@pytest.mark.parametrize("name", ["ffmpeg", "dali", "torchcodec"])
def test_extract_with_a_decoder_that_is_missing_ends_in_3_with_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"x" * 100)
    hide = (
        "import sys; sys.modules.update({'torchcodec': None, 'nvidia.dali': None, 'imageio_ffmpeg': None}); "
    )
    done = subprocess.run(
        [sys.executable, "-c", hide + "from vfm.cli.main import main; main()", "extract",
         str(tmp_path / "videos"), str(tmp_path / "data"), "--fps", "2", "--decoder", name],
        capture_output=True, text=True, check=False, env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert f"pip install 'vfm[{name}]'" in done.stderr


def test_extract_knows_the_decoders_by_their_files(tmp_path: Path) -> None:
    done = CliRunner().invoke(group, ["extract", "a", str(tmp_path), "--fps", "2", "--decoder", "vlc"])
    assert done.exit_code == 2
    assert "'dali', 'ffmpeg', 'pyav', 'torchcodec'" in done.output


@pytest.mark.needs("imageio_ffmpeg")
def test_extract_decodes_with_what_was_asked_for_and_records_it(
    films: Callable[..., Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    arguments = ["extract", str(films(2)), str(data), "--fps", "2", "--workers", "1", "--decoder", "ffmpeg"]
    assert CliRunner().invoke(group, arguments, standalone_mode=False).return_value == 0
    (column,) = json.loads((data / "dataset.json").read_text())["columns"].values()
    assert column["options"]["decoder"] == "ffmpeg"
    report = json.loads((data / "frames" / "000000.json").read_text())
    assert report["tools"]["ffmpeg"] == find_ffmpeg().version
