"""Tables: their versions are read, written whole or as one more layer, renamed and discarded."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.errors import DamagedError, StageError
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.paths import StoragePath, spark_path
from pipeline.store import arrow_files, file_list, layers, schemas
from pipeline.store.arrow_files import Count, Rows, Written
from pipeline.store.clustered import ClusteredTable, open_clustered
from pipeline.store.file_list import File
from pipeline.store.layers import VersionFiles
from pipeline.store.versions import Versions

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyspark.sql import DataFrame, SparkSession

_ROW_GROUP_BYTES = 8 << 20


class Tables:
    """The tables of a store.

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
            return layers.read_frame(spark, table, files)
        # If it is given the schema, Spark starts no job to find it.
        reader = spark.read.schema(schemas.ddl(schemas.SCHEMAS[table]))
        rows = files.layers[0].rows
        if all(name.startswith(f"{files.folder.name}/") for name in rows):
            frame = reader.parquet(spark_path(files.folder))
            # Spark lists a folder faster than single files; but it may hold what a late task has
            # left.
            if len(frame._jdf.inputFiles()) == len(rows):
                return frame
        return reader.parquet(*files.spark_paths(rows))

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
        return layers.read_own_rows(spark, table, files, listed)

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

    def open_files(self, table: str, version: str) -> VersionFiles:
        """The files of one version of a table.

        Raises:
            DamagedError: as `read`.
            FileNotFoundError: the version is gone.
        """
        return self._open(table, version)

    def write(self, frame: "DataFrame", table: str, version: str) -> int:
        """Write a version of a table; it appears complete or not at all.

        Returns:
            the number of rows.

        Raises:
            StageError: the frame does not fit the table's schema.
        """
        return self.write_arrow(table, version, Rows(schemas.check(frame, table), _unchanged))

    def write_arrow(self, table: str, version: str, *parts: Rows) -> int:
        """Write a version of a table that Python workers compute, complete or not at all.

        Returns:
            the number of rows.
        """
        return self.write_counted(table, version, *parts).rows

    def write_counted(
        self, table: str, version: str, *parts: Rows, count: Count = arrow_files.count_nothing
    ) -> Written:
        """Like `write_arrow`, and sum up numbers of the rows while they are written.

        Args:
            table: the table.
            version: the version.
            parts: the rows.
            count: gives the numbers of some rows; see `arrow_files.write`.

        Returns:
            the number of rows, and the sums.
        """
        with self.versions.create(table, version) as folder:
            written = self._write_files(table, parts, folder, schemas.SCHEMAS[table], count)
            files = list(written.files)
            if not files:
                files = [arrow_files.write_table(schemas.SCHEMAS[table].empty_table(), folder)]
            arrow_files.remove_others(folder, [file.name for file in files])
            file_list.write(folder, files)
        self._whole.add((table, version))
        return written

    def can_add_layer(self, table: str, base: str, rows: int) -> bool:
        """Whether a version is better written as one more layer on another one than as a whole.

        Args:
            table: the table.
            base: the other version.
            rows: how many rows and removals the layer has.
        """
        listed = file_list.read(self.table_path(table, base))
        return listed is not None and layers.can_add(listed, rows)

    def write_layer(
        self,
        table: str,
        version: str,
        base: str,
        rows: Rows,
        removals: Rows,
        count: Count = arrow_files.count_nothing,
    ) -> tuple[int, Written]:
        """Write a version that consists of another version's files and of one more layer.

        Args:
            table: the table.
            version: its new version, which appears complete or not at all.
            base: the other version, for which `can_add_layer` is true.
            rows: the rows that are added or changed.
            removals: the columns of `layers.removal_schema`: one row for each row of the other
                version that is not valid any more.
            count: gives the numbers of some of the rows; see `arrow_files.write`.

        Returns:
            the number of the version's rows; and what was written of `rows`.
        """
        with self.versions.create(table, version) as folder:
            shared = layers.shared_files(self.table_path(table, base))
            files, written = self._add_layer(table, shared, folder, rows, removals, count)
            file_list.write(folder, files, base=base)
        self._whole.add((table, version))
        return layers.row_count(files), written

    def extend(self, table: str, trial: str, rows: Rows, removals: Rows) -> None:
        """Add a layer to a trial version; arguments as for `write_layer`."""
        folder = self.table_path(table, trial)
        listed = file_list.read(folder)
        assert listed is not None  # noqa: S101 - this process wrote it
        files, _ = self._add_layer(table, list(listed.files), folder, rows, removals)
        file_list.write(folder, files, base=listed.base)

    def _add_layer(
        self,
        table: str,
        files: list[File],
        folder: StoragePath,
        rows: Rows,
        removals: Rows,
        count: Count = arrow_files.count_nothing,
    ) -> tuple[list[File], Written]:
        """Write the files of a layer on top of others; returns all files, and the rows written."""
        number, changes = 1 + max(file.layer for file in files), folder / layers.CHANGES
        schema, ids = schemas.SCHEMAS[table], layers.removal_schema(table)
        written = self._write_files(table, [rows], changes, schema, count)
        removed = self._write_files(table, [removals], changes, ids)
        for part, removes in ((written, False), (removed, True)):
            for file in part.files:
                name = f"{layers.CHANGES}/{file.name}"
                files = [*files, replace(file, name=name, layer=number, removes=removes)]
        layers.write_guard(folder)
        own = [file.path(folder).name for file in files if not file.folder]
        arrow_files.remove_others(changes, own)
        return files, written

    def _write_files(
        self,
        table: str,
        parts: Sequence[Rows],
        folder: StoragePath,
        schema: "pa.Schema",
        count: Count = arrow_files.count_nothing,
    ) -> Written:
        # A row group is the smallest part that can be read alone: clustered tables, which are read
        # list by list, have smaller ones.
        size = _ROW_GROUP_BYTES if table in schemas.CLUSTERED else 16 * _ROW_GROUP_BYTES
        if table in schemas.IN_SMALL_GROUPS:
            size = 1
        plain = schemas.VECTORS.get(table, ())
        return arrow_files.write(
            parts, folder, schema, row_group_bytes=size, plain=plain, count=count
        )

    def write_rows(self, rows: list[dict[str, Any]], table: str, version: str) -> int:
        """Write a version of a small table, whose rows this process holds, without Spark.

        Returns:
            the number of rows.
        """
        import pyarrow as pa

        with self.versions.create(table, version) as folder:
            content = pa.Table.from_pylist(rows, schemas.SCHEMAS[table])
            file_list.write(folder, [arrow_files.write_table(content, folder)])
        self._whole.add((table, version))
        return len(rows)

    def trial_version(self, version: str) -> str:
        """The name of a trial version, to be checked before it is renamed or discarded."""
        return f"{version}-{owner_tag()}"

    def rename_version(self, table: str, version: str, final: str) -> None:
        """Rename a version of a table; a whole one that has the new name stays."""
        self.versions.rename(table, version, final)
        self._whole.add((table, final))

    def discard_version(self, table: str, version: str) -> None:
        """Delete a version of a table."""
        self.versions.discard(table, version)


def _unchanged(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    return batches
