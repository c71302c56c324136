"""``vfm doctor``: what works on this machine."""

from typing import Any

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next
from vfm.cli.options import shared

_GIB = 1 << 30


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the clips that each decoder is tried on.")
@shared.as_json()
def command(*, quick: bool, as_json: bool) -> int:
    """Show what works on this machine.

    Every decoder is tried on small clips of the usual codecs and containers, each in a process that may hang
    or crash. Exits with 3 when the default decoder or torchvision does not work.

    \b
    Examples:
      vfm doctor
      vfm doctor --quick --json
    """
    from vfm.video2token.jobs.doctor import examine

    found = examine(quick=quick)
    if as_json:
        output.show_json(found)
    else:
        output.show(_text(found))
    for problem in found["problems"]:
        output.say(problem)
    if not found["ok"]:
        return 3
    say_next("plan", "VIDEOS", "--fps", "2")
    return 0


def _text(found: dict[str, Any]) -> str:
    parts = [
        output.table(("decoder", "works", "versions"), [_decoder_row(state) for state in found["decoders"]]),
        _machine_text(found),
        output.table(
            ("library", "version"), [(name, version or "-") for name, version in found["versions"].items()]
        ),
    ]
    if found["codecs"]:
        parts.insert(1, _codec_text(found["codecs"]))
    return "\n\n".join(parts)


def _decoder_row(state: dict[str, Any]) -> tuple[str, str, str]:
    versions = ", ".join(f"{name} {version}" for name, version in state["versions"].items())
    path = f" at {state['path']}" if state["path"] else ""
    return state["name"], "yes" if state["works"] else "no", state["problem"] or versions + path


def _codec_text(codecs: list[dict[str, Any]]) -> str:
    """Return a table of marks, and below it each reason once."""
    names = [name for name in codecs[0] if name not in {"codec", "container", "made"}]
    rows = [(row["codec"], row["container"], *(_mark(row[name]) for name in names)) for row in codecs]
    told: dict[str, None] = {}
    for row in codecs:
        told.update({f"{name}: {row[name]}": None for name in names if row[name] != "ok"})
    return "\n".join([output.table(("codec", "container", *names), rows), *told])


def _mark(told: str) -> str:
    return "ok" if told == "ok" else told.partition(":")[0]


def _machine_text(found: dict[str, Any]) -> str:
    machine = found["machine"]
    lines = [
        f"{machine['system']}: {machine['usable_cores']} of {machine['cores']} cores, "
        f"{machine['memory_bytes'] / _GIB:.1f} GiB of memory, GPU: {', '.join(machine['gpus']) or 'none'}",
        *(f"{disk['path']}: {disk['free_bytes'] / _GIB:.1f} GiB free" for disk in found["disks"]),
    ]
    return "\n".join(lines)
