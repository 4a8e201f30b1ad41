import numpy as np
import pyarrow as pa
import pytest

from pipeline.config.sections import RankSection
from pipeline.evaluation.methods import Dense
from pipeline.evaluation.reranked import Reranked
from pipeline.retrieval.vectors import to_bytes
from tests.pipeline.retrieval.test_reranking import Shop


def test_the_best_by_the_vectors_come_in_the_order_of_the_finer_score() -> None:
    shop = Shop(40)
    halves = to_bytes(shop.vectors).to_pylist()
    # Items without a vector find nothing and are found by nobody.
    missing = {6, 9}
    dense = Dense(pa.array([None if n in missing else one for n, one in enumerate(halves)],
                           pa.binary()))  # fmt: skip
    method = Reranked(dense, shop.items(), RankSection(rerank=True, depth=8))
    candidates, found = dense.nearest(8), method.nearest(3)
    for n, row in enumerate(candidates.tolist()):
        scores = {other: np.float32(shop.score(n, other)) for other in row if other >= 0}
        best = sorted(scores, key=lambda other: (-scores[other], other))[:3]
        assert found[n].tolist() == best + [-1] * (3 - len(best))
    left, right = np.array([1, 6, 2]), np.array([2, 1, 9])
    assert method.cosines(left, right) == pytest.approx([shop.score(1, 2), -1, -1], abs=1e-6)
    # More than there are.
    few = Reranked(dense, shop.items(), RankSection(rerank=True)).nearest(30)
    assert few.shape == (40, 30)
