"""Where tables, models and runs live: immutable versions, stage records, the pointer."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import ModelError
from models.s3 import S3Options
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.storage.files import read_json, write_json
from pipeline.storage.paths import StoragePath, arrow_path, spark_path, storage_path
from pipeline.storage.processes import owner_tag
from pipeline.store import arrow_files, model_folders, schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable, open_clustered
from pipeline.store.stage_record import StageRecord
from pipeline.store.versions import versions

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyspark.sql import DataFrame, SparkSession

_ROW_GROUP_BYTES = 8 << 20
_PLAIN = S3Options()


class Store:
    """A folder with tables/, models/, stages/ and runs/."""

    def __init__(self, path: str, s3: S3Options = _PLAIN, *, make: bool = True) -> None:
        """Open a store.

        Args:
            path: its folder, or s3a://BUCKET/KEY.
            s3: how to reach the object store.
            make: make the folder where it is missing, and see that it can be written.

        Raises:
            UsageError: the path is on a file system that is not supported, or can't be written; or
                it is missing and not to be made.
        """
        try:
            self.root = storage_path(path, s3, "store.path")
            self.versions = versions(self.root)
            if not make:
                self._see_that_it_is_there(path)
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
            UsageError: it can't be used.
        """
        return cls(config.store.path, config.s3.options(), make=make)

    def _see_that_it_is_there(self, path: str) -> None:
        if not self.root.is_dir():
            raise UsageError(
                f"store.path {path}: no such folder; correct it, or run: nitamono run --config FILE"
            )

    # Records of stages

    def find_record(self, stage: str, fingerprint: str) -> StageRecord | None:
        """The record of a stage that was finished under this fingerprint."""
        record = self.read_record(stage, fingerprint)
        if record is None:
            return None
        whole = all(self.has_table(table, record.version(table)) for table in record.tables)
        if stage == "train":
            whole = self.model_file(record).exists()
        return record if whole else None

    def read_record(self, stage: str, fingerprint: str) -> StageRecord | None:
        """The same, whether or not what it made is still there."""
        raw = read_json(self._record_path(stage, fingerprint))
        try:
            return StageRecord(**raw)
        except TypeError:  # none, or of another release
            return None

    def write_record(self, record: StageRecord) -> None:
        """Write a stage's record: from now on its output counts as made."""
        write_json(self._record_path(record.stage, record.fingerprint), asdict(record))

    def _record_path(self, stage: str, fingerprint: str) -> StoragePath:
        return self.root / "stages" / stage / f"{fingerprint}.json"

    # Tables

    def table_path(self, table: str, version: str) -> StoragePath:
        """The folder of one version of a table."""
        return self.versions.path(table, version)

    def has_table(self, table: str, version: str) -> bool:
        """Whether a version of a table is there."""
        return self.versions.exists(table, version)

    def read(self, spark: "SparkSession", table: str, version: str) -> "DataFrame":
        """One version of a table."""
        # Told the schema, Spark starts no job to look for it.
        reader = spark.read.schema(schemas.ddl(schemas.SCHEMAS[table]))
        return reader.parquet(spark_path(self.table_path(table, version)))

    def dataset(self, table: str, version: str) -> "ds.Dataset":
        """One version of a table, for reading without Spark."""
        import pyarrow.dataset as ds

        system, path = arrow_path(self.table_path(table, version))
        return ds.dataset(path, format="parquet", filesystem=system)

    def write(self, frame: "DataFrame", table: str, version: str) -> int:
        """Write one version of a table beside the others; it appears whole or not at all.

        Returns:
            the number of rows.

        Raises:
            StageError: the frame does not fit the table's schema.
        """
        return self.write_arrow(table, version, Rows(schemas.check(frame, table), _as_they_are))

    def write_arrow(self, table: str, version: str, *parts: Rows) -> int:
        """Write one version of a table that Python workers make; it appears whole or not at all.

        Returns:
            the number of rows.
        """
        # Of tables that are read list by list, row groups are what can be read alone.
        size = _ROW_GROUP_BYTES if table in schemas.CLUSTERED else 16 * _ROW_GROUP_BYTES
        size = 1 if table in schemas.IN_SMALL_GROUPS else size
        with self.versions.create(table, version) as folder:
            arrow_files.write(
                parts,
                folder,
                schemas.SCHEMAS[table],
                row_group_bytes=size,
                plain=schemas.VECTORS.get(table, ()),
            )
        return int(self.dataset(table, version).count_rows())

    def write_rows(self, rows: list[dict[str, Any]], table: str, version: str) -> int:
        """Write one version of a table of a few rows, which the driver holds, without Spark.

        Returns:
            the number of rows.
        """
        with self.versions.create(table, version) as folder:
            arrow_files.write_rows(rows, folder, schemas.SCHEMAS[table])
        return len(rows)

    # The pointer

    def latest(self, table: str = "similar_items") -> dict[str, str] | None:
        """Which version of a table is published: version, run_id, path."""
        pointer: dict[str, str] | None = read_json(self.root / "tables" / table / "LATEST")
        return pointer

    def set_latest(self, table: str, version: str, run_id: str) -> None:
        """Publish a version of a table."""
        path = str(self.table_path(table, version))
        write_json(
            self.root / "tables" / table / "LATEST",
            {"version": version, "run_id": run_id, "path": path},
            indent=None,
        )

    def clear_latest(self, table: str) -> None:
        """Publish no version of a table."""
        (self.root / "tables" / table / "LATEST").unlink(missing_ok=True)

    def trial_version(self, version: str) -> str:
        """A version of this process's own, to be looked at before it is renamed or discarded."""
        return f"{version}-{owner_tag()}"

    def rename_version(self, table: str, version: str, final: str) -> None:
        """Give a finished version of a table another name; where that is there already it stays."""
        self.versions.rename(table, version, final)

    def discard_version(self, table: str, version: str) -> None:
        """Remove one version of a table that turned out wrong."""
        self.versions.discard(table, version)

    # Models, quantisers and runs

    def new_model(self) -> AbstractContextManager[Path]:
        """A folder on the driver's disk to make a model in; it is gone afterwards."""
        return model_folders.new_folder(self.root / "models")

    def save_model(self, folder: Path, sha256: str, file: str) -> None:
        """Move a finished model folder under its content's name.

        Where that is there already and whole it stays; where it is damaged it is replaced.

        Args:
            folder: the new one.
            sha256: of the file or directory in it that is shipped.
            file: that one's name.
        """
        model_folders.save(folder, self.model_path(sha256), sha256, file)

    def model_path(self, sha256: str) -> StoragePath:
        """The folder of a model."""
        return self.root / "models" / sha256[:16]

    def model_file(self, record: StageRecord) -> StoragePath:
        """The file or directory that a training's record is of, as it is shipped."""
        return self.model_path(record.outputs["sha256"]) / str(record.outputs["file"])

    def current_model(self, settings: str) -> StageRecord | None:
        """The record of the training whose model new runs of these settings use."""
        raw = read_json(self._current_path(settings))
        return None if raw is None else self.find_record("train", raw["fingerprint"])

    def set_current_model(self, settings: str, fingerprint: str) -> None:
        """Let new runs of these settings use the model of this training."""
        write_json(self._current_path(settings), {"fingerprint": fingerprint}, indent=None)

    def _current_path(self, settings: str) -> StoragePath:
        return self.root / "models" / "current" / f"{settings}.json"

    def open_clustered(self, table: str, version: str) -> ClusteredTable:
        """One version of a table in the order of the lists, for reading list by list."""
        return open_clustered(self.table_path(table, version))

    def quantiser_path(self, fingerprint: str) -> StoragePath:
        """The file of the centroids of the quantiser that was trained for this index."""
        return self.root / "quantisers" / f"{fingerprint}.npy"

    def quantiser_sizes_path(self, fingerprint: str) -> StoragePath:
        """The file of how many of its training's vectors each of its lists has."""
        return self.root / "quantisers" / f"{fingerprint}.sizes.npy"

    def current_quantiser(self, key: str) -> dict[str, Any] | None:
        """What is known of the quantiser that nights of these settings use."""
        found: dict[str, Any] | None = read_json(self._current_quantiser_path(key))
        return found

    def set_current_quantiser(self, key: str, about: dict[str, Any]) -> None:
        """Let nights of these settings use this quantiser."""
        write_json(self._current_quantiser_path(key), about)

    def _current_quantiser_path(self, key: str) -> StoragePath:
        return self.root / "quantisers" / "current" / f"{key}.json"

    def run_path(self, run_id: str) -> StoragePath:
        """The folder of a run."""
        return self.root / "runs" / run_id


def _as_they_are(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    return batches
