"""``vfm demo``: the whole story on this machine, with nothing to download."""

from pathlib import Path

import click

from vfm.cli.display import output
from vfm.cli.options import shared


@click.command()
@click.argument("out", type=shared.PATH, default="vfm-demo")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the videos and of training.",
)
@click.option(
    "--quick", is_flag=True, help="A few videos and steps: shows that everything works, learns nothing."
)
@shared.workers("decode and compute")
@click.pass_context
def command(context: click.Context, out: Path, seed: int, quick: bool, num_workers: int) -> int:
    """Make a small video set and run the main job on it, end to end, in the folder OUT.

    Photographs that ship with scikit-image are moved by a camera: panned four ways, zoomed two, turned two.
    The class is the motion, so it shows only over time. Every command is printed before it runs. At the end
    stand a table of what was made, the accuracy of the pretrained model beside the same model from scratch,
    and where to look. Five to seven minutes on two cores; the same command resumes where it stopped.

    \b
    Examples:
      vfm demo
      vfm demo /tmp/another --seed 1
    """
    from dataclasses import replace

    from vfm.cli.demo.stages import DemoOptions, closing_lines, run_demo

    size = DemoOptions(seed=seed, num_workers=num_workers)
    if quick:
        size = replace(
            size,
            num_pretrain=16,
            num_train=32,
            num_val=16,
            codebook_steps=10,
            pretrain_steps=4,
            finetune_steps=4,
        )
    group = context.find_root().command
    assert isinstance(group, click.Group), "vfm demo runs beside the other commands"
    report = run_demo(out, size, group=group)
    if report.exit_code:
        return report.exit_code
    output.show("\n" + "\n".join(closing_lines(out, report)))
    return 0
