"""The command `nitamono`: it runs a verb and ends with its exit code."""

import io
import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from pipeline.cli.parser import build_parser
from pipeline.cli.verbs import VERBS
from pipeline.errors import NitamonoError, StageError
from pipeline.redaction import mask, remember_arguments
from pipeline.terminal.colours import BAD, paint
from pipeline.terminal.escapes import escape
from pipeline.terminal.log import LOG, json_line

_RESUME = "run it again to go on from the last finished stage"


def execute(argv: Sequence[str] | None = None) -> None:
    """Execute a command line.

    Args:
        argv: its words after `nitamono`; None for this process's own.

    Raises:
        NitamonoError: with what went wrong and what to do.
    """
    _execute(_parse(argv))


def _parse(argv: Sequence[str] | None) -> Namespace:
    remember_arguments(sys.argv[1:] if argv is None else argv)
    return build_parser().parse_args(argv)


def _execute(arguments: Namespace) -> None:
    # Verbs that only start something else have no log.
    LOG.format = getattr(arguments, "log", "text")
    VERBS[arguments.verb].load().execute(arguments)


def main() -> None:
    """Execute this process's command line; set the exit code and the last line on stderr."""
    # Libraries that log their own interruption would print tracebacks before the last line.
    logging.getLogger().addHandler(logging.NullHandler())
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments: Namespace | None = None
    try:
        arguments = _parse(None)
        _execute(arguments)
    except NitamonoError as error:
        _exit(error.exit_code, str(error))
    except _TerminatedError:
        _exit(_TerminatedError.exit_code, f"terminated; {_RESUME}")
    except KeyboardInterrupt:
        _exit(128 + signal.SIGINT, f"interrupted; {_RESUME}")
    except BrokenPipeError:
        # The reader of the results has gone; what was done is done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # the last resort: one line, and the traceback in a file
        from pipeline.cli.last_resort import keep_traceback

        file = keep_traceback(arguments)
        _exit(StageError.exit_code, f"{type(error).__name__}: {error}; more is in {file}")


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM came. It ends the work as an interruption by the user does."""

    exit_code = 128 + signal.SIGTERM


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise _TerminatedError


def _exit(code: int, message: str) -> NoReturn:
    with suppress(OSError):
        sys.stdout.flush()
    text = mask(" ".join(message.split()))
    line = f"{paint('nitamono:', BAD, sys.stderr)} {escape(text)}"
    if LOG.format == "json":
        line = json_line("error", text, exit_code=code)
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
