"""The verb `query`: neighbours of texts that are in no catalogue."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.verb import Verb, positive
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.query.start import skip_pandas
from pipeline.store.reasons import explain
from pipeline.terminal.output import print_json, print_lines, shorten, table
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pipeline.query.answer import Answer
    from pipeline.query.published import Published


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--title", metavar="T", help="of the item that is looked for")
    parser.add_argument("--description", metavar="D", help="of the same")
    parser.add_argument("--column", action="append", default=[], metavar="NAME=VALUE",
                        help="what rules read of it: locale=ja, price=1980; "
                        "may be repeated")  # fmt: skip
    parser.add_argument("--file", metavar="FILE",
                        help="a CSV, JSON Lines or Parquet file with columns title, description, "
                        "item_id and those that rules read, instead")  # fmt: skip
    parser.add_argument("--k", type=positive, metavar="K",
                        help="neighbours; as many as are published if not given")  # fmt: skip


def _do(given: argparse.Namespace, settings: Config) -> None:
    _check(given)
    skip_pandas()
    from pipeline.query import questions
    from pipeline.query.answer import Answerer
    from pipeline.query.errors import user_errors
    from pipeline.query.published import Published
    from pipeline.store.store import Store

    published = Published.of(Store.of(settings, make=False))
    with user_errors(published):
        answerer = Answerer(published, settings, given.k)
        if given.file is None:
            asked = questions.single(given.title, given.description, given.column)
            (answer,) = answerer.answer(asked)
            _say_one(answer, published, as_json=given.json)
        else:
            for batch in questions.read(Path(given.file), settings.catalogue.columns):
                print_lines(_of_file(answerer.answer(batch), as_json=given.json))
        if answerer.query_rule_ignored:
            Progress().print("rules.query can't be evaluated without Spark: it was passed over")


def _say_one(answer: "Answer", published: "Published", *, as_json: bool) -> None:
    if as_json:
        about = {"version": published.version, "run_id": published.run_id}
        print_json({name: _shown(answer)[name] for name in ("neighbours", "reason")} | about)
    else:
        print_lines(_lines(answer))


def _of_file(answers: "list[Answer]", *, as_json: bool) -> Iterator[str]:
    for answer in answers:
        if as_json:
            yield json.dumps(_shown(answer), ensure_ascii=False)
        else:
            name = answer.item_id if answer.item_id is not None else f"row {answer.row}"
            yield from (f"{name}  {shorten(answer.title)}", *_lines(answer), "")


def _check(given: argparse.Namespace) -> None:
    """See that the options go together.

    Raises:
        UsageError: they don't.
    """
    alone = given.title is not None or given.description is not None
    if given.file is not None and (alone or given.column):
        raise UsageError("query: --file has the columns itself; give it alone, or --title")
    if given.file is None and not alone:
        raise UsageError("query: give --title T, --description D, or --file FILE")


def _shown(answer: "Answer") -> dict[str, Any]:
    return {
        "item_id": answer.item_id,
        "row": answer.row,
        "neighbours": [one.as_json() for one in answer.neighbours],
        "reason": answer.reason,
    }


def _lines(answer: "Answer") -> list[str]:
    rows = [
        (str(rank), f"{one.score:.3f}", one.similar_id, shorten(one.title))
        for rank, one in enumerate(answer.neighbours, 1)
    ]
    lines = table(("", "score", "item", "title"), rows, right=" score", cut="title") if rows else []
    if answer.reason is not None:
        what = "no neighbours" if not rows else f"only {len(rows)}"
        lines.append(f"{what}: {explain(answer.reason)}")
    return lines


QUERY = Verb(
    "query",
    "find the neighbours of a text that is in no catalogue, from the published version",
    '--title "ワイヤレスイヤホン 防水 ブラック"',
    _arguments,
    _do,
)
