"""What a night costs of a full run: 1% of the items added, 0.5% changed, 0.5% removed.

For each size one store: a first night, a second night built on it, and the second night again with
--full, all in one Spark session that is started before, with one model. Both are timed from ingest
to publish; the two tables must be equal. The catalogues are made up: Japanese titles and texts.
"""

import argparse
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_samples.make_samples import KINDS
from pipeline import config, session
from pipeline.progress import Progress
from pipeline.runner import Outcome, Runner
from pipeline.store import Store
from pipeline.tables import digest

SIZES = (50_000, 200_000, 500_000)
ADDED, CHANGED, REMOVED = 0.01, 0.005, 0.005
DIM = 300
_KANA = "アイウエオカキクケコサシスセソタチツテトナニノハヒフホマミムメモラリルレロワン"
_MAKERS = 20_000


def catalogue(items: int, seed: int) -> dict[str, list[Any]]:
    """Columns of a catalogue of so many items."""
    rng = np.random.default_rng(seed)
    makers = ["".join(rng.choice(list(_KANA), size=size)) for size in rng.integers(3, 7, _MAKERS)]
    popular = 1 / np.arange(1, _MAKERS + 1) ** 0.7
    maker = rng.choice(_MAKERS, size=items, p=popular / popular.sum())
    kind = maker % len(KINDS)
    draws = rng.integers(1 << 30, size=(items, 8)).tolist()
    columns: dict[str, list[Any]] = {"title": [], "description": [], "category": []}
    for of_maker, of_kind, draw in zip(maker.tolist(), kind.tolist(), draws, strict=True):
        a = KINDS[of_kind]
        name, feature, other = (
            words[n % len(words)]
            for words, n in ((a.names, draw[0]), (a.features, draw[1]), (a.features, draw[2]))
        )
        variant = a.variants[draw[3] % len(a.variants)]
        line = makers[(of_maker * 7 + draw[4] % 5) % _MAKERS]
        columns["title"].append(
            f"{makers[of_maker]} {name} {feature} {other} {variant} {line}{draw[5] % 90 + 10}"
        )
        sentences = [a.sentences[(draw[6] + n) % len(a.sentences)] for n in range(2 + draw[7] % 2)]
        columns["description"].append(f"{makers[of_maker]}の{name}。{''.join(sentences)}")
        columns["category"].append(a.category)
    columns["price"] = (rng.integers(5, 500, size=items) * 100).astype(float).tolist()
    columns["item_id"] = [f"{seed}-{n:09d}" for n in range(items)]
    return columns


def second_night(first: dict[str, list[Any]], seed: int) -> dict[str, list[Any]]:
    """The catalogue of the next night."""
    rng = np.random.default_rng(seed)
    items = len(first["item_id"])
    some = rng.permutation(items)
    left = set(some[: round(items * REMOVED)].tolist())
    changed = some[len(left) : len(left) + round(items * CHANGED)]
    other = catalogue(len(changed), seed + 1)
    after = {name: list(values) for name, values in first.items()}
    for place, n in enumerate(changed.tolist()):
        after["title"][n] = other["title"][place]
    stays = [n for n in range(items) if n not in left]
    new = catalogue(round(items * ADDED), seed + 2)
    return {name: [after[name][n] for n in stays] + new[name] for name in first}


def measure(items: int, folder: Path) -> dict[str, Any]:
    """One size."""
    file = folder / "nitamono.toml"
    file.write_text(
        f'[store]\npath = "store"\n[catalogue]\npath = "items.parquet"\n[model]\ndim = {DIM}\n'
        "epoch = 1\nsample_items = 50000\nthreads = 2\n"
    )
    first = catalogue(items, 1)
    second = second_night(first, 2)
    _write(first, folder)
    del first
    _run(file, "first")
    _write(second, folder)
    del second
    night, full = _run(file, "night"), _run(file, "full", full=True)
    store = Store(str(folder / "store"))
    spark, _ = session.start({}, folder / "spark.log")
    tables = [
        digest(store.read(spark, "similar_items", str(outcome.version)))
        for outcome in (night, full)
    ]
    if tables[0] != tables[1]:
        raise SystemExit(f"{items} items: the night's table is not the full run's")
    seconds = [_seconds(outcome) for outcome in (night, full)]
    embedded = night.record("embed")
    assert embedded is not None  # noqa: S101 - the run came to its end
    return {
        "night_seconds": round(sum(seconds[0].values()), 1),
        "full_seconds": round(sum(seconds[1].values()), 1),
        "share": round(sum(seconds[0].values()) / sum(seconds[1].values()), 3),
        "embedded": embedded.counts["embedded"],
        "stages": {name: [seconds[0][name], seconds[1][name]] for name in seconds[0]},
    }


def _write(columns: dict[str, list[Any]], folder: Path) -> None:
    pq.write_table(pa.table(columns), folder / "items.parquet", row_group_size=50_000)


def _run(file: Path, name: str, *, full: bool = False) -> Outcome:
    sets = ("publish.min_recall=0",)
    runner = Runner(config.load(file, sets, {}), name, Progress(io.StringIO()), full=full)
    return runner.run("ingest", "publish")


def _seconds(outcome: Outcome) -> dict[str, float]:
    """Seconds of each stage that was run; the model is that of the first night."""
    return {
        name: round(record.seconds, 1) if record.run_id == outcome.run_id else 0.0
        for name, _, record in outcome.stages
    }


def main() -> None:
    """Run, and print a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="*", default=SIZES, help="catalogues' sizes")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as above:
        spark, _ = session.start({"spark.master": "local[2]"}, Path(above) / "spark.log")
        spark.range(1000).repartition(2).count()
        for items in arguments.items:
            with tempfile.TemporaryDirectory() as folder:
                found[str(items)] = measure(items, Path(folder))
        spark.stop()
    if arguments.json:
        print(json.dumps(found))
        return
    for items, row in found.items():
        print(f"{int(items):>9,} items  {row}")


if __name__ == "__main__":
    main()
