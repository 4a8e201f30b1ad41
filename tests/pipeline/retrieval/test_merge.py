import numpy as np
import pyarrow as pa

from pipeline.retrieval import packed_batches
from pipeline.retrieval.join import GROUP_CANDIDATES, pack_candidates
from pipeline.retrieval.merge import MergeSettings, merge
from pipeline.retrieval.rules import NO_RULES


def test_the_merge_keeps_the_best_of_all_rows_of_a_query_ties_by_id() -> None:
    rng = np.random.default_rng(1)
    all_candidates: dict[str, list[tuple[float, str]]] = {}
    rows = []
    for number in range(400):
        item = f"品{rng.integers(90)}"
        candidates = [
            (
                float(np.float32(-rng.integers(-3, 4) / 4)),
                f"{number}-{n}あ" if n % 2 else f"{n}.{number}",
            )
            for n in range(rng.integers(1, 9))
        ]
        all_candidates.setdefault(item, []).extend(candidates)
        rows.append(
            {
                "item_id": item,
                "similar_ids": [other for _, other in candidates],
                "scores": [-key for key, _ in candidates],
                "list": len(item) + int(item[1:]) % 7,
                "part": 0,
            }
        )
    table = pa.Table.from_pylist(rows, schema=GROUP_CANDIDATES)
    packed = [
        batch
        for rows in table.to_batches(max_chunksize=37)
        for batch in pack_candidates(iter([rows]))
    ]
    merged = {
        row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"]]
        for batch in merge(iter(packed), MergeSettings(5, 3, NO_RULES))
        for row in batch.to_pylist()
    }
    assert merged == {
        item: [(other, -key) for key, other in sorted(candidates)[:5]]
        for item, candidates in all_candidates.items()
    }


def test_merging_nothing_gives_nothing() -> None:
    empty = packed_batches.SCHEMA.empty_table().to_batches()
    assert list(merge(iter(empty), MergeSettings(5, 3, NO_RULES))) == []
