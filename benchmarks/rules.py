"""What rules, boosts, edits and what fills lists cost: seconds of a stage with each, beside none.

One catalogue of made-up titles (nightly.py's) with 100,000 brands, sellers, groups, sales and dates
is read, embedded and put into lists once; then the stage neighbors is run with each rule alone, and
with all boosts, and with everything together. The first line is the stage without any; it is run
once more at the end. Then the stage publish is run with what only that stage does.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import nightly
from pipeline.config import reading as config
from pipeline.runs.runner import Runner
from pipeline.spark import session
from pipeline.spark.log import SparkLog
from pipeline.stages.job_session import with_daemon
from pipeline.terminal.progress import Progress

ITEMS, BRANDS, DENIED_PAIRS = 200_000, 100_000, 1_000_000
_TOML = """\
[store]
path = "store"
[catalogue]
path = "items.parquet"
columns = { seller = "seller", sold = "sold", released = "released" }
types = { sold = "number", released = "date" }
[model]
dim = 100
epoch = 1
sample_items = 50000
threads = 2
"""
RULES: dict[str, tuple[str, ...]] = {
    "eligible": ("rules.eligible=stock > 0",),
    "same category": ("rules.same=['category']",),
    "differ seller": ("rules.differ=['seller']",),
    "collapse": ("rules.collapse=group_id",),
    "max_per brand": ("rules.max_per={brand = 2}",),
    "price_ratio": ("rules.price_ratio=[0.5, 2.0]",),
    "max_score": ("rules.max_score=0.98",),
    "deny pairs": ("rules.deny=FOLDER/deny.parquet",),
}
BOOSTS: dict[str, tuple[str, ...]] = {
    "rank.same": ("rank.same={category = 0.05, brand = 0.02}",),
    "rank.price": ("rank.price={weight = 0.1}",),
    "rank.value": ("rank.value={sold = 0.1}",),
    "rank.fresh": ('rank.fresh={column = "released", weight = 0.05, date = "2026-06-01"}',),
    "rank.exposure": ("rank.exposure=0.25",),
    "rank.diversity": ("rank.diversity=0.3",),
}
# No part of everything.
RERANKING: dict[str, tuple[str, ...]] = {"rank.rerank": ("rank.rerank=true",)}
EDITS: dict[str, tuple[str, ...]] = {
    "edits by ids": ("edits.path=FOLDER/by_ids.parquet",),
    "edits by conditions": ("edits.path=FOLDER/by_conditions.parquet",),
    "pins": ("edits.path=FOLDER/pins.parquet",),
}
# What publish does beside writing the table; the rule leaves lists short.
PUBLISHED: dict[str, tuple[str, ...]] = {
    "publish": ("rules.min_score=0.9",),
    "fallback": ("rules.min_score=0.9", "fallback.order=['same category by sold', 'by sold']"),
    "publish.reasons": ("rules.min_score=0.9", "publish.reasons=true"),
}


def edits(items: int, ids: "np.ndarray[Any, Any]") -> dict[str, list[dict[str, Any]]]:
    """Tables of edits, by the names of their files."""
    rng = np.random.default_rng(5)

    def by_ids(count: int, action: str, value: str) -> list[dict[str, Any]]:
        pairs = ids[rng.integers(items, size=(count, 2))].tolist()
        return [
            {"item_id": a, "similar_id": b, "action": action, "value": value}
            for a, b in pairs
            if a != b
        ]

    conditions = [
        {"item_where": f"seller = 's{n}'", "similar_where": f"stock = {n % 4}", "action": "boost",
         "value": "0.1"}
        for n in range(20)
    ]  # fmt: skip
    everybody = {"similar_id": str(ids[0]), "action": "pin", "value": "10"}
    return {
        "by_ids": by_ids(items, "boost", "0.2") + by_ids(items, "deny", ""),
        "by_conditions": conditions
        + [
            {"similar_where": f"brand = 'b{n}'", "action": "bury", "value": "0.1"}
            for n in range(20)
        ],
        "pins": [*by_ids(items // 20, "pin", "1"), everybody],
    }


def catalogue(items: int) -> dict[str, Any]:
    """The columns of a catalogue with this many items."""
    rng = np.random.default_rng(3)
    columns = nightly.catalogue(items, 1)
    del columns["description"]
    brands = np.minimum(rng.zipf(1.3, items), BRANDS)
    day = date(2026, 6, 1)
    return columns | {
        "brand": [f"b{n}" for n in brands.tolist()],
        "seller": [f"s{n}" for n in rng.integers(5_000, size=items).tolist()],
        "group_id": [f"g{n}" for n in rng.integers(items // 3, size=items).tolist()],
        "stock": rng.integers(4, size=items).astype(float),
        "sold": np.floor(rng.pareto(1.0, items)),
        "released": [day - timedelta(days=n) for n in rng.integers(900, size=items).tolist()],
    }


def measure(items: int, folder: Path, only: Sequence[str] = ()) -> dict[str, float]:
    """Seconds of the stage with each rule, neighbors or publish.

    Args:
        items: the catalogue's size.
        folder: a folder to work in.
        only: the names of what is measured; none for all.
    """
    file = folder / "nitamono.toml"
    file.write_text(_TOML)
    columns = catalogue(items)
    pq.write_table(pa.table(columns), folder / "items.parquet", row_group_size=50_000)
    rng, ids = np.random.default_rng(4), np.array(columns["item_id"])
    pairs = ids[rng.integers(items, size=(2, DENIED_PAIRS * items // ITEMS))]
    denied = pa.table({"item_id": pairs[0], "similar_id": pairs[1]})
    pq.write_table(denied, folder / "deny.parquet")
    for name, rows in edits(items, ids).items():
        columns_of_edits = (
            "item_id",
            "item_where",
            "similar_id",
            "similar_where",
            "action",
            "value",
        )
        schema = pa.schema([(column, pa.string()) for column in columns_of_edits])
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"{name}.parquet")

    def run(number: int, last: str, sets: tuple[str, ...]) -> float:
        sets = tuple(text.replace("FOLDER", str(folder)) for text in sets)
        settings = config.load(file, sets, {})
        runner = Runner(settings, f"run{number}", Progress(io.StringIO()), publishing=False)
        record = runner.run("ingest", last).record(last)
        assert record is not None  # noqa: S101 - the run came to its end
        return round(record.seconds, 1)

    run(0, "index", ())
    all_boosts = tuple(text for sets in BOOSTS.values() for text in sets)
    everything = tuple(text for sets in RULES.values() for text in sets) + all_boosts
    chosen: Mapping[str, tuple[str, ...]] = {
        "none": (),
        **RULES,
        **BOOSTS,
        "all boosts": all_boosts,
        **RERANKING,
        **EDITS,
        "everything": everything + EDITS["edits by ids"],
        "none again": ("neighbors.recall_sample=999",),
        **PUBLISHED,
    }
    return {
        name: run(number, "publish" if name in PUBLISHED else "neighbors", sets)
        for number, (name, sets) in enumerate(chosen.items(), 1)
        if not only or name in ("none", "none again", "publish", *only)
    }


def main() -> None:
    """Run, and print a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=ITEMS, help="the catalogue's size")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    parser.add_argument("--only", nargs="*", default=[], help="the names of what is measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = with_daemon({"spark.master": "local[2]"})
        spark, _ = session.start(settings, SparkLog(folder / "spark.log"))
        spark.range(1000).repartition(2).count()
        seconds = measure(arguments.items, folder, arguments.only)
        spark.stop()
    least = min(seconds["none"], seconds["none again"])
    if arguments.json:
        print(json.dumps({"items": arguments.items, "seconds": seconds}))
        return
    for name, value in seconds.items():
        times = value / (seconds["publish"] if name in PUBLISHED else least)
        print(f"{name:<20}{value:>8.1f} s {times:>6.2f}")


if __name__ == "__main__":
    main()
