import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vfm.cli.demo.stages import DemoOptions, _verdict, stages
from vfm.cli.main import group
from vfm.shards.errors import UsageError


def demo(*arguments: object) -> Result:
    return CliRunner().invoke(
        group, ["demo", *map(str, arguments), "--quick", "--workers", "1"], standalone_mode=False
    )


def test_quick_demo_runs_every_stage_and_goes_on_when_run_again(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    first = demo(out)
    assert first.return_value == 0, first.output
    for name in ("sheet.png", "curves.png", "codebook/reconstructions.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    lines = first.stdout.splitlines()
    assert any(
        line.split() == ["frames", "1", "64", line.split()[-2], "MB"]
        for line in lines
        if "frames" in line[:7]
    )
    accuracies = {
        run: json.loads((out / "runs" / run / "evaluate-multiview-val.json").read_text())
        for run in ("finetuned", "scratch")
    }
    for name, run in (("pretrained, then finetuned", "finetuned"), ("the same from scratch", "scratch")):
        told = next(line for line in lines if line.startswith(name))
        assert float(told.split()[-1]) == pytest.approx(100 * accuracies[run]["accuracy"], rel=1e-3)
    assert any(line.startswith(("Pretraining", "No clear difference")) for line in lines)
    tars = {path: path.stat().st_mtime_ns for path in out.rglob("*.tar")}
    again = demo(out)
    assert again.return_value == 0
    assert tars == {path: path.stat().st_mtime_ns for path in out.rglob("*.tar")}
    assert "Already trained to the end" in again.stderr
    with pytest.raises(UsageError, match="other options"):
        raise demo(out, "--seed", "1").exception or AssertionError("was not refused")


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is not empty and holds no demo"):
        raise demo(tmp_path).exception or AssertionError("was not refused")


def test_every_stage_is_a_command_that_parses() -> None:
    for stage in stages(Path("demo"), DemoOptions()):
        if stage.arguments:
            command = group.get_command(None, stage.arguments[0])  # type: ignore[arg-type]
            assert command is not None
            command.make_context(stage.arguments[0], list(stage.arguments[1:]))


@pytest.mark.parametrize(
    ("pretrained", "scratch", "told"),
    [
        (0.5, 0.25, "Pretraining helped: 25.0 points better"),
        (0.25, 0.5, "Pretraining did not help here: 25.0 points worse"),
        (0.25, 0.2, "No clear difference: 5.0 points better"),
        (0.2, 0.2, "No clear difference: 0.0 points better"),
    ],
)
def test_the_verdict_is_honest(pretrained: float, scratch: float, told: str) -> None:
    assert _verdict(pretrained, scratch, num_samples=320).startswith(told)
