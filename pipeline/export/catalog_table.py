"""The published table as a table of a catalog: of Iceberg, Delta Lake, or plain Parquet files.

A version gets there by one commit. Iceberg and Delta Lake are overwritten in one snapshot, which
carries the version's name; of other tables the location moves to the version's folder in the store.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, StageError, UsageError, cause
from pipeline.export.options import Options
from pipeline.export.source import Source
from pipeline.spark.connectors import table_format
from pipeline.storage.paths import spark_path
from pipeline.store.resolve import resolve
from pipeline.store.schemas import SIMILAR_ITEMS, spark_types
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_FOLDER = "version="
# Iceberg's and Delta Lake's own work on a table's files: it changes no row.
_MAINTENANCE = ("replace", "OPTIMIZE", "VACUUM START", "VACUUM END", "REORG", "SET TBLPROPERTIES")


@dataclass(frozen=True)
class Published:
    """A version of the similar-item table.

    Attributes:
        version: its name.
        run_id: the run that published it.
        recall: its measured recall; None if that is not known.
    """

    version: str
    run_id: str
    recall: float | None

    def properties(self) -> dict[str, str]:
        """What the table's snapshot says of it."""
        recall = "" if self.recall is None else f"{self.recall:.6f}"
        return {
            "nitamono.version": self.version,
            "nitamono.run_id": self.run_id,
            "nitamono.recall": recall,
        }


@dataclass(frozen=True)
class CatalogTable:
    """A table of a catalog that Spark knows.

    Attributes:
        name: CATALOG.SCHEMA.TABLE.
        new_format: the format that it is made with if it is missing; empty: its catalog's own.
    """

    name: str
    new_format: str = ""

    def check(self, spark: "SparkSession") -> None:
        """Check that a version can be written to it.

        Raises:
            UsageError: it has other columns, or is of a kind that can't be written in one commit.
        """
        kind = self._kind(spark)
        if kind is None:
            return
        expected = spark_types(SIMILAR_ITEMS)
        with self._explained("read"):
            present = dict(spark.table(self.name).dtypes)
        names = [*expected, *(name for name in present if name not in expected)]
        differences = [
            f"{name} is {present.get(name, 'missing')}, not {expected.get(name, 'there')}"
            for name in names
            if present.get(name) != expected.get(name)
        ]
        if differences:
            raise UsageError(
                f"table {self.name} has other columns than similar_items: "
                f"{'; '.join(differences)}. Name another table, or drop this one: it is made anew"
            )
        if kind not in ("iceberg", "delta") and self._is_managed(spark):
            raise UsageError(
                f"table {self.name} owns its files ({kind or 'a view'}), so its location can't "
                "move to the store: drop it, and nitamono makes it as an external table of "
                "Parquet files; or use Iceberg or Delta Lake"
            )

    def version(self, spark: "SparkSession") -> str:
        """The version that the table has; empty if it is none of nitamono's."""
        kind = self._kind(spark)
        if kind is None:
            return ""
        with self._explained("read"):
            if kind == "iceberg":
                return self._iceberg_version(spark)
            if kind == "delta":
                return self._delta_version(spark)
            return self._location(spark).rstrip("/").rpartition(f"/{_FOLDER}")[2]

    def write(self, spark: "SparkSession", store: Store, published: Published) -> None:
        """Put a version into the table, by one commit.

        Raises:
            UsageError: as `check`.
            StageError: the commit fails; then the table is as it was.
        """
        self.check(spark)
        kind = self._kind(spark)
        rows = store.read(spark, "similar_items", published.version)
        with self._explained("written"):
            if kind in ("iceberg", "delta"):
                self._writer(rows, kind, published).overwrite(_everything())
            elif kind is not None:
                spark.sql(f"ALTER TABLE {self.name} SET LOCATION '{_folder(store, published)}'")
                spark.catalog.refreshTable(self.name)
            elif self.new_format == "parquet":
                spark.sql(
                    f"CREATE TABLE {self.name} USING parquet LOCATION '{_folder(store, published)}'"
                )
            else:
                writer = self._writer(rows, self.new_format, published)
                (writer.using(self.new_format) if self.new_format else writer).create()

    def _writer(self, rows: "DataFrame", kind: str, published: Published) -> Any:  # noqa: ANN401 - pyspark's DataFrameWriterV2
        writer, properties = rows.writeTo(self.name), published.properties()
        if kind == "delta":
            return writer.option("userMetadata", json.dumps(properties))
        for name, value in properties.items():
            writer = writer.option(f"snapshot-property.{name}", value)
        return writer

    def _kind(self, spark: "SparkSession") -> str | None:
        """iceberg, delta, the format of other tables, or empty for views; None: there is none."""
        with self._explained("read"):
            return table_format(spark, self.name) if spark.catalog.tableExists(self.name) else None

    def _iceberg_version(self, spark: "SparkSession") -> str:
        from pyspark.sql import functions as F

        history = spark.table(f"{self.name}.history").where("is_current_ancestor")
        snapshots = spark.table(f"{self.name}.snapshots").where(
            ~F.col("operation").isin(*_MAINTENANCE)
        )
        newest = (
            history.join(snapshots, "snapshot_id")
            .orderBy(F.col("made_current_at").desc())
            .select("summary")
            .first()
        )
        return str(newest["summary"].get("nitamono.version", "")) if newest is not None else ""

    def _delta_version(self, spark: "SparkSession") -> str:
        from pyspark.sql import functions as F

        history = spark.sql(f"DESCRIBE HISTORY {self.name}")
        changes = history.where(~F.col("operation").isin(*_MAINTENANCE))
        newest = changes.orderBy(F.col("version").desc()).select("userMetadata").first()
        try:
            noted = json.loads((newest and newest["userMetadata"]) or "{}")
        except ValueError:  # another program's
            return ""
        return str(noted.get("nitamono.version", "")) if isinstance(noted, dict) else ""

    def _described(self, spark: "SparkSession", name: str) -> str:
        rows = spark.sql(f"DESCRIBE TABLE EXTENDED {self.name}").collect()
        return next((str(row["data_type"]) for row in rows if row["col_name"] == name), "")

    def _location(self, spark: "SparkSession") -> str:
        return self._described(spark, "Location")

    def _is_managed(self, spark: "SparkSession") -> bool:
        return self._described(spark, "Type") != "EXTERNAL"

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException

        try:
            yield
        except NitamonoError:
            raise
        except (PySparkException, Py4JJavaError) as error:
            raise StageError(
                f"table {self.name} can't be {what}: {cause(error)}; look at the table, at "
                "spark.sql.catalog... in [spark] and at the permissions: docs/lakehouse.md"
            ) from error


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
        UsageError: no table is named, or it has other columns.
        StageError: the commit fails.
    """
    name = config.publish.table if options.table == Options.table else options.table
    if not name:
        raise UsageError("export: --to table takes --table CATALOG.SCHEMA.TABLE")
    table = CatalogTable(name, config.publish.table_format)
    is_there = not options.again and table.version(spark) == source.version
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


def recall_of(store: Store, stages: dict[str, str]) -> float | None:
    """The recall of the neighbours that a version was made of; None if their record is gone."""
    record = store.find_record("neighbors", stages.get("neighbors", ""))
    recall = record.outputs.get("recall") if record is not None else None
    return None if recall is None else float(recall["value"])


def of_config(config: Config) -> CatalogTable | None:
    """The table that a config publishes to; None if it names none."""
    section = config.publish
    return CatalogTable(section.table, section.table_format) if section.table else None


def _everything() -> Any:  # noqa: ANN401 - a Column
    from pyspark.sql import functions as F

    return F.lit(True)


def _folder(store: Store, published: Published) -> str:
    path = store.table_path("similar_items", published.version)
    return spark_path(path, literal=True).replace("'", "\\'")
