"""The ``vfm`` group: finds commands by file name, and turns every fault into one line and an exit code."""

import errno
import importlib
import os
import signal
import sys
from pkgutil import iter_modules
from types import FrameType
from typing import NoReturn

import click

from vfm import __version__
from vfm.cli import commands
from vfm.cli.display.text import printable
from vfm.shards.errors import MachineError, VfmError
from vfm.shards.open_files import raise_limit, told_of_limit

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class LazyGroup(click.Group):
    """A group whose commands are the files of ``vfm.cli.commands``, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in alphabetical order."""
        found = (module.name for module in iter_modules(commands.__path__) if not module.name.startswith("_"))
        return sorted(name.replace("_", "-") for name in found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or None when no file is called so."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"vfm.cli.commands.{cmd_name.replace('-', '_')}")
        found: click.Command = module.command
        return found


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="vfm")
def group() -> None:
    """Turn a folder of videos into a pretrained video foundation model.

    \b
    Decode every video once, compute every target once, learn from the shards:
      vfm plan videos/ --fps 2
      vfm extract videos/ data/mine --fps 2
      vfm fit-codebook data/mine codebooks/mine
      vfm tokenize data/mine --target vq:codebooks/mine
      vfm pretrain vimpac-tiny data/mine --out runs/pretrained
      vfm finetune classify data/mine --init runs/pretrained --out runs/classifier
      vfm evaluate runs/classifier data/mine
      vfm inspect data/mine
    """


class Terminated(BaseException):
    """SIGTERM arrived and no command handles it itself."""


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 too many rejects, 2 usage, 3 environment, 130/143 signals."""
    _take_signals()
    raise_limit()
    try:
        status = group.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted: run the same command again to resume.")
        sys.exit(130)
    except Terminated:
        _complain("terminated: run the same command again to resume.")
        sys.exit(143)
    except VfmError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has left (``vfm inspect | head``): nothing more can or need be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (OSError, RuntimeError) as error:
        told = _told_by_the_system(error) if isinstance(error, OSError) else told_of_limit(error)
        if told is None:
            raise
        _complain(str(told))
        sys.exit(told.exit_code)
    sys.exit(status if isinstance(status, int) else 0)


def _take_signals() -> None:
    """Let SIGTERM end a command as Ctrl-C does, and a second signal not disturb how it ends.

    What is left to do after the first takes seconds at most; SIGINT stays ignored where a shell did so.
    """
    signal.signal(signal.SIGTERM, _raise_once)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise_once)


def _raise_once(number: int, _frame: FrameType | None) -> None:
    # Blocked, not ignored: Python writes a traceback for one that came before it was ignored, and gives those
    # with a handler of ours back to the system as it exits, which would end it by the second signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    for each in _STOPPING:
        signal.signal(each, _do_nothing)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Take a signal that came with the first one."""


def _told_by_the_system(error: OSError) -> MachineError | None:
    """Return the sentence for a fault of the machine, or None when the error is a bug of ours."""
    where = f" at {error.filename}" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return MachineError(f"No space left{where}: free some and run the same command again.")
        case errno.EACCES | errno.EPERM:
            return MachineError(
                f"Permission denied{where}: change its mode or owner, or choose another path."
            )
        case errno.EROFS:
            return MachineError(f"The file system is read-only{where}: choose an output that can be written.")
    return told_of_limit(error)


def _complain(sentence: str) -> None:
    click.secho(f"vfm: {printable(sentence)}", fg="red" if sys.stderr.isatty() else None, err=True)
