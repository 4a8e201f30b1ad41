"""The cost of an incremental run as a share of a full run: 1% added, 0.5% changed, 0.5% removed.

For each size there is one store: a first run; then a second run that is built on it, and the same
with --full in a copy of the store. All are in one Spark session that is started before, with one
model. Both are timed from ingest to the moved pointer, the gate included; the two tables must be
equal. With --nights N there are N nights, each built on the one before; the last one is compared
with a full run, and the bytes of all are given.

The catalogues are generated: Japanese titles of about 38 characters and descriptions of about 250,
as long as those of shops: the answers of Rakuten's API that are fixtures of
github.com/rakuten-ws/rws-ruby-sdk have titles of 29 characters in the mean, and descriptions of 422
for 64% of the items.
"""

import argparse
import io
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_samples.make_samples import KINDS
from pipeline.config import reading as config
from pipeline.runs.record import Outcome
from pipeline.runs.runner import Runner
from pipeline.spark import session
from pipeline.spark.log import SparkLog
from pipeline.stages.job_session import with_daemon
from pipeline.store.schemas import digest
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

SIZES = (50_000, 200_000, 500_000)
ADDED, CHANGED, REMOVED = 0.01, 0.005, 0.005
DIM = 300
_KANA = "アイウエオカキクケコサシスセソタチツテトナニノハヒフホマミムメモラリルレロワン"
_MAKERS = 20_000
# Sentences that suit any item: a name, a feature, numbers.
_SENTENCES = (
    "{maker}の{name}は、{feature}を求める方に長く選ばれている定番の商品です。",
    "サイズは約{a}×{b}cm、重さは約{c}0gで、一人でも持ち運びやすくなっています。",
    "{feature}と{other}の両方を備え、毎日の暮らしの中で気軽に使えます。",
    "お届けは通常{d}日以内、北海道と沖縄へは別途送料がかかります。",
    "贈り物用の包装にも対応していますので、備考欄にご記入ください。",
    "色味は画面の環境によって実物と異なって見えることがあります。",
    "前の型の{line}{e}から改良し、{other}がさらに使いやすくなりました。",
    "保証期間はご購入から{d}か月です。説明書は日本語で付いています。",
    "{name}をはじめて選ぶ方にも、買い替えの方にもおすすめします。",
    "店長の一言：{feature}にこだわって{maker}が仕上げた自信作です。",
)
_WRITTEN = 6


def catalogue(items: int, seed: int) -> dict[str, list[Any]]:
    """The columns of a catalogue with this many items."""
    rng = np.random.default_rng(seed)
    makers = ["".join(rng.choice(list(_KANA), size=size)) for size in rng.integers(3, 7, _MAKERS)]
    popular = 1 / np.arange(1, _MAKERS + 1) ** 0.7
    maker = rng.choice(_MAKERS, size=items, p=popular / popular.sum())
    kind = maker % len(KINDS)
    draws = rng.integers(1 << 30, size=(items, 14)).tolist()
    columns: dict[str, list[Any]] = {"title": [], "description": [], "category": []}
    for of_maker, of_kind, draw in zip(maker.tolist(), kind.tolist(), draws, strict=True):
        kind_words = KINDS[of_kind]
        name, feature, other = (
            words[n % len(words)]
            for words, n in (
                (kind_words.names, draw[0]),
                (kind_words.features, draw[1]),
                (kind_words.features, draw[2]),
            )
        )
        variant = kind_words.variants[draw[3] % len(kind_words.variants)]
        line = makers[(of_maker * 7 + draw[4] % 5) % _MAKERS]
        columns["title"].append(
            f"{makers[of_maker]} {name} {feature} {other} {variant} {line}{draw[5] % 90 + 10}"
        )
        sentences = [
            kind_words.sentences[(draw[6] + n) % len(kind_words.sentences)]
            for n in range(2 + draw[7] % 2)
        ]
        numbers = {key: draw[8 + n] % 90 + 1 for n, key in enumerate("abcde")}
        words = {"maker": makers[of_maker], "name": name, "feature": feature, "other": other}
        sentences += [
            _SENTENCES[(draw[13] + n) % len(_SENTENCES)].format(line=line, **words, **numbers)
            for n in range(_WRITTEN)
        ]
        columns["description"].append("".join(sentences))
        columns["category"].append(kind_words.category)
    columns["price"] = (rng.integers(5, 500, size=items) * 100).astype(float).tolist()
    columns["item_id"] = [f"{seed}-{n:09d}" for n in range(items)]
    return columns


def second_night(first: dict[str, list[Any]], seed: int) -> dict[str, list[Any]]:
    """The catalogue of the next night."""
    rng = np.random.default_rng(seed)
    items = len(first["item_id"])
    shuffled = rng.permutation(items)
    left = set(shuffled[: round(items * REMOVED)].tolist())
    changed = shuffled[len(left) : len(left) + round(items * CHANGED)]
    other = catalogue(len(changed), seed + 1)
    after = {name: list(values) for name, values in first.items()}
    for place, n in enumerate(changed.tolist()):
        after["title"][n] = other["title"][place]
    stays = [n for n in range(items) if n not in left]
    new = catalogue(round(items * ADDED), seed + 2)
    return {name: [after[name][n] for n in stays] + new[name] for name in first}


def measure(items: int, folder: Path, nights: int = 1) -> dict[str, Any]:
    """Measure one size."""
    file = folder / "nitamono.toml"
    file.write_text(
        f'[store]\npath = "store"\n[catalogue]\npath = "items.parquet"\n[model]\ndim = {DIM}\n'
        "epoch = 1\nsample_items = 50000\nthreads = 2\n"
    )
    columns, store, copy = catalogue(items, 1), folder / "store", folder / "copy"
    _write(columns, folder)
    _run(file, "first", store)
    night, night_seconds, written = None, 0.0, []
    for number in range(nights):
        columns = second_night(columns, 2 + 3 * number)
        _write(columns, folder)
        if number == nights - 1:
            shutil.copytree(store, copy)
        before = _bytes(store)
        night, night_seconds = _run(file, f"night{number + 1}", store)
        written.append(_new_bytes(before, _bytes(store)))
    assert night is not None  # noqa: S101 - there is a night
    del columns
    before = _bytes(copy)
    full, full_seconds = _run(file, "full", copy, full=True)
    full_written = _new_bytes(before, _bytes(copy))
    spark, _ = session.start({}, SparkLog(folder / "spark.log"))
    tables = [
        digest(Store(str(place)).read(spark, "similar_items", str(outcome.version)))
        for place, outcome in ((store, night), (copy, full))
    ]
    if tables[0] != tables[1]:
        raise SystemExit(f"{items} items: the night's table is not the full run's")
    seconds = [_seconds(night, night_seconds), _seconds(full, full_seconds)]
    embedded = night.record("embed")
    assert embedded is not None  # noqa: S101 - the run came to its end
    totals = [_total(each) for each in (*written, full_written)]
    return {
        "night_seconds": round(night_seconds, 1),
        "full_seconds": round(full_seconds, 1),
        "share": round(night_seconds / full_seconds, 3),
        "embedded": embedded.counts["embedded"],
        "stages": {name: [seconds[0][name], seconds[1][name]] for name in seconds[0]},
        "written": {
            "night": written[-1],
            "full": full_written,
            "shares": [round(total / totals[-1], 4) for total in totals[:-1]],
            "mean_share": round(sum(totals[:-1]) / len(written) / totals[-1], 4),
        },
    }


def _bytes(store: Path) -> dict[str, dict[str, int]]:
    """The bytes of each version's folder, by table."""
    return {
        table.name: {
            version.name: sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
            for version in table.glob("version=*")
        }
        for table in (store / "tables").iterdir()
    }


def _new_bytes(
    before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]
) -> dict[str, int]:
    """The bytes of the versions that a run has written, by table."""
    written = {
        table: sum(size for name, size in of_table.items() if name not in before.get(table, {}))
        for table, of_table in after.items()
    }
    return {table: size for table, size in sorted(written.items()) if size}


def _total(written: dict[str, int]) -> int:
    """All that was written, the published table apart."""
    return sum(size for table, size in written.items() if table != "similar_items")


def _write(columns: dict[str, list[Any]], folder: Path) -> None:
    pq.write_table(pa.table(columns), folder / "items.parquet", row_group_size=50_000)


def _run(file: Path, name: str, store: Path, *, full: bool = False) -> tuple[Outcome, float]:
    sets = (f"store.path={store}", "publish.min_recall=0")
    runner = Runner(config.load(file, sets, {}), name, Progress(io.StringIO()), full=full)
    started = time.monotonic()
    outcome = runner.run("ingest", "publish")
    return outcome, time.monotonic() - started


def _seconds(outcome: Outcome, total: float) -> dict[str, float]:
    """Seconds of each stage that was run, and of all else; the model is the first night's."""
    stages = {
        name: round(record.seconds, 1) if record.run_id == outcome.run_id else 0.0
        for name, _, record in outcome.stages
    }
    return stages | {"gate": round(total - sum(stages.values()), 1)}


def main() -> None:
    """Run, and print a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="*", default=SIZES, help="catalogues' sizes")
    parser.add_argument("--nights", type=int, default=1, help="nights, one built on the other")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as above:
        settings = with_daemon({"spark.master": "local[2]"})
        spark, _ = session.start(settings, SparkLog(Path(above) / "spark.log"))
        spark.range(1000).repartition(2).count()
        for items in arguments.items:
            with tempfile.TemporaryDirectory() as folder:
                results[str(items)] = measure(items, Path(folder), arguments.nights)
        spark.stop()
    if arguments.json:
        print(json.dumps(results))
        return
    for items, row in results.items():
        print(f"{int(items):>9,} items  {row}")


if __name__ == "__main__":
    main()
