"""What is asked of an evaluation."""

from dataclasses import dataclass

import pyarrow as pa

from pipeline.evaluation.answers import Answers
from pipeline.evaluation.groups import Group
from pipeline.evaluation.pairs_file import Pairs

# The search is quadratic: so many items of 512 dimensions take about a minute on two cores.
DEFAULT_ITEMS = 30_000


@dataclass(frozen=True)
class EvaluationRequest:
    """What to measure.

    Attributes:
        labels: columns of the catalogue's files.
        pairs: pairs with the answer whether they match; None for no pairs.
        k: the number of neighbours that count.
        items: the maximum number of items to measure on.
        groups: what the items are grouped by.
        answers: answers by hand; None for none.
        ask: how many pairs are shown to the judge.
    """

    labels: tuple[str, ...]
    pairs: Pairs | None
    k: int
    items: int
    groups: tuple[Group, ...] = ()
    answers: Answers | None = None
    ask: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that labels and groups are made of, each once."""
        of_groups = (group.column for group in self.groups if group.column)
        return tuple(dict.fromkeys((*self.labels, *of_groups)))

    @property
    def named_ids(self) -> dict[str, pa.Array]:
        """The ids that are measured first, string[m], by the argument that names them."""
        named = {}
        if self.pairs is not None:
            named[f"--pairs {self.pairs.path}"] = self.pairs.ids()
        if self.answers is not None:
            named[f"--judge {self.answers.path}"] = self.answers.ids()
        return named
