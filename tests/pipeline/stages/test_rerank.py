"""rank.rerank from the config to the table: the right candidates get the scores of their texts.

What a score is, is tested with the features and in tests/pipeline/retrieval/test_reranking.py.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from models import embedder
from pipeline.config import reading as config
from pipeline.errors import UsageError
from pipeline.inspection import inspect
from pipeline.inspection.inspect import Inspector
from pipeline.inspection.version_tables import VersionTables
from pipeline.query import answer as query
from pipeline.query import questions
from pipeline.query.answer import Answerer
from pipeline.query.published import Published
from pipeline.retrieval.reranking import ComparedItems, finer_scores
from pipeline.retrieval.vectors import to_bytes
from pipeline.stages.embed.batches import BlendOfTokens, item_features, lists_of
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.test_rank import PRICE, RankedShop, with_further_columns
from tests.pipeline.stages.test_rules import QUANTISED, K, everything, random_catalogue
from tests.pipeline.tables import read_rows

RERANK = "rank.rerank=true"

Ranked = dict[str, list[tuple[str, float, float]]]


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> RankedShop:
    shop = RankedShop(tmp_path)
    rows = with_further_columns(random_catalogue(120), 1)
    for number, row in enumerate(rows):
        if number % 3 == 0:
            # Each code is that of two items.
            row["title"] += f" LT-{number // 6:02}X9"
    shop.write(rows)
    return shop


def compared(shop: RankedShop) -> ComparedItems:
    """The items of the published version by what they are compared by, in the order of the rows."""
    published = Published.of(shop.store)
    model = embedder.load_shipped(published.model(), None, published.blend)
    assert isinstance(model, BlendOfTokens)
    record = shop.outcome.record("tokenize")
    assert record is not None
    tokens = {
        row["item_id"]: row for row in read_rows(shop.store, "tokens", record.version("tokens"))
    }
    ids = [row["item_id"] for row in shop.rows]
    texts = [
        pa.array([tokens[item][name] for item in ids])
        for name in ("title_tokens", "description_tokens")
    ]
    features = item_features(model, lists_of(*texts))
    return ComparedItems.of(pa.array(ids), to_bytes(shop.vectors()), features, model.letters_from)


def expected(shop: RankedShop, depth: int) -> Ranked:
    """The published table, from brute force over all pairs."""
    ids, items = [row["item_id"] for row in shop.rows], compared(shop)
    nearest = oracle.ranked_neighbors(
        ids, shop.vectors(), depth, everything(shop), shop.oracle_rules((PRICE,))
    )
    lists: Ranked = {}
    for item, best in nearest.items():
        others = pa.array([other for other, _, _ in best])
        own = np.full(len(best), ids.index(item))
        finer = finer_scores(items, own, items.positions(others))
        chosen = [
            (other, score, float(np.float32(value + ranked_by - score)))
            for (other, score, ranked_by), value in zip(best, finer.tolist(), strict=True)
        ]
        lists[item] = sorted(chosen, key=lambda one: (-one[2], one[0]))[:K]
    return lists


def check(found: Ranked, lists: Ranked) -> None:
    assert {item: [one[:2] for one in best] for item, best in found.items()} == {
        item: [one[:2] for one in best] for item, best in lists.items()
    }
    for item, best in lists.items():
        values = [one[2] for one in best]
        assert [one[2] for one in found[item]] == pytest.approx(values, abs=1e-6)


def check_terms(neighbours: Sequence[query.Neighbour | inspect.Neighbour]) -> None:
    """The terms of a rank add up to what the neighbour is ranked by."""
    for one in neighbours:
        assert one.score is not None
        total = one.score + sum(one.boosts.values())
        assert total == pytest.approx(one.ranked_by, abs=2e-6)


def test_candidates_are_ranked_by_their_texts_with_their_boosts(shop: RankedShop) -> None:
    sets = (RERANK, PRICE, *QUANTISED, "neighbors.nprobe=32", "neighbors.max_probes=32")
    shop.run(*sets, "neighbors.partitions=1", last="publish")
    found, lists = shop.ranked(), expected(shop, 2 * K)
    check(found, lists)
    by_cosine = oracle.ranked_neighbors(
        [row["item_id"] for row in shop.rows],
        shop.vectors(),
        K,
        everything(shop),
        shop.oracle_rules((PRICE,)),
    )
    assert {item: {one[0] for one in best} for item, best in found.items()} != {
        item: {one[0] for one in best} for item, best in by_cosine.items()
    }
    # Without Spark the same lists are found, and the terms of a rank add up.
    published = Published.of(shop.store)
    settings = config.load(shop.folder / "nitamono.toml", (), {})
    (batch,) = questions.read(
        shop.folder / "items.csv", settings.catalogue, settings.catalogue.further
    )
    answers = Answerer(published, settings, None).answer(batch)
    assert {
        answer.item_id: [(one.similar_id, one.score, one.ranked_by) for one in answer.neighbours]
        for answer in answers
        if answer.neighbours
    } == found
    inspection = Inspector(VersionTables(published)).inspect("i000", other_id="i001")
    check_terms(inspection.neighbours)
    for answer in answers:
        check_terms(answer.neighbours)
    assert any("rank.rerank" in one.boosts for one in inspection.neighbours)
    # A night and other partitions: the same lists as from nothing.
    shop.rows[7]["title"] = "LT-02X9 別の品"
    shop.write(shop.rows[:-1])
    shop.run(*sets, last="publish")
    night = shop.outcome.record("neighbors")
    assert night is not None
    assert night.outputs["base"], night.outputs["why"]
    updated = shop.ranked()
    check(updated, expected(shop, 2 * K))
    shop.run(*sets, "neighbors.partitions=7", last="publish", full=True)
    assert updated == shop.ranked()
    assert updated != found


def test_vectors_without_statistics_are_refused(shop: RankedShop) -> None:
    with pytest.raises(UsageError, match=r"rank\.rerank compares items by tokens"):
        shop.run(RERANK, 'embed.method="mean"')
