"""A driver: a catalogue of 100,000 items in PostgreSQL, read in four tasks, and from a file.

Its arguments are a folder to work in and PostgreSQL's port; its password is in SHOP_PASSWORD. It
prints one JSON object.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.catalogue import open_snapshot, source_of
from pipeline.store.store import Store
from tests.lakehouse.lake import TITLES, Lake

ITEMS = 100_000
DRIVER = "org.postgresql:postgresql:42.7.7"


def main() -> None:
    """Fill the table, and ingest it twice, and once the file."""
    folder, port = Path(sys.argv[1]), sys.argv[2]
    table = pa.table(
        {
            "item_id": list(range(ITEMS)),
            "title": [f"{TITLES[n % 7]} {n}" for n in range(ITEMS)],
        }
    )
    pq.write_table(table, folder / "items.parquet")
    password = os.environ["SHOP_PASSWORD"]
    address = f"host=127.0.0.1 port={port} user=postgres password={password} dbname=postgres"
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE items (item_id bigint PRIMARY KEY, title text)")
        with connection.cursor().copy("COPY items FROM STDIN") as copy:
            for row in zip(*table.to_pydict().values(), strict=True):
                copy.write_row(row)
    options = {
        "url": f"jdbc:postgresql://127.0.0.1:{port}/postgres",
        "dbtable": "items",
        "driver": "org.postgresql.Driver",
        "user": "postgres",
        "password": "${SHOP_PASSWORD}",
        "partitionColumn": "item_id",
        "lowerBound": "0",
        "upperBound": str(ITEMS),
        "numPartitions": "4",
    }
    lake = Lake(folder, packages=DRIVER)
    database = lake.config("database", format="jdbc", options=options)
    files = lake.config("files", path=str(folder / "items.parquet"))
    facts: dict[str, Any] = {}
    for name, config in (("files", files), ("database", database), ("again", database)):
        ((_, status, record),) = lake.run(config, last="ingest", publish=False).stages
        facts[name] = [status, record.tables["items"], record.outputs["content"]]
    snapshot = open_snapshot(lake.spark, source_of(database))
    facts["tasks"] = snapshot.rows.rdd.getNumPartitions()
    written = (path for path in Path(str(Store.of(database).root)).rglob("*") if path.is_file())
    facts["secret"] = [str(path) for path in written if password.encode() in path.read_bytes()]
    print(json.dumps(facts))  # noqa: T201 - for the test


if __name__ == "__main__":
    main()
