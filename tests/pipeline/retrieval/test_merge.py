import numpy as np
import pyarrow as pa

from pipeline.retrieval import packed_batches
from pipeline.retrieval.join import FOUND, pack_candidates
from pipeline.retrieval.merge import MergeSettings, merge
from pipeline.retrieval.rules import NO_RULES


def test_the_merge_keeps_the_best_of_all_rows_of_a_query_ties_by_id() -> None:
    rng = np.random.default_rng(1)
    everything: dict[str, list[tuple[float, str]]] = {}
    rows = []
    for number in range(400):
        item = f"品{rng.integers(90)}"
        found = [
            (
                float(np.float32(-rng.integers(-3, 4) / 4)),
                f"{number}-{n}あ" if n % 2 else f"{n}.{number}",
            )
            for n in range(rng.integers(1, 9))
        ]
        everything.setdefault(item, []).extend(found)
        rows.append(
            {
                "item_id": item,
                "similar_ids": [other for _, other in found],
                "scores": [-key for key, _ in found],
                "list": len(item) + int(item[1:]) % 7,
                "part": 0,
            }
        )
    table = pa.Table.from_pylist(rows, schema=FOUND)
    sent = [
        batch
        for some in table.to_batches(max_chunksize=37)
        for batch in pack_candidates(iter([some]))
    ]
    merged = {
        row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"]]
        for batch in merge(iter(sent), MergeSettings(5, 3, NO_RULES))
        for row in batch.to_pylist()
    }
    assert merged == {
        item: [(other, -key) for key, other in sorted(found)[:5]]
        for item, found in everything.items()
    }


def test_nothing_merged_is_nothing() -> None:
    nothing = packed_batches.SCHEMA.empty_table().to_batches()
    assert list(merge(iter(nothing), MergeSettings(5, 3, NO_RULES))) == []
