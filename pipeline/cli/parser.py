"""The parser of nitamono's command line."""

import argparse
import shutil
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from pipeline.cli.argument_types import seconds
from pipeline.cli.verbs import GROUPS, VERBS, Verb
from pipeline.errors import UsageError
from pipeline.terminal.log import FORMATS
from pipeline.terminal.output import print_lines

_DESCRIPTION = "Similar-item tables for large catalogues, from titles and descriptions."
_EXIT_CODES = (
    "nitamono VERB --help documents each verb, with an example. exit codes: 0 done; 2 wrong usage "
    "or config; 3 bad input, nothing published; 4 the gate held the table back; 5 a stage failed, "
    "the store is damaged, or another run is publishing"
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are UsageErrors, and that can add its arguments when first used.

    Attributes:
        actions: its arguments, as argparse's actions.
    """

    def __init__(self, load: "Callable[[Parser], None] | None" = None, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        """Make a parser.

        Args:
            load: adds the arguments, before the parser is first used.
            options: those of argparse.ArgumentParser.
        """
        self.actions: list[argparse.Action] = []
        self._load = load
        # Examples stay on one line, to be copied.
        super().__init__(**options, formatter_class=argparse.RawDescriptionHelpFormatter)

    def load(self) -> None:
        """Add the arguments, if that is still to be done."""
        load, self._load = self._load, None
        if load is not None:
            load(self)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:  # noqa: ANN401 - argparse's own
        """Add an argument, as argparse does."""
        action = super().add_argument(*names, **options)
        self.actions.append(action)
        return action

    def add_subparsers(self, **options: Any) -> Any:  # noqa: ANN401 - argparse's own
        """Add subparsers, as argparse does."""
        action = super().add_subparsers(**options)
        self.actions.append(action)
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - argparse's own
        """Load and parse; argparse calls this for the verb that the command line names."""
        self.load()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Report wrong usage.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}; see {self.prog} --help")

    def subparsers(self) -> "Iterator[Parser]":
        """The parsers of its verbs, with their arguments."""
        self.load()
        for action in self.actions:
            if isinstance(action.choices, dict):
                for parser in action.choices.values():
                    parser.load()
                    yield parser


class _PrintVersion(argparse.Action):
    """argparse's own action takes the version when the parser is built, which is slow."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> NoReturn:
        """Print the version and exit."""
        from pipeline import __version__

        print_lines([f"{parser.prog} {__version__}"])
        parser.exit()


def build_parser() -> Parser:
    """The parser of the whole command line."""
    top = Parser(
        prog="nitamono",
        usage="nitamono VERB [ARGUMENT ...]",
        description="\n\n".join([_DESCRIPTION, *_group_texts()]),
        epilog=wrap(_EXIT_CODES),
    )
    top.add_argument("--version", action=_PrintVersion, nargs=0, help="print the version and exit")
    # The description lists the verbs, by group.
    verbs = top.add_subparsers(
        prog="nitamono", dest="verb", metavar="VERB", required=True, help=argparse.SUPPRESS
    )
    for verb in VERBS.values():
        config = "--config nitamono.toml " if verb.config == "required" else ""
        example = f"example: nitamono {verb.name} {config}{verb.example}".rstrip()
        verbs.add_parser(
            verb.name,
            help=verb.text,
            load=_loader(verb),
            description=wrap(sentence(verb.text)),
            epilog=example if verb.example or config else None,
        )
    return top


def wrap(text: str, first_indent: str = "", indent: str = "") -> str:
    """A text cut into lines that the terminal has room for."""
    width = shutil.get_terminal_size().columns - 2
    return textwrap.fill(text, width, initial_indent=first_indent, subsequent_indent=indent)


def sentence(text: str) -> str:
    """A verb's text as a sentence."""
    return f"{text[0].upper()}{text[1:]}."


def _group_texts() -> Iterator[str]:
    """The lists of verbs in the command's help, by group."""
    for group, title in GROUPS.items():
        lines = (
            wrap(verb.text, f"  {verb.name:<12}", " " * 14)
            for verb in VERBS.values()
            if verb.group == group
        )
        yield "\n".join([f"{title}:", *lines])


def _loader(verb: Verb) -> Callable[[Parser], None]:
    def load(parser: Parser) -> None:
        if verb.config != "none":
            add_config(parser, required=verb.config == "required")
        if verb.json:
            parser.add_argument("--json", action="store_true", help="print JSON, for programs")
        if verb.log:
            parser.add_argument("--log", choices=FORMATS, default=FORMATS[0],
                                help="the form of the log on stderr: text, the default, or json, "
                                "one object a line")  # fmt: skip
        if verb.wait:
            parser.add_argument("--wait", type=seconds, default=0.0, metavar="SECONDS",
                                help="wait for the store's lock if another run publishes; 0, the "
                                "default: stop at once")  # fmt: skip
        verb.load().add_arguments(parser)

    return load


def add_config(parser: Parser, *, required: bool) -> None:
    """Add --config and --set."""
    parser.add_argument("--config", required=required, metavar="FILE",
                        help="the config, a TOML file")  # fmt: skip
    parser.add_argument("--set", dest="assignments", action="append", default=[],
                        metavar="SECTION.KEY=VALUE",
                        help="change a setting; may be repeated")  # fmt: skip
