"""The whole main job on videos made here, through the very commands that a user types."""

import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from vfm.cli.display import output
from vfm.cli.display.progress import make_progress
from vfm.shards.errors import UsageError

SETTINGS_NAME = "demo.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """How large the demo is; the defaults take five to seven minutes on two cores.

    Attributes:
        seed: of the videos and of everything that is trained.
        num_pretrain: videos without a label.
        num_train: labelled videos to finetune on.
        num_val: labelled videos to count on.
        codebook_steps: of fitting the codebook.
        pretrain_steps: updates.
        finetune_steps: updates, of the pretrained model and of the one from scratch alike.
        num_workers: processes that decode and compute.
    """

    seed: int = 0
    num_pretrain: int = 640
    num_train: int = 640
    num_val: int = 320
    codebook_steps: int = 600
    pretrain_steps: int = 1200
    finetune_steps: int = 600
    num_workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the demo: a command of vfm, or something that has no command of its own.

    Attributes:
        name: for the table of times.
        arguments: what follows ``vfm``; empty for what has no command.
        work: does it when there is no command.
    """

    name: str
    arguments: tuple[str, ...] = ()
    work: Callable[[], Any] | None = None


@dataclass(slots=True)
class DemoReport:
    """What came out of a demo.

    Attributes:
        elapsed_s: seconds by stage, in order; near 0 for what an earlier run had done.
        exit_code: of the stage that stopped it, 0 when all ran.
    """

    elapsed_s: dict[str, float] = field(default_factory=dict)
    exit_code: int = 0


def run_demo(out: Path, options: DemoOptions, *, group: click.Group) -> DemoReport:
    """Run all stages in the folder ``out``; stages that an earlier run finished take no time.

    Raises:
        UsageError: ``out`` holds a demo with other options, or something else.
        VfmError: a stage failed.
    """
    from vfm.shards.io.lock import hold

    _refuse_other(out, options)
    out.mkdir(parents=True, exist_ok=True)
    with hold(out):
        _keep_settings(out, options)
        return _run(out, options, group=group)


def _run(out: Path, options: DemoOptions, *, group: click.Group) -> DemoReport:
    report = DemoReport()
    for stage in stages(out, options):
        begun_s = time.monotonic()
        output.say("")
        if stage.work is not None:
            output.say(f"# {stage.name}", color="cyan")
            stage.work()
        else:
            output.say(f"$ vfm {shlex.join(stage.arguments)}", color="cyan")
            report.exit_code = group.main(args=list(stage.arguments), standalone_mode=False) or 0
        report.elapsed_s[stage.name] = time.monotonic() - begun_s
        if report.exit_code:
            break
    return report


def stages(out: Path, options: DemoOptions) -> Iterator[Stage]:
    """Yield the stages in order."""
    data, codebook, runs = str(out / "data"), str(out / "codebook"), out / "runs"
    # One thread: the same weights on any number of cores, and no collapse on a machine that is not idle.
    threads = ("--threads", "1")
    # Held out videos are learned from by nothing, not even without their labels.
    split = ("--split", "train")
    how = (*threads, "--set", f"train.seed={options.seed}")
    workers = ("--workers", str(options.num_workers))
    finetuned, scratch, pretrained = (str(runs / name) for name in ("finetuned", "scratch", "pretrained"))
    size_px = _photos(options).size_px
    yield Stage(name="make videos", work=lambda: _make_videos(out, options))
    yield Stage(
        name="extract",
        arguments=("extract", str(out / "labels.csv"), data, "--fps", "2", "--size", str(size_px), *workers),
    )
    size = ("--crop", str(size_px), "--vocab-size", "128", "--steps", str(options.codebook_steps))
    fit = (*size, *split, "--name", "demo", "--seed", str(options.seed))
    yield Stage(name="fit codebook", arguments=("fit-codebook", data, codebook, *fit))
    yield Stage(name="tokenize", arguments=("tokenize", data, "--target", f"vq:{codebook}", *workers))
    long = (*split, "--steps", str(options.pretrain_steps))
    yield Stage(
        name="pretrain", arguments=("pretrain", "vimpac-tiny", data, "--out", pretrained, *long, *how)
    )
    steps = ("--steps", str(options.finetune_steps))
    yield Stage(
        name="finetune pretrained",
        arguments=("finetune", "classify", data, "--init", pretrained, "--out", finetuned, *steps, *how),
    )
    yield Stage(
        name="finetune from scratch",
        arguments=("finetune", "classify", data, "--recipe", "vimpac-tiny", "--out", scratch, *steps, *how),
    )
    yield Stage(name="evaluate", arguments=("evaluate", finetuned, scratch, data, *threads))
    sheet = str(out / "sheet.png")
    yield Stage(name="inspect", arguments=("inspect", data, "--verify", "--sheet", sheet))
    yield Stage(name="draw curves", work=lambda: _draw_curves(out))


def closing_lines(out: Path, report: DemoReport) -> Iterator[str]:
    """Yield what a finished demo ends with: what was made, what it took, whether it helped, where to look."""
    from vfm.shards.reading.summary import summarize

    columns = [
        (c.name, c.num_shards_done, c.num_samples, f"{c.size_bytes / 1e6:.1f} MB")
        for c in summarize(out / "data").columns
    ]
    yield output.table(("column", "shards", "samples", "bytes"), columns)
    yield ""
    total_s = sum(report.elapsed_s.values())
    rows = [(name, f"{seconds:.0f} s") for name, seconds in report.elapsed_s.items()]
    yield output.table(("stage", "time"), [*rows, ("together", f"{total_s:.0f} s")])
    yield ""
    found = {name: _evaluation(out / "runs" / run) for name, run in _COMPARED.items()}
    first = next(iter(found.values()))
    accuracies = [(name, 100 * result["accuracy"]) for name, result in found.items()]
    accuracies += [("most frequent class", 100 * first["majority_rate"])]
    yield output.table((f"model, on {first['num_samples']} held-out videos", "accuracy %"), accuracies)
    yield ""
    pretrained, scratch = (result["accuracy"] for result in found.values())
    yield _verdict(pretrained, scratch, num_samples=first["num_samples"])
    yield ""
    pictures = {
        "samples, and their codes rebuilt": out / "sheet.png",
        "frames held out, and what the codebook makes of them": out / "codebook" / "reconstructions.png",
        "losses and accuracies over time": out / "curves.png",
    }
    yield "where to look"
    for what, path in pictures.items():
        yield f"  {path}  {what}"
    yield f"  vfm inspect {out / 'data'}  the dataset; name a KEY for one sample of it"


_COMPARED = {"pretrained, then finetuned": "finetuned", "the same from scratch": "scratch"}


def _verdict(pretrained: float, scratch: float, *, num_samples: int) -> str:
    """Say whether pretraining helped, by more than twice the standard error of the difference."""
    gain = 100 * (pretrained - scratch)
    variance = (pretrained * (1 - pretrained) + scratch * (1 - scratch)) / num_samples
    error = 100 * math.sqrt(variance)
    told = f"{abs(gain):.1f} points {'better' if gain >= 0 else 'worse'} than the same model from scratch"
    if abs(gain) <= 2 * error:
        return f"No clear difference: {told}, with a standard error of {error:.1f}."
    return f"Pretraining {'helped' if gain > 0 else 'did not help here'}: {told}."


def _evaluation(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evaluate-multiview-val.json").read_text())
    return found


def _refuse_other(out: Path, options: DemoOptions) -> None:
    """Refuse all but an empty folder and one with the same demo."""
    from vfm.shards.io.json import read_json
    from vfm.shards.io.lock import held_names

    if out.is_file():
        raise UsageError(f"{out} is a file: choose a folder for the demo.")
    if (out / SETTINGS_NAME).exists():
        if read_json(out / SETTINGS_NAME) != _settings(options):
            raise UsageError(f"{out} holds a demo with other options: choose another folder, or delete it.")
    elif out.is_dir() and held_names(out):
        raise UsageError(f"{out} is not empty and holds no demo: choose an empty or new folder.")


def _keep_settings(out: Path, options: DemoOptions) -> None:
    from vfm.shards.io.json import write_json

    if not (out / SETTINGS_NAME).exists():
        write_json(out / SETTINGS_NAME, _settings(options))


def _settings(options: DemoOptions) -> dict[str, Any]:
    """Return what tells one demo from another; the number of workers may differ."""
    from dataclasses import asdict

    return {name: value for name, value in asdict(options).items() if name != "num_workers"}


def _photos(options: DemoOptions) -> Any:
    from vfm.cli.demo.camera import MovingPhotosOptions

    return MovingPhotosOptions(
        num_pretrain=options.num_pretrain,
        num_train=options.num_train,
        num_val=options.num_val,
        seed=options.seed,
    )


def _make_videos(out: Path, options: DemoOptions) -> None:
    from vfm.cli.demo.moving_photos import make_moving_photos

    make_moving_photos(out, _photos(options), num_workers=options.num_workers, progress=make_progress())


def _draw_curves(out: Path) -> None:
    from vfm.trainer.runs.curves import draw_curves

    runs = out / "runs"
    names = {"pretraining": "pretrained", "finetuning": "finetuned", "from scratch": "scratch"}
    draw_curves({name: runs / run for name, run in names.items()}, out / "curves.png", say=output.say)
