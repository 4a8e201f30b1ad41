"""The command `nitamono`: `run`, one verb a stage, and those of pipeline.verbs."""

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from pipeline import __version__, config, model_verbs, publication, summary
from pipeline.errors import NitamonoError, StageError, UsageError
from pipeline.export.address import redacted
from pipeline.output import say
from pipeline.progress import Progress
from pipeline.runner import Runner, check_run_id, new_run_id
from pipeline.sections import Config
from pipeline.stages import CHAIN, NAMES
from pipeline.store import Store
from pipeline.submit import verb as submit
from pipeline.verbs import VERBS, add_wait

_STAGE_HELP = {
    "ingest": "read the catalogue; good rows become items, bad ones go to quarantine",
    "tokenize": "clean the items' text and cut it into tokens",
    "train": "train the model on the tokens, or take the one given as model.path",
    "embed": "give every item a vector",
    "index": "cut the vectors into lists",
    "neighbors": "find each item's nearest others, and measure recall",
    "publish": "write the similar-item table, check it, and point LATEST at it",
}
_AGAIN = "run it again to go on from the last finished stage"


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage like every other failure: one last line that says what to do."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = _Parser(
        prog="nitamono",
        description="Similar-item tables for large catalogues, from titles and descriptions.",
        epilog="exit codes: 0 done; 2 wrong usage or config; 3 bad input, nothing published; "
        "4 the gate held the table back; 5 a stage failed",
    )
    top.add_argument("--version", action="version", version=f"nitamono {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    run = _verb(verbs, "run", "run every stage that is not done yet, and publish the table")
    run.add_argument("--from", dest="first", choices=NAMES, default=NAMES[0], metavar="STAGE",
                     help="start here; what comes before must be done")  # fmt: skip
    run.add_argument("--to", dest="last", choices=NAMES, default=NAMES[-1], metavar="STAGE",
                     help="stop after this stage")  # fmt: skip
    run.add_argument("--dry-run", action="store_true", help="say what would run, and why")
    run.add_argument("--retrain", action="store_true",
                     help="train a new model instead of using the store's current one")  # fmt: skip
    run.add_argument("--full", action="store_true",
                     help="build on no earlier night; model and quantiser stay")  # fmt: skip
    run.add_argument("--publish", action="store_true",
                     help="move LATEST to this run's table, where that is left open: after --set, "
                     "--as-of or publish.publish = false")  # fmt: skip
    run.add_argument("--as-of", default="", metavar="RUN",
                     help="use the catalogue and the model of that run")  # fmt: skip
    made = {stage.NAME: _verb(verbs, stage.NAME, _STAGE_HELP[stage.NAME]) for stage in CHAIN}
    for verb in (run, made["publish"]):
        add_wait(verb)
    for reading in VERBS:
        other = _add(
            verbs, reading.name, reading.text, reading.example, required=reading.needs_config
        )
        other.add_argument("--json", action="store_true", help="print JSON, for programs")
        reading.arguments(other)
        other.set_defaults(do=reading.do)
    model_verbs.add(verbs)
    submit.add(verbs)
    return top


def _verb(
    verbs: "argparse._SubParsersAction[_Parser]", name: str, text: str
) -> argparse.ArgumentParser:
    verb = _add(verbs, name, text, "--set neighbors.k=20")
    verb.add_argument("--run-id", metavar="NAME", help="the run's name; else the time of its start")
    verb.set_defaults(do=_run)
    return verb


def _add(
    verbs: "argparse._SubParsersAction[_Parser]",
    name: str,
    text: str,
    example: str,
    *,
    required: bool = True,
) -> argparse.ArgumentParser:
    config_option = "--config nitamono.toml " if required else ""
    verb = verbs.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example: nitamono {name} {config_option}{example}".rstrip(),
    )
    verb.add_argument("--config", required=required, metavar="FILE", help="the config, a TOML file")
    verb.add_argument("--set", dest="assignments", action="append", default=[],
                      metavar="SECTION.KEY=VALUE",
                      help="change a setting; may be repeated")  # fmt: skip
    return verb


def execute(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says.

    Raises:
        NitamonoError: what went wrong.
    """
    given = parser().parse_args(arguments)
    if given.verb == "model":
        say(model_verbs.execute(given))
        return
    if given.verb == submit.NAME:
        submit.execute(given, parser())
        return
    if given.config is None:
        given.do(given, config.defaults(given.assignments))
        return
    given.do(given, config.load(given.config, given.assignments))


def _run(given: argparse.Namespace, settings: Config) -> None:
    run_id = check_run_id(given.run_id or new_run_id())
    first = last = given.verb
    publishing = given.verb == NAMES[-1]
    more: dict[str, Any] = {"wait": vars(given).get("wait", 0.0)}
    if given.verb == "run":
        first, last = given.first, given.last
        more |= {"as_of_run": given.as_of, "full": given.full}
        publishing = _publishes(given, settings)
    runner = Runner(settings, run_id, Progress(), publishing=publishing, **more)
    if given.verb == "run" and given.dry_run:
        plan = runner.plan(first, last, retrain=given.retrain)
        say(f"{name:<10}  {what}" for name, what in plan)
        say([f"{'LATEST':<10}  {'would move, if the gate agrees' if publishing else 'stays'}"])
        return
    outcome = runner.run(first, last, retrain=given.verb == "run" and given.retrain)
    if last == NAMES[-1]:
        say(summary.lines(Store.of(settings), outcome))
    else:
        store = Store.of(settings)
        say(
            f"{table}  {rows:,} rows  {store.table_path(table, r.fingerprint)}"
            for name, _, r in outcome.stages
            if name == last
            for table, rows in r.tables.items()
        )


def _publishes(given: argparse.Namespace, settings: Config) -> bool:
    """Whether `run` is to publish.

    Raises:
        UsageError: its options don't go together.
    """
    first, last = given.first, given.last
    if NAMES.index(first) > NAMES.index(last):
        raise UsageError(f"--from {first} comes after --to {last}")
    if given.as_of and given.retrain:
        raise UsageError("--as-of uses that run's model, --retrain makes a new one; give one")
    if last != NAMES[-1]:
        if given.publish:
            raise UsageError(f"--to {last} ends before there is a table that --publish could take")
        return False
    if given.publish or given.as_of:
        return bool(given.publish)
    return publication.wanted(settings, given.assignments, Store.of(settings))


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
        sys.stderr.write(f"nitamono: {redacted(' '.join(message.split()))}\n")
        sys.stderr.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
