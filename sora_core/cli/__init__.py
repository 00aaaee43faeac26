"""The command line: one module per command, and the exit codes that all of them share."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from typing import NoReturn

from .. import __version__

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: everything asked for exists; the machine failed; the request cannot be met; Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like every other error of the program."""

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with the exit code of a wrong request."""
        self.exit(WRONG_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    """The parser of all commands; building it imports nothing heavy."""
    from . import caption, evaluate, export, finish, generate, info, run, train, worlds

    parser = Parser(
        prog="sora",
        description="Text, images and videos to video, on its own or through a real ComfyUI.",
        epilog="example:\n  sora generate \"a red ball bouncing on a meadow\" --seconds 2 --out ball.mp4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"sora {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (generate, finish, run, caption, train, worlds, export, evaluate, info):
        name = module.__name__.rpartition(".")[2]
        summary, _, examples = (module.__doc__ or "").partition("\n\n")
        command = commands.add_parser(
            name, help=summary, description=summary, epilog=examples, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.add_arguments(command)
        command.set_defaults(execute=module.execute)
    return parser


def say(message: str) -> None:
    """A remark for the person in front of the screen; standard output is kept for results."""
    print(message, file=sys.stderr, flush=True)


def _end_like_ctrl_c() -> None:
    """Let a request to end, or a closed terminal, stop what was started and keep what is done, as Ctrl-C does.

    What the caller has set stays: `nohup` ignores the closed terminal.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _print_anything() -> None:
    """Let what standard output has no letters for be written as escapes, as Python does on standard error.

    On Windows, pipes and files have a few hundred letters, and Chinese would end the program.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code. Errors are one line on standard error."""
    _print_anything()
    arguments = build_parser().parse_args(argv)
    _end_like_ctrl_c()
    # Threads that wait by spinning made sampling four to ten times slower on a machine that had other work to do.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        arguments.execute(arguments)
    except (ValueError, FileNotFoundError) as error:
        say(f"sora {arguments.command}: {error}")
        return WRONG_INPUT
    except KeyboardInterrupt:
        say(f"sora {arguments.command}: interrupted")
        return INTERRUPTED
    except (RuntimeError, OSError) as error:
        say(f"sora {arguments.command}: {error}")
        return FAILED
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        say(
            f"sora {arguments.command}: PyTorch is not installed; which build is right depends on your machine, see"
            " https://pytorch.org/get-started/locally/"
        )
        return FAILED
    return DONE
