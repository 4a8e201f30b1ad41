"""Export to a table of a catalog: any version, in one commit."""

from typing import TYPE_CHECKING, Any

from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.export.catalog_table import CatalogTable, Published, recall_of
from pipeline.export.options import Options
from pipeline.export.source import Source
from pipeline.store.resolve import resolve
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def export(
    store: Store, config: Config, source: Source, options: Options, spark: "SparkSession"
) -> dict[str, Any]:
    """Export a version to the table of a catalog.

    Args:
        store: where the version is.
        config: its publish.table is the table that is meant if the options name none.
        source: the version.
        options: the table, and whether one that has the version already is written anew.
        spark: the session.

    Returns:
        fields of the verb's result.

    Raises:
        UsageError: no table is named, it has other columns, or it may only have what is published.
        StageError: the commit fails.
    """
    name = options.table or config.publish.table
    if not name:
        raise UsageError("export: --to table takes --table CATALOG.SCHEMA.TABLE")
    table, latest = CatalogTable(name, config.publish.table_format), store.latest()
    if latest is None or latest["version"] != source.version:
        if name == config.publish.table:
            raise UsageError(
                f"export: {name} is publish.table, which has what is published; nitamono rollback "
                "publishes another version, there too"
            )
        if table.shares_files(spark):
            raise UsageError(
                f"export: {name} is a table of Parquet files, which shows the store's own; gc "
                "deletes those of a version that is not published. Export LATEST, or use Iceberg "
                "or Delta Lake"
            )
    is_there = not options.again and table.has(spark, store, source.version)
    if not is_there:
        recall = recall_of(store, resolve(store, source.version).stages)
        table.write(spark, store, Published(source.version, source.run_id, recall))
    files = len(source.files)
    return {
        "table": name,
        "done": "already" if is_there else "exported",
        "checked": "in one commit",
        "files": files,
        "files_copied": files,
    }
