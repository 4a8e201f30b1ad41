"""A driver: nights that are published to a table, one of them killed, and a rollback.

Its arguments are a folder to work in, the table, its format, and what to do: `nights` publishes
three nights and rolls one back; `killed STEP ITEMS` publishes another night and is killed at a
step: `commit`, before the table has it; `pointer`, before LATEST names it; `note`, after that;
`mend` publishes what the catalogue is now. It prints one JSON object.
"""

import csv
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pipeline.config.sections import Config
from pipeline.export import catalog_publication
from pipeline.export.catalog_table import CatalogTable, of_config
from pipeline.store import lock, publications
from pipeline.store.store import Store
from tests.lakehouse.lake import Lake, titles


def write_catalogue(folder: Path, items: int) -> None:
    """A catalogue of so many items."""
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("item_id", "title"), *titles(items)])


def state(lake: Lake, config: Config) -> dict[str, Any]:
    """The version of the store, whether the table has it, and whether the rows are the same."""
    table, store = of_config(config), Store.of(config)
    assert table is not None
    latest = store.latest()
    # This session may have read the table when its location was another.
    lake.spark.catalog.refreshTable(table.name)
    rows = lake.spark.table(table.name).orderBy("item_id", "rank").collect()
    return {
        "latest": latest and latest["version"],
        "table": latest is not None and table.has(lake.spark, store, latest["version"]),
        "same": [list(row) for row in rows] == lake.rows(config),
        "rows": len(rows),
        "note": (Path(str(store.root)) / "publications" / "pending.json").exists(),
    }


def die(*_: object, **__: object) -> NoReturn:
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def after(act: Callable[..., Any]) -> Callable[..., Any]:
    """The same, and then the end."""

    def acting(*arguments: Any, **names: Any) -> NoReturn:
        act(*arguments, **names)
        die()

    return acting


def arm(step: str) -> None:
    """Be killed at a step of the publication."""
    if step == "commit":
        CatalogTable.write = die  # type: ignore[method-assign]
    elif step == "pointer":
        CatalogTable.write = after(CatalogTable.write)  # type: ignore[method-assign]
    else:
        publications.publish = after(publications.publish)


def main() -> None:
    """Do what the arguments say."""
    folder, table, kind, *what = sys.argv[1:]
    lake = Lake(Path(folder))
    publish = {"table": table, "table_format": kind}
    config = lake.config(f"store-{table}", publish=publish, path=f"{folder}/items.csv")
    facts: list[dict[str, Any]] = []
    if what[0] == "nights":
        for items in (20, 30, 40):
            write_catalogue(lake.folder, items)
            lake.run(config)
            facts.append(state(lake, config))
        store, target = Store.of(config), of_config(config)
        assert target is not None
        with lock.hold_store(store, "the test"):
            catalog_publication.rollback_both(store, target, lake.spark, None)
    elif what[0] == "killed":
        write_catalogue(lake.folder, int(what[2]))
        arm(what[1])
        lake.run(config)
    else:
        lake.run(config)
    facts.append(state(lake, config))
    print(json.dumps({"states": facts}))  # noqa: T201 - for the test


if __name__ == "__main__":
    main()
