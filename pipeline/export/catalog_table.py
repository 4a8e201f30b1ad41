"""The published table as a table of a catalog: of Iceberg, Delta Lake, or plain Parquet files.

A version gets there by one commit. Iceberg and Delta Lake are overwritten in one snapshot, which
carries the version's name; of a Parquet table the location moves to the version's folder.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, StageError, UsageError, cause
from pipeline.spark.connectors import described
from pipeline.storage.paths import spark_path
from pipeline.store.schemas import SIMILAR_ITEMS, spark_types
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SNAPSHOTS = ("iceberg", "delta")
# Iceberg's and Delta Lake's own work on a table's files: it changes no row.
_MAINTENANCE = ("replace", "OPTIMIZE", "VACUUM START", "VACUUM END", "REORG", "SET TBLPROPERTIES")
_PART = re.compile(r"`(?:[^`]|``)+`|[^.`]+")
_SESSION_CATALOG = "spark_catalog"
_DELTA_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_DELTA_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"


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
            UsageError: it has other columns, it is of a kind that can't be written in one commit,
                or it is missing and can't be made like this.
            StageError: the catalog can't be read.
        """
        with self._explained("read"):
            kind = self._kind(spark)
            if kind is None:
                self._check_new(spark)
                return
            present = dict(spark.table(self.name).dtypes)
            expected = spark_types(SIMILAR_ITEMS)
            names = [*expected, *(name for name in present if name not in expected)]
            differences = [
                f"{name} is {present.get(name, 'missing')}, not {expected.get(name, 'there')}"
                for name in names
                if present.get(name) != expected.get(name)
            ]
            if differences:
                raise UsageError(
                    f"table {self.name} has other columns than similar_items: "
                    f"{'; '.join(differences)}. Name another table, or drop this one: it is made "
                    "anew"
                )
            if kind not in _SNAPSHOTS and (why := _why_not_moved(described(spark, self.name))):
                raise UsageError(
                    f"table {self.name} {why}, so its location can't move to the store: drop it, "
                    'and set publish.table_format = "parquet", which makes an external table of '
                    "Parquet files; or use Iceberg or Delta Lake"
                )

    def has(self, spark: "SparkSession", store: Store, version: str) -> bool:
        """Whether the table has this version."""
        with self._explained("read"):
            kind = self._kind(spark)
            if kind == "iceberg":
                return self._iceberg_version(spark) == version
            if kind == "delta":
                return self._delta_version(spark) == version
            location = described(spark, self.name).get("Location", "") if kind else ""
            return _plain(location) == _plain(_folder(store, version))

    def write(self, spark: "SparkSession", store: Store, published: Published) -> None:
        """Put a version into the table, by one commit.

        Raises:
            UsageError: as `check`.
            StageError: the commit fails; then the table is as it was.
        """
        self.check(spark)
        folder = _folder(store, published.version).replace("'", "\\'")
        # What the rank follows beside the score stays in the store.
        rows = store.read(spark, "similar_items", published.version).select(*SIMILAR_ITEMS.names)
        with self._explained("written"), _delta_metadata(spark, published):
            kind = self._kind(spark)
            if kind in _SNAPSHOTS:
                self._writer(rows, published).overwrite(_everything())
            elif kind is not None:
                spark.sql(f"ALTER TABLE {self.name} SET LOCATION '{folder}'")
                spark.catalog.refreshTable(self.name)
            elif self.new_format == "parquet":
                spark.sql(f"CREATE TABLE {self.name} USING parquet LOCATION '{folder}'")
            else:
                writer = self._writer(rows, published)
                (writer.using(self.new_format) if self.new_format else writer).create()

    def shares_files(self, spark: "SparkSession") -> bool:
        """Whether the table shows the store's own files, which gc may delete."""
        with self._explained("read"):
            kind = self._kind(spark)
        return self.new_format == "parquet" if kind is None else kind not in _SNAPSHOTS

    def _check_new(self, spark: "SparkSession") -> None:
        """Check that the table, which is missing, can be made.

        Raises:
            UsageError: it can't.
        """
        parts = _PART.findall(self.name)
        is_sparks = len(parts) < 3 or parts[0] == _SESSION_CATALOG
        if not is_sparks:
            if self.new_format == "parquet":
                raise UsageError(
                    f"publish.table_format is parquet, and {self.name} is in a catalog of its own "
                    "kind; leave the format out, or name a table of spark_catalog"
                )
            return
        catalog = spark.conf.get(f"spark.sql.catalog.{_SESSION_CATALOG}", "")
        implementation = spark.conf.get("spark.sql.catalogImplementation", "")
        if catalog in ("", _DELTA_CATALOG) and implementation == "in-memory":
            raise UsageError(
                f"publish.table {self.name}: Spark's own catalog forgets its tables when the run "
                "ends; give it a metastore (docs/lakehouse.md), or name a table of another catalog"
            )
        if not self.new_format:
            raise UsageError(
                f"table {self.name} is missing; say of what format it is made: publish.table_format"
            )
        schema = ".".join(parts[:-1]) or "default"
        if not spark.catalog.databaseExists(schema):
            raise UsageError(
                f"publish.table {self.name}: there is no schema {schema}; CREATE SCHEMA makes one"
            )

    def _writer(self, rows: "DataFrame", published: Published) -> Any:  # noqa: ANN401 - pyspark's DataFrameWriterV2
        writer = rows.writeTo(self.name)
        for name, value in published.properties().items():
            writer = writer.option(f"snapshot-property.{name}", value)
        return writer

    def _kind(self, spark: "SparkSession") -> str | None:
        """iceberg, delta, the format of other tables, or empty for views; None: there is none."""
        if not spark.catalog.tableExists(self.name):
            return None
        return described(spark, self.name).get("Provider", "").lower()

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


@contextmanager
def _delta_metadata(spark: "SparkSession", published: Published) -> Iterator[None]:
    """Let Delta Lake's commits note a version, those that make a table too."""
    spark.conf.set(_DELTA_METADATA, json.dumps(published.properties()))
    try:
        yield
    finally:
        spark.conf.unset(_DELTA_METADATA)


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


def _why_not_moved(description: dict[str, str]) -> str:
    """Why the location of a table can't move to a folder of Parquet files; empty if it can."""
    provider = description.get("Provider", "").lower()
    if description.get("Type") == "VIEW":
        return "is a view"
    if provider != "parquet" and "parquet" not in description.get("Serde Library", "").lower():
        return f"is of {provider or 'an unknown format'}, not of Parquet files"
    if "# Partition Information" in description:
        return "has partitions, each with a location of its own"
    return "" if description.get("Type") == "EXTERNAL" else "owns its files"


def _folder(store: Store, version: str) -> str:
    return spark_path(store.table_path("similar_items", version), literal=True)


def _plain(address: str) -> str:
    """An address of a folder in one form: Hadoop writes file:/a, file:///a and a/."""
    return re.sub(r"^(\w+):/+(?=.)", r"\1:/", address).rstrip("/")
