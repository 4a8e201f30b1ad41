"""Tables: their versions are written whole or as one more layer, renamed and discarded."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.storage.file_owners import owner_tag
from pipeline.storage.paths import StoragePath
from pipeline.store import arrow_files, file_list, layers, schemas
from pipeline.store.arrow_files import Count, Rows, Written
from pipeline.store.file_list import File
from pipeline.store.table_reader import TableReader

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_ROW_GROUP_BYTES = 8 << 20


class Tables(TableReader):
    """The tables of a store; attributes as for TableReader."""

    def write(self, frame: "DataFrame", table: str, version: str) -> int:
        """Write a version of a table; it appears complete or not at all.

        Returns:
            the number of rows.

        Raises:
            StageError: the frame does not fit the table's schema.
        """
        rows, schema = schemas.check(frame, table), schemas.schema_of(frame, table)
        return self.write_counted(table, version, Rows(rows, iter), schema=schema).rows

    def write_arrow(self, table: str, version: str, *parts: Rows) -> int:
        """Write a version of a table that Python workers compute, complete or not at all.

        Returns:
            the number of rows.
        """
        return self.write_counted(table, version, *parts).rows

    def write_counted(
        self,
        table: str,
        version: str,
        *parts: Rows,
        count: Count = arrow_files.count_nothing,
        schema: "pa.Schema | None" = None,
    ) -> Written:
        """Like `write_arrow`, and sum up numbers of the rows while they are written.

        Args:
            table: the table.
            version: the version.
            parts: the rows.
            count: gives the numbers of some rows; see `arrow_files.write`.
            schema: of a table with more columns than its own; None for those.

        Returns:
            the number of rows, and the sums.
        """
        schema = schema or schemas.SCHEMAS[table]
        with self.versions.create(table, version) as folder:
            written = self._write_files(table, parts, folder, schema, count)
            files = list(written.files)
            if not files:
                files = [arrow_files.write_table(schema.empty_table(), folder)]
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
        schema: "pa.Schema | None" = None,
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
            schema: of a table with more columns than its own, which the other version has; None
                for those.

        Returns:
            the number of the version's rows; and what was written of `rows`.
        """
        with self.versions.create(table, version) as folder:
            shared = layers.shared_files(self.table_path(table, base))
            files, written = self._add_layer(table, shared, folder, rows, removals, count, schema)
            file_list.write(folder, files, base=base)
        self._whole.add((table, version))
        return layers.row_count(files), written

    def extend(
        self,
        table: str,
        trial: str,
        rows: Rows,
        removals: Rows,
        count: Count = arrow_files.count_nothing,
    ) -> Written:
        """Add a layer to a trial version; arguments as for `write_layer`.

        Returns:
            what was written of `rows`.
        """
        folder = self.table_path(table, trial)
        listed = file_list.read(folder)
        assert listed is not None  # noqa: S101 - this process wrote it
        files, written = self._add_layer(table, list(listed.files), folder, rows, removals, count)
        file_list.write(folder, files, base=listed.base)
        return written

    def _add_layer(
        self,
        table: str,
        files: list[File],
        folder: StoragePath,
        rows: Rows,
        removals: Rows,
        count: Count = arrow_files.count_nothing,
        schema: "pa.Schema | None" = None,
    ) -> tuple[list[File], Written]:
        """Write the files of a layer on top of others; returns all files, and the rows written."""
        number, changes = 1 + max(file.layer for file in files), folder / layers.CHANGES
        schema, ids = schema or schemas.SCHEMAS[table], layers.removal_schema(table)
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

        content = pa.Table.from_pylist(rows, schemas.SCHEMAS[table])
        return self.write_table(content, table, version)

    def write_table(self, content: "pa.Table", table: str, version: str) -> int:
        """Like `write_rows`, of a table of Arrow that has the table's schema."""
        with self.versions.create(table, version) as folder:
            file_list.write(folder, [arrow_files.write_table(content, folder)])
        self._whole.add((table, version))
        rows: int = content.num_rows
        return rows

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
