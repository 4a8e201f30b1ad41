"""The command `nitamono`: `run`, one verb a stage, and those of pipeline.cli.verbs."""

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import NoReturn

from pipeline.cli import completion, model, submit
from pipeline.cli.parser import parser
from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, StageError
from pipeline.export.address import redacted
from pipeline.runs import summary
from pipeline.runs.request import RunRequest
from pipeline.stages import NAMES
from pipeline.store.store import Store
from pipeline.terminal.colours import BAD, paint
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress

_AGAIN = "run it again to go on from the last finished stage"


def execute(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says.

    Raises:
        NitamonoError: what went wrong.
    """
    given = parser().parse_args(arguments)
    if given.verb == "model":
        print_lines(model.execute(given))
    elif given.verb == submit.NAME:
        submit.execute(given, parser())
    elif given.verb == completion.NAME:
        print_lines([completion.script(parser(), given.shell)])
    elif given.config is None:
        given.do(given, config.defaults(given.assignments))
    else:
        do = vars(given).get("do", _make)
        do(given, config.load(given.config, given.assignments))


def _make(given: argparse.Namespace, settings: Config) -> None:
    """Do `run`, or the verb of a stage."""
    about = vars(given)
    stage = {} if given.verb == "run" else {"first": given.verb, "last": given.verb}
    known = ("first", "last", "publish", "retrain", "full", "as_of", "wait")
    chosen = {name: about[name] for name in known if name in about} | stage
    order = RunRequest(**chosen, run_id=given.run_id or "", assignments=tuple(given.assignments))
    if about.get("dry_run"):
        _plan(order, settings, json=given.json)
        return
    outcome, store = order.run(settings, Progress()), Store.of(settings)
    if given.json:
        print_json(asdict(summary.result(store, outcome)))
    elif order.last == NAMES[-1]:
        print_lines(summary.lines(store, outcome))
    else:
        print_lines(summary.of_stage(store, outcome, order.last))


def _plan(order: RunRequest, settings: Config, *, json: bool) -> None:
    """Say what would be done."""
    plan, publishing = order.plan(settings), order.publishes(settings)
    if json:
        stages = [
            {"stage": name, "action": what.split(":")[0].split()[0], "why": what}
            for name, what in plan
        ]
        print_json({"stages": stages, "publishes": publishing})
        return
    print_lines(f"{name:<10}  {what}" for name, what in plan)
    print_lines([f"{'LATEST':<10}  {'would move, if the gate agrees' if publishing else 'stays'}"])


def main() -> None:
    """The entry point: exit codes and the last line on stderr."""
    # Libraries that log their own interruptions would put tracebacks before it.
    logging.getLogger().addHandler(logging.NullHandler())
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        execute()
    except NitamonoError as error:
        _exit(error.exit_code, str(error))
    except _TerminatedError:
        _exit(128 + signal.SIGTERM, f"terminated; {_AGAIN}")
    except KeyboardInterrupt:
        _exit(128 + signal.SIGINT, f"interrupted; {_AGAIN}")
    except BrokenPipeError:
        # Whoever read the results has gone; what was done is done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # the last resort: one line, not a traceback
        _exit(StageError.exit_code, f"{type(error).__name__}: {error}")


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM came: ends what is under way as an interruption does."""


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise _TerminatedError


def _exit(code: int, message: str) -> NoReturn:
    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):
        name = paint("nitamono:", BAD, sys.stderr)
        sys.stderr.write(f"{name} {redacted(' '.join(message.split()))}\n")
        sys.stderr.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
