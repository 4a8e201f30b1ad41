"""What `nitamono query` takes: one process for one text, and a thousand texts in one file.

A store of so many items is made once, in a folder that stays: Japanese titles without
descriptions, those of nightly.py, the pipeline's defaults but for a model that is trained briefly.
The queries are titles that were left out of the catalogue, drawn from the same sources.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.nightly import catalogue

ITEMS, QUERIES = 1_000_000, 1_000
_PART = 100_000
_CONFIG = (
    '[store]\npath = "store"\n[catalogue]\npath = "items"\n'
    "[model]\nepoch = 1\nsample_items = 50000\nthreads = 2\n"
    '[spark]\nmaster = "local[2]"\n'
)


def make(folder: Path, items: int) -> None:
    """Write a catalogue, the titles that are left out of it, and a config."""
    (folder / "items").mkdir(parents=True)
    left: list[pa.Table] = []
    asked = QUERIES * min(_PART, items) // items
    for seed in range(-(-items // _PART)):
        size = min(_PART, items - seed * _PART)
        columns = catalogue(size + asked, seed)
        rows = pa.table({name: columns[name] for name in ("item_id", "title", "category", "price")})
        # Spread over the part: its makers are drawn in no order.
        pq.write_table(rows.slice(asked), folder / "items" / f"{seed:04d}.parquet")
        left.append(rows.slice(0, asked))
    pq.write_table(pa.concat_tables(left).select(["item_id", "title"]), folder / "queries.parquet")
    (folder / "nitamono.toml").write_text(_CONFIG)
