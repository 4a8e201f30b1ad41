"""Reading tables: by Spark, without it, and list by list; and what is wrong with their files."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import DamagedError, StageError
from pipeline.storage.paths import StoragePath, spark_path
from pipeline.store import file_list, layers, schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable, open_clustered
from pipeline.store.layers import VersionFiles
from pipeline.store.scan import LAYER, ItemRows, Scan, plan_parts, rows_of_tasks
from pipeline.store.versions import Versions

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyspark.sql import DataFrame, SparkSession

# Tasks of a scan by lists for each core, because the ranges of lists are uneven.
_SCANS_PER_CORE = 4


class TableReader:
    """Reads the tables of a store.

    Attributes:
        versions: the versions of its tables.
        verifies: whether the checksums of a table are verified before this process first reads it.
            Otherwise only the sizes of its files are, and the pages that are read.
    """

    versions: Versions

    def __init__(self) -> None:
        self.verifies = False
        # Versions of tables, and models, that this process wrote or has verified.
        self._whole: set[tuple[str, str]] = set()

    def find_table_damage(
        self,
        table: str,
        version: str,
        spark: "Callable[[], SparkSession] | None" = None,
        rows: int | None = None,
    ) -> str:
        """What is wrong with a version of a table; empty if nothing is. Reads it once a process.

        Args:
            table: the table.
            version: the version.
            spark: gives the session whose executors read large tables.
            rows: number of rows that it has to have; checked if it has no list of files.
        """
        if (table, version) in self._whole:
            return ""
        try:
            folder = self.table_path(table, version)
        except DamagedError as error:
            return error.what
        problems = file_list.find_damage(folder, spark)
        if not problems and rows is not None and file_list.read(folder) is None:
            present = self.dataset(table, version).count_rows()
            if present != rows:
                problems = [f"{folder}: it has {present:,} rows, and {rows:,} were written"]
        if problems:
            return problems[0]
        self._whole.add((table, version))
        return ""

    def _open(self, table: str, version: str, spark: "SparkSession | None" = None) -> VersionFiles:
        """The files of a version.

        Raises:
            DamagedError: it is damaged, as far as `verifies` asks.
            FileNotFoundError: it is gone.
        """
        folder = self.table_path(table, version)
        files = file_list.present_files(folder)
        if self.verifies:
            session = None if spark is None else (lambda: spark)
            damage = self.find_table_damage(table, version, session)
            if damage:
                raise DamagedError(damage, file_list.REMEDY)
        return layers.version_files(folder, files)

    def table_path(self, table: str, version: str) -> StoragePath:
        """The folder of one version of a table."""
        return self.versions.path(table, version)

    def has_table(self, table: str, version: str) -> bool:
        """Whether a version of a table is in the store."""
        return self.versions.exists(table, version)

    def read(self, spark: "SparkSession", table: str, version: str) -> "DataFrame":
        """One version of a table.

        Raises:
            DamagedError: a file is missing or has another size; or, if the store verifies, it has
                another content.
        """
        files = self._open(table, version, spark)
        if len(files.layers) > 1:
            return layers.read_frame(spark, files, self.schema(table, version))
        # If it is given the schema, Spark starts no job to find it.
        reader = spark.read.schema(schemas.ddl(self.schema(table, version)))
        rows = files.layers[0].rows
        if all(name.startswith(f"{files.folder.name}/") for name in rows):
            frame = reader.parquet(spark_path(files.folder))
            # Spark lists a folder faster than single files; but it may hold what a late task has
            # left.
            if len(frame._jdf.inputFiles()) == len(rows):
                return frame
        return reader.parquet(*files.spark_paths(rows))

    def schema(self, table: str, version: str) -> "pa.Schema":
        """The columns of a version of a table.

        Raises:
            DamagedError: as `read`.
        """
        own = schemas.SCHEMAS[table]
        if table not in schemas.EXTENSIBLE:
            return own
        import pyarrow as pa
        import pyarrow.parquet as pq

        files = self._open(table, version)
        system, base = files.arrow
        # All files of a version have the same columns.
        stored = pq.read_schema(f"{base}/{files.layers[0].rows[0]}", filesystem=system)
        others = [field for field in stored if field.name not in own.names]
        return pa.schema([*own, *(field.remove_metadata() for field in others)])

    def scan(self, spark: "SparkSession", table: str, version: str, columns: Sequence[str]) -> Rows:
        """The rows of a version for Python workers, which read the files themselves.

        There are at least as many tasks as cores, if there are enough rows. If the version has
        layers, or an earlier release wrote it, Spark reads it for the workers.

        Raises:
            DamagedError: as `read`.
        """
        files = self._open(table, version, spark)
        listed = file_list.read(files.folder)
        if len(files.layers) > 1 or listed is None or any(file.rows < 0 for file in listed.files):
            return Rows(self.read(spark, table, version).select(*columns), iter)
        counts = [(file.place(files.folder), file.rows) for file in listed.files]
        parts = plan_parts(counts, spark.sparkContext.defaultParallelism)
        scan = Scan(files.folder.parent, parts, tuple(columns))
        return rows_of_tasks(spark, len(parts), scan.rows)

    def rows_of_items(
        self, spark: "SparkSession", table: str, version: str, rows: ItemRows
    ) -> "pa.Table":
        """Rows of a few items of a version, on the driver: Python workers read all its files.

        Raises:
            DamagedError: as `read`.
        """
        files = self._open(table, version, spark)
        names = [(name, n) for n, layer in enumerate(files.layers) for name in layer.rows]
        folder = files.folder.parent

        def read(number: int) -> "Iterator[pa.RecordBatch]":
            name, layer = names[number]
            return rows.read(folder, name, layer)

        tasks = _SCANS_PER_CORE * spark.sparkContext.defaultParallelism
        found = rows_of_tasks(spark, len(names), read, tasks)
        ddl = schemas.ddl(rows.schema.append(LAYER))
        return layers.newest_rows(found.frame.mapInArrow(found.run, ddl).toArrow())

    def read_layer(
        self, spark: "SparkSession", table: str, version: str, base: str
    ) -> "DataFrame | None":
        """The rows that a version has added to the version that it was built on.

        Args:
            spark: the session.
            table: the table.
            version: the version.
            base: the version that it has to be built on.

        Returns:
            the rows; None if the version was written whole, or was built on another one.

        Raises:
            DamagedError: as `read`.
        """
        files = self._open(table, version, spark)
        listed = file_list.read(files.folder)
        if listed is None or listed.base != base:
            return None
        return layers.read_own_rows(spark, files, listed, self.schema(table, version))

    def list_sizes(self, spark: "SparkSession", table: str, version: str) -> "DataFrame":
        """How many rows of a clustered table each list has: list, count; rows are not read.

        Raises:
            DamagedError: as `read`.
        """
        return layers.list_sizes(spark, table, self._open(table, version, spark))

    def dataset(self, table: str, version: str) -> "ds.Dataset":
        """One version of a table that never has layers, for reading without Spark.

        Raises:
            DamagedError: as `read`.
            StageError: it has layers.
        """
        import pyarrow.dataset as ds

        files = self._open(table, version)
        if len(files.layers) > 1:
            raise StageError(f"{files.folder}: it has layers; a dataset can't hide removed rows")
        system, base = files.arrow
        options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        return ds.dataset(
            [f"{base}/{name}" for name in files.layers[0].rows],
            format=ds.ParquetFileFormat(default_fragment_scan_options=options),
            filesystem=system,
        )

    def open_clustered(self, table: str, version: str) -> ClusteredTable:
        """One version of a clustered table, for reading list by list without Spark.

        Raises:
            DamagedError: as `read`.
        """
        return open_clustered(self._open(table, version))

    def scan_lists(
        self, spark: "SparkSession", table: str, version: str, nlist: int, columns: Sequence[str]
    ) -> Rows:
        """The rows of a version of a clustered table for Python workers: see `scan`.

        Args:
            spark: the session.
            table: the table.
            version: the version, which may have layers.
            nlist: number of lists.
            columns: columns to read; `list` is always read.

        Raises:
            DamagedError: as `read`.
        """
        files, cores = self.open_clustered(table, version), spark.sparkContext.defaultParallelism
        tasks = min(nlist, max(_SCANS_PER_CORE * cores, files.file_count))

        def read(number: int) -> "Iterator[pa.RecordBatch]":
            return files.rows(nlist * number // tasks, nlist * (number + 1) // tasks, columns)

        return rows_of_tasks(spark, tasks, read)

    def open_files(self, table: str, version: str) -> VersionFiles:
        """The files of one version of a table.

        Raises:
            DamagedError: as `read`.
            FileNotFoundError: the version is gone.
        """
        return self._open(table, version)
