"""The parser of nitamono's command line."""

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline import __version__
from pipeline.cli import completion, model, submit
from pipeline.cli.verb import Verb
from pipeline.cli.verbs import VERBS, add_wait
from pipeline.errors import UsageError
from pipeline.stages import CHAIN, NAMES

# What each stage does, and an example of its arguments.
_STAGES = {
    "ingest": ("read the catalogue; good rows become items, bad ones go to quarantine",
               "--set catalogue.path=items.csv"),
    "tokenize": ("clean the items' text and cut it into tokens", "--set text.split_mode=A"),
    "train": ("train the model on the tokens, or take the one given as model.path",
              "--set model.dim=200"),
    "embed": ("give every item a vector", "--set embed.method=mean"),
    "index": ("cut the vectors into lists", "--set index.nlist=500"),
    "neighbors": ("find each item's nearest others, and measure recall", "--set neighbors.k=20"),
    "publish": ("write the similar-item table, check it, and point LATEST at it", "--wait 600"),
}  # fmt: skip
_RUN = "run every stage that is not done yet, and publish the table"
# In which order the help lists verbs; see pipeline.cli.verb.Verb.
_GROUPS = {
    "make": "make the table",
    "look": "look at it",
    "keep": "keep the store",
    "cluster": "clusters",
    "shell": "the shell",
}
_GROUP_OF = {
    "run": "make",
    **dict.fromkeys(NAMES, "make"),
    "model": "keep",
    "submit": "cluster",
    completion.NAME: "shell",
    **{verb.name: verb.group for verb in VERBS},
}

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction["Parser"]


class _Help(argparse.HelpFormatter):
    """Leaves an example on one line, to be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("example:") else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """Reports wrong usage like every other failure: one last line that says what to do."""

    def __init__(self, **about: Any) -> None:  # noqa: ANN401 - argparse's own
        """Take what argparse takes."""
        super().__init__(**about, formatter_class=_Help)

    def error(self, message: str) -> NoReturn:
        """Raise it.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}; see {self.prog} --help")


class _Top(Parser):
    """The command's own: its help lists the verbs by what they are for."""

    verbs: "Verbs"

    def format_help(self) -> str:
        """The text of --help."""
        formatter = self._get_formatter()
        formatter.add_usage("nitamono VERB [ARGUMENT ...]", [], [])
        formatter.add_text(self.description)
        for group, title in _GROUPS.items():
            formatter.start_section(title)
            formatter.add_arguments(
                [
                    verb
                    for verb in self.verbs._choices_actions
                    if _GROUP_OF.get(verb.dest, "look") == group
                ]
            )
            formatter.end_section()
        formatter.start_section("options")
        formatter.add_arguments([action for action in self._actions if action.option_strings])
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


def parser() -> Parser:
    """The parser of the command line."""
    top = _Top(
        prog="nitamono",
        description="Similar-item tables for large catalogues, from titles and descriptions.",
        epilog="nitamono VERB --help documents each verb, with an example. exit codes: 0 done; 2 "
        "wrong usage or config; 3 bad input, nothing published; 4 the gate held the table back; "
        "5 a stage failed",
    )
    top.add_argument("--version", action="version", version=f"nitamono {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    top.verbs = verbs
    _run_arguments(_making(verbs, "run", _RUN, "--run-id night1"))
    for stage in CHAIN:
        verb = _making(verbs, stage.NAME, *_STAGES[stage.NAME])
        if NAMES[-1] == stage.NAME:
            add_wait(verb)
    for reading in VERBS:
        _reading(verbs, reading)
    model.add(verbs)
    submit.add(verbs)
    completion.add(verbs)
    return top


def _run_arguments(run: Parser) -> None:
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
    add_wait(run)


def _making(verbs: "Verbs", name: str, text: str, example: str) -> Parser:
    """`run`, or a stage's verb."""
    verb = _add(verbs, name, text, example)
    verb.add_argument("--run-id", metavar="NAME", help="the run's name; else the time of its start")
    return verb


def _reading(verbs: "Verbs", reading: Verb) -> None:
    verb = _add(verbs, reading.name, reading.text, reading.example, required=reading.needs_config)
    reading.arguments(verb)
    verb.set_defaults(do=reading.do)


def _add(
    verbs: "Verbs",
    name: str,
    text: str,
    example: str,
    *,
    required: bool = True,
) -> Parser:
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
    verb.add_argument("--json", action="store_true", help="print JSON, for programs")
    return verb
