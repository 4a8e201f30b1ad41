"""A sample of items with their neighbours, texts and vectors, for the run's page.

The sample is small, whatever the catalogue: it fits into the driver, and the page is made without
Spark. It is drawn by a hash of the id, so that every run over the same items shows the same ones.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.stages.context import Job
from pipeline.stages.publish.sampled_rows import SampledRows
from pipeline.stages.tokenize import token_columns
from pipeline.store.schemas import EXAMPLES, EXPLAINED_EXAMPLES, SHARED_WORDS

TABLE = "examples"
# The columns that are those of `SampledRows.items`.
_TEXTS = ("title", "brand", "image_url")
# The columns that are those of similar_items.
_PAIR = ("similar_id", "score", SHARED_WORDS.name)

_Lists = dict[str, list[dict[str, Any]]]


def write(job: Job, version: str, sampled: SampledRows) -> int:
    """Write the table of examples: items on the map, those shown, and the neighbours of those.

    Args:
        job: the run; all its stages before publish are done.
        version: of the table.
        sampled: the rows of these items.

    Returns:
        the number of rows.
    """
    lists = _neighbor_lists(sampled)
    neighbors = (entry["similar_id"] for entries in lists.values() for entry in entries)
    all_ids = sorted({*sampled.mapped, *sampled.shown, *neighbors})
    places = pc.index_in(pa.array(all_ids, pa.string()), sampled.items["item_id"])
    rows = sampled.items.take(places).to_pylist()
    vectors = {row["item_id"]: row["half"] for row in sampled.vectors.to_pylist()}
    on_map = set(sampled.mapped)
    texts = [*_TEXTS, *token_columns.names(sampled.items.column_names)]
    examples = [
        {
            "item_id": item,
            **{name: row[name] for name in texts},
            "category": row["shown_category"],
            "shown": item in lists,
            "mapped": item in on_map,
            "half": vectors.get(item),
            "neighbors": lists.get(item),
        }
        for item, row in zip(all_ids, rows, strict=True)
    ]
    schema = EXPLAINED_EXAMPLES if job.config.publish.reasons else EXAMPLES
    fields = [pa.field(name, pa.string()) for name in texts if name not in schema.names]
    schema = pa.schema([*schema, *fields])
    return job.store.write_table(pa.Table.from_pylist(examples, schema), TABLE, version)


def _neighbor_lists(sampled: SampledRows) -> _Lists:
    """The first neighbours of the items shown, best first."""
    best: _Lists = {item: [] for item in sampled.shown}
    for row in sampled.shown_pairs.sort_by("rank").to_pylist():
        best[row["item_id"]].append({name: row[name] for name in _PAIR if name in row})
    return best
