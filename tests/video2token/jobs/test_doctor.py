import sys
from pathlib import Path
from types import ModuleType

import pytest

from vfm.shards.errors import MachineError
from vfm.video2token.decoding.decoders import dali, names, torchcodec
from vfm.video2token.jobs import doctor


def test_every_clip_can_be_made_and_is_taken_by_the_default_decoder() -> None:
    rows = doctor.try_clips(["pyav"])
    assert [(row["codec"], row["container"]) for row in rows] == [
        (clip.codec, clip.container) for clip in doctor.CLIPS
    ]
    assert {row["pyav"] for row in rows} == {"ok"}
    assert {row["made"] for row in rows} == {True}


def test_a_decoder_that_crashes_is_told_and_the_others_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CLIPS", doctor.CLIPS[:1])
    (row,) = doctor.try_clips(["no_such_decoder", "pyav"])
    assert row["no_such_decoder"].startswith("crash: Its process ended with status 1")
    assert row["pyav"] == "ok"


def test_what_cannot_be_used_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VFM_FFMPEG", str(tmp_path / "none"))
    state = doctor.state_of("ffmpeg")
    assert (state["works"], state["versions"]) == (False, {})
    assert "pip install 'vfm[ffmpeg]'" in state["problem"]


def test_quick_look_tells_of_all_decoders_and_runs_no_clip() -> None:
    found = doctor.examine(quick=True)
    assert [state["name"] for state in found["decoders"]] == names()
    assert (found["ok"], found["codecs"]) == (True, [])
    assert found["machine"]["usable_cores"] >= 1
    assert found["machine"]["memory_bytes"] > 1 << 28
    assert found["disks"][0]["path"] == str(Path.cwd())
    assert found["versions"]["av"]


@pytest.mark.parametrize(
    ("torch_version", "fitting"), [("2.14.1", "torchvision==0.29.*"), ("2.10.0+cpu", "torchvision==0.25.*")]
)
def test_torchvision_of_another_torch_says_which_one_fits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, torch_version: str, fitting: str
) -> None:
    broken = tmp_path / "torchvision.py"
    broken.write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(doctor, "version_of", lambda _name: torch_version)
    found = doctor.examine(quick=True)
    assert not found["ok"]
    (problem,) = found["problems"]
    assert "operator torchvision::nms does not exist" in problem
    assert f"pip install --force-reinstall --no-deps '{fitting}'" in problem


def test_torchvision_works_here() -> None:
    assert doctor.torchvision_problems() == []


@pytest.mark.needs("torchcodec")
def test_torchcodec_without_libraries_says_which_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def opener(_data: bytes) -> None:
        raise RuntimeError("Could not load libtorchcodec.")

    monkeypatch.setattr(torchcodec, "_opener", lambda: opener)
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    state = doctor.state_of("torchcodec")
    assert not state["works"]
    assert "install shared libraries of FFmpeg 4 to 8" in state["problem"]


@pytest.mark.parametrize(
    ("library", "module", "told"),
    [
        ("torchcodec", torchcodec, r"torchcodec is not installed: run `pip install 'vfm\[torchcodec\]'`"),
        ("nvidia.dali", dali, r"dali is not installed: run `pip install 'vfm\[dali\]'`"),
    ],
)
def test_a_missing_library_is_one_sentence_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, library: str, module: object, told: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MachineError, match=told):
        module.version()  # type: ignore[attr-defined]
    with pytest.raises(MachineError, match=told):
        module.decode("/none.mp4", None)  # type: ignore[attr-defined]
