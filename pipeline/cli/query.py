"""The verb `query`: neighbours of texts that are in no catalogue."""

from argparse import Namespace
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.errors import UsageError
from pipeline.query import boost_terms, questions
from pipeline.query.answer import Answer, Answerer
from pipeline.query.errors import user_errors
from pipeline.query.published import Published
from pipeline.query.skip_pandas import skip_pandas
from pipeline.store.names import LATEST
from pipeline.store.reason_codes import explain
from pipeline.store.store import Store
from pipeline.terminal.colours import DIM, paint
from pipeline.terminal.escapes import escape
from pipeline.terminal.output import (
    print_json,
    print_lines,
    score_text,
    short_id,
    shorten,
    table,
    to_json,
)


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--title", metavar="T", help="a title to find neighbours for")
    parser.add_argument("--description", metavar="D", help="a description, alone or with --title")
    parser.add_argument("--column", action="append", default=[], metavar="NAME=VALUE",
                        help="a column that rules or fields read: brand=KAZEHA, price=1980; may be "
                        "repeated")  # fmt: skip
    parser.add_argument("--file", metavar="FILE",
                        help="a CSV, JSON Lines or Parquet file of texts, with columns title, "
                        "description, item_id and those that rules read")  # fmt: skip
    parser.add_argument("--k", type=positive, metavar="K",
                        help="number of neighbours; default: as many as are published")  # fmt: skip
    parser.add_argument("--version", default=LATEST, metavar="RUN_OR_VERSION",
                        help="a run or a version; default: LATEST")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Answer one text, or each text of a file."""
    config = reading.load(arguments.config, arguments.assignments)
    _check_options(arguments)
    skip_pandas()
    published = Published.of(Store.of(config, make=False), arguments.version)
    with user_errors(published):
        answerer = Answerer(published, config, arguments.k)
        if arguments.file is None:
            texts = questions.single(
                arguments.title, arguments.description, arguments.column, published.further
            )
            (answer,) = answerer.answer(texts)
            _print_answer(answer, published, as_json=arguments.json)
        else:
            for batch in questions.read(Path(arguments.file), config.catalogue, published.further):
                print_lines(_file_lines(answerer.answer(batch), as_json=arguments.json))


def _print_answer(answer: Answer, published: Published, *, as_json: bool) -> None:
    if as_json:
        result = _as_json(answer)
        print_json(
            {
                "neighbours": result["neighbours"],
                "reason": result["reason"],
                "version": published.version,
                "run_id": published.run_id,
            }
        )
    else:
        print_lines(_lines(answer))


def _file_lines(answers: list[Answer], *, as_json: bool) -> Iterator[str]:
    for answer in answers:
        if as_json:
            yield to_json(_as_json(answer))
        else:
            name = f"row {answer.row}" if answer.item_id is None else short_id(answer.item_id)
            yield from (f"{name}  {shorten(answer.title)}", *_lines(answer), "")


def _check_options(arguments: Namespace) -> None:
    """Check that the options go together.

    Raises:
        UsageError: they don't.
    """
    has_text = arguments.title is not None or arguments.description is not None
    if arguments.file is not None and (has_text or arguments.column):
        raise UsageError("query: --file has the columns itself; give it alone, or --title")
    if arguments.file is None and not has_text:
        raise UsageError("query: give --title T, --description D, or --file FILE")


def _as_json(answer: Answer) -> dict[str, Any]:
    return {
        "item_id": answer.item_id,
        "row": answer.row,
        "neighbours": [neighbour.as_json() for neighbour in answer.neighbours],
        "reason": answer.reason,
    }


def _lines(answer: Answer) -> list[str]:
    rows = [
        (str(rank), score_text(one.score), short_id(one.similar_id), shorten(one.title))
        for rank, one in enumerate(answer.neighbours, 1)
    ]
    head, *lines = table(("", "score", "item", "title"), rows, right=" score", cut="title")
    lines = [head, *chain(*_with_reasons(answer, lines))] if rows else []
    if answer.reason is not None:
        found = sum(one.score is not None for one in answer.neighbours)
        count = f"only {found}" if found else "no neighbours"
        lines.append(f"{count}: {explain(answer.reason)}")
    return lines


def _with_reasons(answer: Answer, lines: list[str]) -> Iterator[list[str]]:
    """The line of each neighbour, and below it the terms of its rank and the shared words."""
    for line, one in zip(lines, answer.neighbours, strict=True):
        yield [line]
        if one.ranked_by is not None:
            yield [paint(f"      {boost_terms.describe(one.ranked_by, one.boosts)}", DIM)]
        if one.reason is not None:
            yield [paint(f"      {boost_terms.describe_reason(one.reason)}", DIM)]
        if one.shared_words:
            yield [paint(f"      both: {escape(', '.join(one.shared_words))}", DIM)]
