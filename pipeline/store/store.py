"""The store: immutable versions of tables, the pointers to them, stage records and run folders."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from models import ModelError
from models.s3 import S3Options
from pipeline.config.sections import Config
from pipeline.errors import DamagedError, UsageError
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.files import read_object, write_json
from pipeline.storage.paths import StoragePath, arrow_path, spark_path, storage_path
from pipeline.store import arrow_files, file_list, schemas
from pipeline.store.arrow_files import Count, Rows, Written
from pipeline.store.clustered import ClusteredTable, open_clustered
from pipeline.store.model_folders import ModelFolders
from pipeline.store.names import check_name
from pipeline.store.quantisers import Quantisers
from pipeline.store.stage_record import RECORD_FIELDS, StageRecord
from pipeline.store.versions import open_versions

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyspark.sql import DataFrame, SparkSession

_ROW_GROUP_BYTES = 8 << 20
_DEFAULT_S3 = S3Options()


class Store:
    """A folder with tables/, models/, quantisers/, stages/ and runs/.

    Attributes:
        root: the folder.
        versions: the versions of its tables.
        models: its models.
        quantisers: its quantisers.
        verifies: whether the checksums of a table are verified before this process first reads it.
            Otherwise only the sizes of its files are, and the pages that are read.
        print_line: prints what `say` says.
    """

    def __init__(self, path: str, s3: S3Options = _DEFAULT_S3, *, make: bool = True) -> None:
        """Open a store.

        Args:
            path: a folder, or s3a://BUCKET/KEY.
            s3: how to reach the object store.
            make: whether to create a missing folder, and to check that it can be written.

        Raises:
            UsageError: the path is on a file system that is not supported, can't be written, or is
                missing and `make` is false.
        """
        self.verifies = False
        self.print_line: Callable[[str], None] = _print_line
        self._said: set[str] = set()
        # Versions of tables, and models, that this process wrote or has verified.
        self._whole: set[tuple[str, str]] = set()
        try:
            self.root = storage_path(path, s3, "store.path")
            self.versions = open_versions(self.root)
            self.models = ModelFolders(self.root / "models")
            self.quantisers = Quantisers(self.root / "quantisers")
            if not make:
                self._check_exists(path)
                return
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{owner_tag()}"
            probe.write_bytes(b"")
            probe.unlink()
        except (OSError, ValueError, ModelError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"store.path {path}: can't be {'written' if make else 'read'} ({why}); "
                "choose another folder"
            ) from error

    @classmethod
    def of(cls, config: Config, *, make: bool = True) -> "Store":
        """The store that a config names.

        Raises:
            UsageError: the store can't be used.
        """
        return cls(config.store.path, config.s3.options(), make=make)

    def _check_exists(self, path: str) -> None:
        if not self.root.is_dir():
            raise UsageError(
                f"store.path {path}: no such folder; correct it, or run: nitamono run --config FILE"
            )

    # Records of stages

    def find_record(self, stage: str, fingerprint: str) -> StageRecord | None:
        """The record of a stage's output; None if it or what it names is not in the store."""
        record = self.read_record(stage, fingerprint)
        if record is None:
            return None
        if stage == "train":
            complete = self.models.file(record).exists()
        else:
            complete = all(self.has_table(table, record.version(table)) for table in record.tables)
        return record if complete else None

    def read_record(self, stage: str, fingerprint: str) -> StageRecord | None:
        """The record of a stage's output, whether or not the output is still in the store.

        A damaged record is said, and counts as none: the run that makes the output again writes it.
        """
        try:
            content = read_object(self.record_path(stage, fingerprint), **RECORD_FIELDS)
        except DamagedError as error:
            self.say(str(error))
            return None
        try:
            return None if content is None else StageRecord(**content)
        except TypeError:  # another release wrote it
            return None

    def write_record(self, record: StageRecord) -> None:
        """Write a stage's record; from now on the stage's output is complete."""
        write_json(self.record_path(record.stage, record.fingerprint), asdict(record))

    def record_path(self, stage: str, fingerprint: str) -> StoragePath:
        """The file of the record of a stage's output."""
        return self.root / "stages" / stage / f"{fingerprint}.json"

    # Damage

    def say(self, text: str) -> None:
        """Print a line about what was found damaged, each line once."""
        if text not in self._said:
            self._said.add(text)
            self.print_line(text)

    def find_damage(
        self, record: StageRecord, spark: "Callable[[], SparkSession] | None" = None
    ) -> str:
        """What is wrong with a stage's output; empty if nothing is. Reads it once a process.

        Args:
            record: of the stage.
            spark: gives the session whose executors read large tables.
        """
        problems = [
            self.find_table_damage(table, record.version(table), spark, rows)
            for table, rows in record.tables.items()
        ]
        if quantiser := record.outputs.get("quantiser"):
            problems.append(self.quantisers.find_damage(quantiser))
        if record.stage == "train" and ("model", record.outputs["sha256"]) not in self._whole:
            problem = self.models.find_damage(record)
            problems.append(problem)
            if not problem:
                self._whole.add(("model", record.outputs["sha256"]))
        return next(filter(None, problems), "")

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

    def _open(
        self, table: str, version: str, spark: "SparkSession | None" = None
    ) -> tuple[StoragePath, list[str]]:
        """The folder of a version and the names of its files.

        Raises:
            DamagedError: it is damaged, as far as `verifies` asks.
            FileNotFoundError: it is gone.
        """
        folder = self.table_path(table, version)
        files = file_list.names(folder)
        if self.verifies:
            session = None if spark is None else (lambda: spark)
            damage = self.find_table_damage(table, version, session)
            if damage:
                raise DamagedError(damage, file_list.REMEDY)
        return folder, files

    # Tables

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
        folder, files = self._open(table, version, spark)
        # If it is given the schema, Spark starts no job to find it.
        reader = spark.read.schema(schemas.ddl(schemas.SCHEMAS[table]))
        frame = reader.parquet(spark_path(folder))
        # Spark lists a folder faster than single files; but it may hold what a late task has left.
        if len(frame._jdf.inputFiles()) != len(files):
            frame = reader.parquet(*[spark_path(folder / name) for name in files])
        return frame

    def dataset(self, table: str, version: str) -> "ds.Dataset":
        """One version of a table, for reading without Spark.

        Raises:
            DamagedError: as `read`.
        """
        import pyarrow.dataset as ds

        folder, files = self._open(table, version)
        system, base = arrow_path(folder)
        options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        return ds.dataset(
            [f"{base}/{name}" for name in files],
            format=ds.ParquetFileFormat(default_fragment_scan_options=options),
            filesystem=system,
        )

    def open_clustered(self, table: str, version: str) -> ClusteredTable:
        """One version of a clustered table, for reading list by list without Spark.

        Raises:
            DamagedError: as `read`.
        """
        folder, files = self._open(table, version)
        return open_clustered(folder, files)

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
        # A row group is the smallest part that can be read alone: clustered tables, which are read
        # list by list, have smaller ones.
        size = _ROW_GROUP_BYTES if table in schemas.CLUSTERED else 16 * _ROW_GROUP_BYTES
        if table in schemas.IN_SMALL_GROUPS:
            size = 1
        with self.versions.create(table, version) as folder:
            written = arrow_files.write(
                parts,
                folder,
                schemas.SCHEMAS[table],
                row_group_bytes=size,
                plain=schemas.VECTORS.get(table, ()),
                count=count,
            )
        self._whole.add((table, version))
        return written

    def write_rows(self, rows: list[dict[str, Any]], table: str, version: str) -> int:
        """Write a version of a small table, whose rows this process holds, without Spark.

        Returns:
            the number of rows.
        """
        with self.versions.create(table, version) as folder:
            arrow_files.write_rows(rows, folder, schemas.SCHEMAS[table])
        self._whole.add((table, version))
        return len(rows)

    # Pointers and versions

    def latest(self, table: str = "similar_items") -> dict[str, str] | None:
        """The published version of a table: version, run_id, path; None if there is none.

        Raises:
            DamagedError: the file LATEST is damaged.
        """
        path = self.root / "tables" / table / "LATEST"
        try:
            return read_object(path, version=str, run_id=str, path=str)
        except DamagedError as error:
            raise DamagedError(
                error.what,
                "the next run that publishes restores it, and so does nitamono gc",
            ) from error

    def set_latest(self, table: str, version: str, run_id: str) -> None:
        """Publish a version of a table."""
        path = str(self.table_path(table, version))
        write_json(
            self.root / "tables" / table / "LATEST",
            {"version": version, "run_id": run_id, "path": path},
            indent=None,
        )

    def clear_latest(self, table: str) -> None:
        """Let no version of a table be published."""
        (self.root / "tables" / table / "LATEST").unlink(missing_ok=True)

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

    # Models and runs

    def current_model(self, settings: str) -> StageRecord | None:
        """The record of the training whose model new runs with these settings use.

        Raises:
            DamagedError: the file that names it is damaged.
        """
        fingerprint = self.models.current(settings)
        return None if fingerprint is None else self.find_record("train", fingerprint)

    def run_path(self, run_id: str) -> StoragePath:
        """The folder of a run.

        Raises:
            UsageError: it is no name, but a path for instance.
        """
        return self.root / "runs" / check_name(run_id)


def _print_line(text: str) -> None:
    sys.stderr.write(f"nitamono: {text}\n")


def _unchanged(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    return batches
