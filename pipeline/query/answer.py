"""Answers: the neighbours of questions, with their titles, or why there are none."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.config.sections import Config
from pipeline.query import traits
from pipeline.query.embedding import Embedding
from pipeline.query.index import Index
from pipeline.query.published import Published
from pipeline.retrieval.routing import QUERIES
from pipeline.store import lookup, reasons


@dataclass(frozen=True)
class Similar:
    """A neighbour.

    Attributes:
        similar_id: of the item.
        title: of the item.
        score: the cosine, as the published table has it.
    """

    similar_id: str
    title: str | None
    score: float

    def shown(self) -> dict[str, Any]:
        """For JSON: with the shortest number that is this float32."""
        score = float(str(np.float32(self.score)))
        return {"similar_id": self.similar_id, "title": self.title, "score": score}


@dataclass
class Answer:
    """What was found for one question.

    Attributes:
        row: its number, from 1.
        item_id: its id, if it has one.
        title: as asked.
        reason: why there are fewer than asked for, as in the table short_lists, or not_asked.
        probes: how many lists were searched.
        neighbours: the nearest items, best first.
    """

    row: int
    item_id: str | None
    title: str | None
    reason: str | None = None
    probes: int = 0
    neighbours: list[Similar] = field(default_factory=list)


class Answerer:
    """Answers questions from one version.

    Attributes:
        published: the version.
        k: neighbours a question.
        unsure: whether rules.query could not be evaluated without Spark, and was passed over.
    """

    def __init__(self, published: Published, config: Config, k: int | None) -> None:
        """Load what it needs.

        Args:
            published: the version.
            config: how to reach files outside the store.
            k: neighbours a question; else as many as the version has.

        Raises:
            UsageError: what the version was made of is gone, or can't be had here.
        """
        self.published = published
        self.k = k or published.settings["k"]
        self.unsure = False
        self._config = config
        self._details = published.table("details", "publish")
        self._index = Index.of(published)
        self._rules = published.rules
        self._denied: traits.Denied | None = None
        self._embedding = Embedding.of(published, config)

    def answers(self, questions: pa.RecordBatch) -> list[Answer]:
        """Answers to rows of questions.SCHEMA, in their order."""
        found = [
            Answer(row, item, title)
            for row, item, title in zip(
                *(questions[name].to_pylist() for name in ("row", "item_id", "title")), strict=True
            )
        ]
        tokens = self._embedding.tokens(questions)
        embedded = self._embedding.vectors(questions, tokens)
        for place, reason in enumerate(self._reasons(questions, embedded)):
            found[place].reason = reason
        asking = pa.array(
            [n for n, answer in enumerate(found) if answer.reason is None], pa.int64()
        )
        if len(asking):
            some = questions.take(asking)
            rows = self._index.nearest(self._asked(some, embedded["half"].take(asking)), self.k)
            for place, row in zip(asking.to_pylist(), rows.to_pylist(), strict=True):
                self._fill(found[place], row)
        self._give_titles(found)
        return found

    def _reasons(self, items: pa.RecordBatch, embedded: pa.RecordBatch) -> Iterator[str | None]:
        """Why questions have no answer; None for those that may have one."""
        asks = traits.asking(items, self._rules)
        if asks is None:
            self.unsure, asks = True, [True] * items.num_rows
        halves = embedded["half"].is_valid().to_pylist()
        for mine, half, tokens in zip(asks, halves, embedded["tokens"].to_pylist(), strict=True):
            if not mine:
                yield reasons.NOT_ASKED
            elif half:
                yield None
            else:
                yield reasons.NO_VECTOR if tokens else reasons.NO_TOKENS

    def _asked(self, items: pa.RecordBatch, halves: pa.Array) -> pa.RecordBatch:
        """Rows of QUERIES but for units; `list` is their number."""
        if self._denied is None:
            named = items["item_id"].null_count < items.num_rows
            state = self.published.denied
            rules = self._rules if named else None
            self._denied = traits.denied_of(self._config, rules, state)
        read = traits.of(items, self._rules, self._denied)
        count = items.num_rows
        columns = {
            "item_id": items["item_id"],
            "vector": halves,
            **{name: read[name] for name in traits.SCHEMA.names},
            "list": pa.array(np.arange(count, dtype=np.int32)),
            "part": pa.array(np.zeros(count, dtype=np.int32)),
        }
        fields = [field for field in QUERIES if field.name != "units"]
        arrays = [columns[field.name].cast(field.type) for field in fields]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def _fill(self, answer: Answer, row: dict[str, Any]) -> None:
        """Take a row of NEIGHBORS."""
        answer.probes = row["probes"]
        answer.neighbours = [Similar(n["similar_id"], None, n["score"]) for n in row["neighbors"]]
        had = len(answer.neighbours)
        if had >= self.k:
            return
        every = answer.probes == self._index.nlist
        if self._rules is None and every:
            answer.reason = reasons.FEW_ITEMS
        elif self._index.rules.any:
            answer.reason = reasons.RULES
        elif self._rules is not None and every:
            answer.reason = reasons.FEW_ELIGIBLE
        else:
            answer.reason = reasons.FEW_IN_LISTS

    def _give_titles(self, answers: list[Answer]) -> None:
        ids = {similar.similar_id for answer in answers for similar in answer.neighbours}
        if not ids:
            return
        store = self.published.store
        table = lookup.find_rows(store, "details", self._details, ids, ["title"], in_order=True)
        titles = dict(zip(table["item_id"].to_pylist(), table["title"].to_pylist(), strict=True))
        for answer in answers:
            answer.neighbours = [
                Similar(one.similar_id, titles.get(one.similar_id), one.score)
                for one in answer.neighbours
            ]
