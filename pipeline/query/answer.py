"""Answers to questions: the neighbours with their titles, or why there are none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.config.sections import Config, RulesSection
from pipeline.query import boost_terms, traits
from pipeline.query.edits import EditsOfIds
from pipeline.query.embedding import TextEmbedder
from pipeline.query.fallback import Filler
from pipeline.query.index import Index
from pipeline.query.published import Published
from pipeline.query.reranking import Reranker
from pipeline.query.shared_words import SharedWords
from pipeline.retrieval.routing import QUERIES
from pipeline.store import item_rows, reason_codes


@dataclass(frozen=True)
class Neighbour:
    """A neighbour.

    Attributes:
        similar_id: the item's id.
        title: the item's title.
        score: the cosine, as the published table has it; None if it fills the list.
        ranked_by: what it is ranked by, as the published table has it; None if by the score.
        boosted: the cosine with the boosts, before a list is chosen from candidates.
        boosts: what is added to the score to rank it, by setting.
        reason: why it is shown, as the published table has it; None if it was found.
        shared_words: as the published table has them; None if it has none.
    """

    similar_id: str
    title: str | None
    score: float | None
    ranked_by: float | None = None
    boosted: float | None = None
    boosts: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    shared_words: list[str] | None = None

    @property
    def scores(self) -> boost_terms.Scores:
        """Its scores."""
        return boost_terms.Scores(self.score, self.boosted, self.ranked_by)

    def as_json(self) -> dict[str, Any]:
        """The neighbour for programs; numbers are the shortest ones that are these float32."""
        entry: dict[str, Any] = {"similar_id": self.similar_id, "title": self.title}
        entry["score"] = None if self.score is None else float(str(np.float32(self.score)))
        if self.reason is not None:
            entry["reason"] = self.reason
        entry |= boost_terms.as_json(self.ranked_by, self.boosts)
        return entry if self.shared_words is None else entry | {"shared_words": self.shared_words}


@dataclass
class Answer:
    """The answer to one question.

    Attributes:
        row: the question's number, from 1.
        item_id: the question's id, if it has one.
        title: the question's title.
        reason: why there are fewer than k neighbours: a code of pipeline.store.reason_codes.
        probes: how many lists were searched.
        neighbours: the nearest items, best first, and behind them what fills the list.
    """

    row: int
    item_id: str | None
    title: str | None
    reason: str | None = None
    probes: int = 0
    neighbours: list[Neighbour] = field(default_factory=list)


class Answerer:
    """Answers questions from one version.

    Attributes:
        published: the version.
        k: neighbours a question.
    """

    def __init__(self, published: Published, config: Config, k: int | None) -> None:
        """Load the version's index and model.

        Args:
            published: the version.
            config: the way to files outside the store.
            k: neighbours a question; None: as many as the version has.

        Raises:
            UsageError: a part of the version is gone, or not available here.
        """
        self.published = published
        self.k = k or published.settings["k"]
        self._details_version = published.table("details", "publish")
        self._index = Index.of(published)
        self._rules, self._rank = published.rules or RulesSection(), published.rank
        self._boosts = boost_terms.BoostTerms(published)
        self._edits = self._boosts.edits
        self._filler = Filler.of(published)
        self._embedder = TextEmbedder.load(published, config)
        self._words = SharedWords.of(published, self._embedder)
        self._reranker = Reranker.of(published, self._embedder)

    def answer(self, questions: pa.RecordBatch) -> list[Answer]:
        """Answer rows of questions.SCHEMA, in their order."""
        columns = (questions[name].to_pylist() for name in ("row", "item_id", "title"))
        answers = [Answer(*values) for values in zip(*columns, strict=True)]
        texts = self._embedder.without_placeholders(questions)
        tokens = self._embedder.tokens(texts)
        embedded = self._embedder.vectors(texts, tokens)
        for answer, reason in zip(answers, self._reasons(questions, embedded), strict=True):
            answer.reason = reason
        searchable = [n for n, answer in enumerate(answers) if answer.reason is None]
        if searchable:
            rows = pa.array(searchable, pa.int64())
            items = questions.take(rows)
            found = self._edits.find(filter(None, items["item_id"].to_pylist()))
            queries = self._queries(items, embedded["half"].take(rows), found)
            pins = [self._edits.wanted_pins(item, found) for item in items.to_pylist()]
            # Pins have ranks in the list of the version, which may be longer than what is asked.
            k = max(self.k, self.published.settings["k"]) if any(pins) else self.k
            nearest = self._index.nearest(queries, k)
            lists = self._chosen(queries, nearest, k, tokens.take(rows)).to_pylist()
            if any(pins):
                lists = self._edits.with_pins(self._index, queries, lists, pins, k)
            lists = [one[: self.k] for one in lists]
            shown = zip(searchable, nearest.to_pylist(), lists, strict=True)
            for n, candidates, chosen in shown:
                self._fill(answers[n], candidates, chosen)
        if self._filler is not None:
            self._fill_short(self._filler, answers, questions)
        self._add_details(answers, questions.to_pylist())
        if self._words is not None:
            self._add_words(answers, self._words.of_questions(texts, tokens, _ids(answers)))
        return answers

    def _chosen(
        self, queries: pa.RecordBatch, nearest: pa.RecordBatch, k: int, tokens: pa.RecordBatch
    ) -> pa.Array:
        """The lists that are chosen from the nearest: the column `neighbors` of NEIGHBORS."""
        reranker = self._reranker
        if reranker is None:
            return self._index.chosen_lists(queries, nearest, k, None)
        halves = queries["vector"]
        return self._index.chosen_lists(
            queries, nearest, k, lambda ids, vectors: reranker.compare(ids, vectors, tokens, halves)
        )

    def _fill_short(self, filler: Filler, answers: list[Answer], questions: pa.RecordBatch) -> None:
        """Fill the lists of answers with too few neighbours, as [fallback] of the version says."""
        short = [
            n for n, one in enumerate(answers) if one.reason not in (None, reason_codes.NOT_ASKED)
        ]
        if not short:
            return
        items = questions.take(pa.array(short, pa.int64()))
        lists = [
            [{"similar_id": one.similar_id, "score": one.score} for one in answers[n].neighbours]
            for n in short
        ]
        found = self._edits.find(filter(None, items["item_id"].to_pylist()))
        filled = filler.fill(items, self._traits(items, found), lists, self.k)
        for n, entries in zip(short, filled, strict=True):
            answers[n].neighbours += [
                Neighbour(one["similar_id"], None, None, reason=one["reason"]) for one in entries
            ]

    def _reasons(self, items: pa.RecordBatch, embedded: pa.RecordBatch) -> Iterator[str | None]:
        """Why questions can't be searched for; None for those that can."""
        gets_list = traits.gets_list(items, self._rules, self.published.further)
        has_vector = embedded["half"].is_valid().to_pylist()
        token_counts = embedded["tokens"].to_pylist()
        for listed, vector, count in zip(gets_list, has_vector, token_counts, strict=True):
            if not listed:
                yield reason_codes.NOT_ASKED
            elif vector:
                yield None
            else:
                yield reason_codes.NO_VECTOR if count else reason_codes.NO_TOKENS

    def _queries(
        self, items: pa.RecordBatch, halves: pa.Array, found: EditsOfIds
    ) -> pa.RecordBatch:
        """Rows of QUERIES but for units; `list` numbers them."""
        item_traits = self._traits(items, found)
        columns = {
            "item_id": items["item_id"],
            "vector": halves,
            **{name: item_traits[name] for name in traits.SCHEMA.names},
            "list": pa.array(np.arange(items.num_rows, dtype=np.int32)),
            "part": pa.array(np.zeros(items.num_rows, dtype=np.int32)),
        }
        fields = [field for field in QUERIES if field.name != "units"]
        arrays = [columns[field.name].cast(field.type) for field in fields]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def _traits(self, items: pa.RecordBatch, found: EditsOfIds) -> pa.RecordBatch:
        """What the rules on pairs read of questions."""
        return traits.query_traits(items, self._rules, self._rank, self._edits, found)

    def _fill(
        self, answer: Answer, candidates: dict[str, Any], chosen: list[dict[str, Any]]
    ) -> None:
        """Take over a row of NEIGHBORS, and the list that is chosen from it."""
        answer.probes = candidates["probes"]
        boosted = {n["similar_id"]: n["ranked_by"] for n in candidates["neighbors"]}
        is_ranked = self._rank.exists or self._edits.state.exist
        answer.neighbours = [
            Neighbour(
                n["similar_id"],
                None,
                n["score"],
                n["score"] if is_ranked and n["ranked_by"] is None else n["ranked_by"],
                n["ranked_by"] if n.get("reason") else boosted[n["similar_id"]],
                reason=n.get("reason"),
            )
            for n in chosen
        ]
        if len(answer.neighbours) < self.k:
            answer.reason = self._short_list_reason(answer.probes)

    def _short_list_reason(self, probes: int) -> str:
        all_lists = probes == self._index.nlist
        if self._index.rules.excludes_pairs:
            return reason_codes.RULES
        if self._rules == RulesSection() and all_lists:
            return reason_codes.FEW_ITEMS
        if all_lists:
            return reason_codes.FEW_ELIGIBLE
        return reason_codes.FEW_IN_LISTS

    def _add_details(self, answers: list[Answer], items: list[dict[str, Any]]) -> None:
        """Add the neighbours' titles and the terms of their ranks.

        Args:
            answers: the answers.
            items: the questions that they answer.
        """
        ids = {neighbour.similar_id for answer in answers for neighbour in answer.neighbours}
        if not ids:
            return
        store, version = self.published.store, self._details_version
        names = ["title", *(name for name in self._boosts.columns if name != "title")]
        table = item_rows.find_rows(store, "details", version, ids, names, in_order=True)
        details = {row["item_id"]: row for row in table.to_pylist()}
        found = self._edits.find(ids.union(filter(None, (item["item_id"] for item in items))))
        for answer, item in zip(answers, items, strict=True):
            answer.neighbours = [
                replace(
                    one,
                    title=row.get("title"),
                    boosts=self._boosts.of(item, row, one.scores, found),
                )
                for one in answer.neighbours
                for row in (details.get(one.similar_id, {}),)
            ]

    @staticmethod
    def _add_words(answers: list[Answer], words: list[list[list[str]]]) -> None:
        """Add the words that neighbours share with the questions."""
        for answer, lists in zip(answers, words, strict=True):
            answer.neighbours = [
                replace(one, shared_words=shared)
                for one, shared in zip(answer.neighbours, lists, strict=True)
            ]


def _ids(answers: list[Answer]) -> list[list[str | None]]:
    """The neighbours that were found; None for those that are shown for a reason."""
    return [
        [one.similar_id if one.reason is None else None for one in answer.neighbours]
        for answer in answers
    ]
