"""What a catalogue holds can't act on the terminal of who looks at it."""

from collections.abc import Callable, Iterable

import pytest

from pipeline.cli import diff, query
from pipeline.inspection import describe
from pipeline.inspection.contributions import Contributions
from pipeline.inspection.inspect import Inspection, Neighbour, RemovedCandidate
from pipeline.inspection.version_tables import Item
from pipeline.query.answer import Answer
from pipeline.query.answer import Neighbour as AnswerNeighbour
from pipeline.terminal.output import print_lines

# The second is what `paint` writes round a text.
ODD = "\x1b]0;a\x07\x1b[31m\u202eb\x9b2J\n"
TITLE, LONG_ID = f"{ODD} title", ODD + "x" * 500


class Named:
    """A version's names."""

    version, run_id = "v", "r"


def inspection() -> Iterable[str]:
    parts = Contributions(0.5, 0.5, [(ODD.strip(), 1.0)], 0.0)
    columns = dict.fromkeys(("category", "group_id", "brand", "locale"), ODD)
    details = {"item_id": LONG_ID, "title": TITLE, "list": 1, "price": 1.0, "stock": None}
    one = Inspection(Item(details | columns, None), TITLE, (f"a {ODD}", ODD), ["a"], ["b"], 1, None)
    one.neighbours = [Neighbour(LONG_ID, 1.0, TITLE, parts, 1.1, {f"rank.same.{ODD}": 0.1})]
    one.removed = [RemovedCandidate(LONG_ID, 1.0, TITLE, "same", f"{ODD} is nearer")]
    one.removal_counts = {"same": 1}
    one.why_not = {"item_id": LONG_ID, "title": TITLE, "said": f"{LONG_ID} is nearer"}
    return describe.lines(one, Named())  # type: ignore[arg-type]


def answer() -> Iterable[str]:
    one = Answer(1, LONG_ID, TITLE, neighbours=[AnswerNeighbour(LONG_ID, TITLE, 1.0)])
    return query._file_lines([one], as_json=False)


def changes() -> Iterable[str]:
    entry = {"similar_id": LONG_ID, "score": 1.0, "title": TITLE}
    item = {"item_id": LONG_ID, "title": TITLE, "overlap": 0.0, "score_shift": 0.0}
    names = {name: {"version": "v", "run_id": "r"} for name in ("before", "after")}
    counts = dict.fromkeys(("items_before", "items_after", "added", "gone", "common"), 0)
    setting = {"setting": "rules.eligible", "before": ODD, "after": ""}
    lists = {"before": [entry], "after": []}
    return diff.lines({**names, **counts, "settings": [setting], "most_changed": [item | lists]})


@pytest.mark.parametrize("lines", [inspection, answer, changes])
def test_values_are_escaped_and_long_ids_cut(
    lines: Callable[[], Iterable[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    print_lines(lines())
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert r"\x1b]0;a\x07\x1b[31m\u202eb\x9b2J" in printed
    assert "x" * 41 not in "".join(line for line in printed.splitlines() if "is nearer" not in line)
