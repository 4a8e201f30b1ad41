"""Judgements by hand: which pairs are shown, asking in the terminal, and what methods score."""

import hashlib
import io
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.evaluation.answers import Agreement, Answers
from pipeline.evaluation.figures import ANSWERS, Figures, compare
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float64
from pipeline.terminal.colours import DIM, paint
from pipeline.terminal.output import fit_title

# What is shown of an item below its title, if the catalogue has it.
DETAILS = ("category", "brand", "price", "description")
PRECISION = "precision"
_SEED = 0
_INDENT, _WIDTH = 10, 100
_QUESTION = "Would someone who looks at the first item call the second one similar?"
_KEYS = "y yes, n no, s skip (it is asked again another time), b back, q stop"

Pair = tuple[str, str]


@dataclass(frozen=True)
class AnswerFigures:
    """What methods score by the answers.

    Attributes:
        figures: precision, of the judged ones among the k nearest.
        judged: by method, the share of the k nearest of these items that is judged.
        items: the number of items whose neighbours have been judged.
        answers: the number of answers in the file.
        judges: the number of answers of each judge.
        agreements: how far each two judges agree.
        left_out: the number of answers on items that the catalogue lacks.
    """

    figures: Figures
    judged: dict[str, float]
    items: int
    answers: int
    judges: dict[str, int]
    agreements: list[Agreement]
    left_out: int


def check(ids: pa.Array, answers: Answers) -> None:
    """Check that answers are of the sample's items: string[n].

    Raises:
        InputError: there are answers, and of none of them the sample has both items.
    """
    known = set(ids.to_pylist())
    if len(answers) and not any(known.issuperset(one.pair) for one in answers):
        raise InputError(
            f"--judge {answers.path}: of none of its {len(answers):,} answers the catalogue has "
            f"both items; its ids look like {ids[0].as_py()}. Name the file of this catalogue, or "
            "one that is not there yet"
        )


def pairs_to_ask(
    ids: pa.Array, nearest: Mapping[str, Int64], answers: Answers, count: int
) -> list[Pair]:
    """The first pairs, in a seeded order, that this judge has not judged.

    Item by item the neighbours of all methods are pooled and shuffled: nothing tells which method
    has found which. Every judge gets the same order.

    Args:
        ids: string[n], the ids of the sample.
        nearest: by method, each item's k nearest.
        answers: what has been answered.
        count: the maximum number of pairs.
    """
    names = ids.to_pylist()
    asked: dict[frozenset[str], Pair] = {}
    for position in sorted(range(len(names)), key=lambda one: _order(names[one])):
        pool = {int(other) for near in nearest.values() for other in near[position] if other >= 0}
        item = names[position]
        for other in sorted((names[one] for one in pool), key=lambda one: _order(item, one)):
            if len(asked) >= count:
                return list(asked.values())
            if answers.own(item, other) is None:
                asked.setdefault(frozenset((item, other)), (item, other))
    return list(asked.values())


def _order(*ids: str) -> bytes:
    """A seeded hash of ids, which orders them by chance and always alike."""
    return hashlib.blake2b("\0".join((str(_SEED), *ids)).encode(), digest_size=8).digest()


def ask(
    pairs: list[Pair],
    details: Mapping[str, Mapping[str, Any]],
    answers: Answers,
    source: TextIO | None = None,
) -> None:
    """Show pairs on stderr and keep the answers, until all are judged or the judge stops.

    Args:
        pairs: two ids each.
        details: by id the title, and DETAILS.
        answers: takes the answers; each is in the file before the next pair is shown.
        source: a line for each answer; stdin if None.

    Raises:
        InputError: the file can't be written.
    """
    source = source or sys.stdin
    if isinstance(source, io.TextIOWrapper):
        # What a terminal of another encoding sends is no answer, and no end.
        source.reconfigure(errors="replace")
    if not pairs:
        _show([f"There is no pair that {answers.judge} has not judged."])
        return
    _show([_QUESTION, _KEYS, f"Every answer is kept at once in {answers.path}"])
    place = 0
    while place < len(pairs):
        a, b = pairs[place]
        # The first item's details are told once, as its pairs come one after the other.
        is_next = place == 0 or pairs[place - 1][0] != a
        head = f"[{place + 1}/{len(pairs)}]"
        _show(["", *_lines(head, details[a], whole=is_next), *_lines("     and", details[b])])
        key = _key(source, answers.own(a, b))
        if key == "q":
            break
        if key == "b":
            place = max(place - 1, 0)
            continue
        if key != "s":
            answers.put(a, b, match=key == "y")
        place += 1
    answers.refresh()
    _show(["", f"{len(answers):,} answers are in {answers.path}"])


def _key(source: TextIO, said: bool | None) -> str:
    """One of y, n, s, b and q; q at the end of the input."""
    before = "" if said is None else f"(you said {'yes' if said else 'no'}; s keeps it) "
    while True:
        sys.stderr.write(f"{'':<{_INDENT}}similar? {before}")
        sys.stderr.flush()
        line = source.readline()
        if not line:
            return "q"
        # An input method may leave full-width letters.
        key = unicodedata.normalize("NFKC", line).strip().lower()[:1]
        if key and key in "ynsbq":
            return key
        _show([f"{'':<{_INDENT}}{_KEYS}"])


def _show(lines: list[str]) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _lines(head: str, item: Mapping[str, Any], *, whole: bool = True) -> Iterator[str]:
    """An item's title, and its details if the whole of it is shown."""
    yield f"{head:<{_INDENT}}{fit_title(item['title'], _INDENT, _WIDTH)}"
    *short, text = (item.get(name) for name in DETAILS)
    facts = (f"{value:g}" if isinstance(value, float) else value for value in short if value)
    for line in (" · ".join(facts), text) if whole else ():
        if line:
            yield paint(f"{'':<{_INDENT}}{fit_title(line, _INDENT, _WIDTH)}", DIM, sys.stderr)


def score(ids: pa.Array, nearest: Mapping[str, Int64], answers: Answers) -> AnswerFigures:
    """What methods score by the answers: of the k nearest that are judged, the share of similar.

    Only items count whose neighbours were shown (column a). The answer of several judges is their
    mean.

    Args:
        ids: string[n], the ids of the sample.
        nearest: by method, each item's k nearest.
        answers: the answers.
    """
    names = ids.to_pylist()
    places = {item: place for place, item in enumerate(names)}
    shares = answers.shares()
    known = [one for one in answers if one.a in places and one.b in places]
    queries = sorted({places[one.a] for one in known})
    values: dict[str, Float64] = {}
    judged = {}
    for method, near in nearest.items():
        said = [
            [
                shares.get((min(names[query], names[other]), max(names[query], names[other])))
                for other in near[query]
                if other >= 0
            ]
            for query in queries
        ]
        own = [[share for share in row if share is not None] for row in said]
        values[method] = np.array([float(np.mean(row)) if row else np.nan for row in own])
        judged[method] = sum(map(len, own)) / max(1, sum(map(len, said)))
    figures = compare({ANSWERS: {PRECISION: values}}) if queries else {}
    judges: dict[str, int] = {}
    for one in answers:
        judges[one.judge] = judges.get(one.judge, 0) + 1
    return AnswerFigures(
        figures=figures.get(ANSWERS, {}),
        judged=judged,
        items=len(queries),
        answers=len(answers),
        judges=dict(sorted(judges.items())),
        agreements=answers.agreements(),
        left_out=len(answers) - len(known),
    )
