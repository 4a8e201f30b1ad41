"""Where tables, models and runs live: immutable versions, stage records, the pointer."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from models import ModelError
from models.content import measure
from pipeline import arrow_files, tables
from pipeline.arrow_files import Rows
from pipeline.errors import UsageError
from pipeline.files import read_json, write_json
from pipeline.processes import mark
from pipeline.retrieval.clustered import Clustered, clustered

if TYPE_CHECKING:
    import pyarrow.dataset as ds
    from pyspark.sql import DataFrame, SparkSession

_ROW_GROUP_BYTES = 8 << 20


@dataclass(frozen=True)
class Record:
    """What a stage made: written last, so that a stage with a record is whole.

    Attributes:
        stage: its name.
        fingerprint: of its code, settings and inputs, 16 hexadecimal digits.
        run_id: the run that made it.
        inputs: what the fingerprint was made of.
        tables: rows of each table that it wrote.
        counts: what the run's page shows of it.
        outputs: values that later stages need, such as the model's sha256.
        seconds: what it took.
    """

    stage: str
    fingerprint: str
    run_id: str
    inputs: dict[str, Any]
    tables: dict[str, int]
    counts: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def version(self, table: str) -> str:
        """Under which version a table of this record is."""
        named: str = self.outputs["moves"] if table in tables.MOVES else self.fingerprint
        return named


class Store:
    """A folder with tables/, models/, stages/ and runs/."""

    def __init__(self, path: str, *, make: bool = True) -> None:
        """Open a store.

        Args:
            path: its folder.
            make: make the folder where it is missing, and see that it can be written.

        Raises:
            UsageError: the path is on a file system that is not supported, or can't be written; or
                it is missing and not to be made.
        """
        if "://" in path:
            raise UsageError(f"store.path {path}: only folders of a file system are supported")
        self.root = Path(path)
        if not make:
            if not self.root.is_dir():
                raise UsageError(
                    f"store.path {path}: no such folder; correct it, or run: "
                    "nitamono run --config FILE"
                )
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{mark()}"
            probe.touch()
            probe.unlink()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"store.path {path}: can't be written ({why}); choose another folder"
            ) from error

    # Records of stages

    def find(self, stage: str, fingerprint: str) -> Record | None:
        """The record of a stage that was finished under this fingerprint."""
        raw = read_json(self._record_path(stage, fingerprint))
        try:
            record = Record(**raw)
        except TypeError:  # none, or of another release
            return None
        whole = all(self.table_path(t, record.version(t)).is_dir() for t in record.tables)
        if stage == "train":
            whole = self.model_file(record).exists()
        return record if whole else None

    def keep(self, record: Record) -> None:
        """Write a stage's record: from now on its output counts as made."""
        write_json(self._record_path(record.stage, record.fingerprint), asdict(record))

    def _record_path(self, stage: str, fingerprint: str) -> Path:
        return self.root / "stages" / stage / f"{fingerprint}.json"

    # Tables

    def table_path(self, table: str, version: str) -> Path:
        """The folder of one version of a table."""
        return self.root / "tables" / table / f"version={version}"

    def read(self, spark: "SparkSession", table: str, version: str) -> "DataFrame":
        """One version of a table."""
        return spark.read.parquet(spark_path(self.table_path(table, version)))

    def dataset(self, table: str, version: str) -> "ds.Dataset":
        """One version of a table, for reading without Spark."""
        import pyarrow.dataset as ds

        return ds.dataset(self.table_path(table, version), format="parquet")

    def write(self, frame: "DataFrame", table: str, version: str) -> int:
        """Write one version of a table beside the others; it appears whole or not at all.

        Returns:
            the number of rows.

        Raises:
            StageError: the frame does not fit the table's schema.
        """
        with self._new_folder(self.table_path(table, version)) as folder:
            checked = tables.check(frame, table)
            checked.write.parquet(spark_path(folder, literal=True), compression="zstd")
        return int(self.dataset(table, version).count_rows())

    def write_arrow(self, table: str, version: str, *parts: Rows) -> int:
        """Write one version of a table that Python workers make; it appears whole or not at all.

        Returns:
            the number of rows.
        """
        from pyspark.sql.pandas.types import to_arrow_schema
        from pyspark.sql.types import StructType

        # Of tables that are read list by list, row groups are what can be read alone.
        size = _ROW_GROUP_BYTES if table in tables.CLUSTERED else 16 * _ROW_GROUP_BYTES
        ddl = ", ".join(f"{name} {kind}" for name, kind in tables.SCHEMAS[table].items())
        schema = to_arrow_schema(cast("StructType", StructType.fromDDL(ddl)))
        with self._new_folder(self.table_path(table, version)) as folder:
            arrow_files.write(
                parts,
                folder,
                schema,
                row_group_bytes=size,
                plain=tables.VECTORS.get(table, ()),
            )
        return int(self.dataset(table, version).count_rows())

    @contextmanager
    def _new_folder(self, final: Path) -> Iterator[Path]:
        """A folder to fill that takes its name when it is full; an earlier one is not replaced."""
        final.parent.mkdir(parents=True, exist_ok=True)
        folder = final.with_name(f"_writing-{mark()}")
        try:
            yield folder
            _rename_unless_there(folder, final)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # The pointer

    def latest(self, table: str = "similar_items") -> dict[str, str] | None:
        """Which version of a table is published: version, run_id, path."""
        pointer: dict[str, str] | None = read_json(self.root / "tables" / table / "LATEST")
        return pointer

    def point(self, table: str, version: str, run_id: str) -> None:
        """Publish a version of a table."""
        path = str(self.table_path(table, version))
        write_json(
            self.root / "tables" / table / "LATEST",
            {"version": version, "run_id": run_id, "path": path},
            indent=None,
        )

    def unpoint(self, table: str) -> None:
        """Publish no version of a table."""
        (self.root / "tables" / table / "LATEST").unlink(missing_ok=True)

    def trial(self, version: str) -> str:
        """A version of this process's own, to be looked at before it is renamed or discarded."""
        return f"{version}-{mark()}"

    def rename(self, table: str, version: str, final: str) -> None:
        """Give a finished version of a table another name; where that is there already it stays."""
        _rename_unless_there(self.table_path(table, version), self.table_path(table, final))
        self.discard(table, version)

    def discard(self, table: str, version: str) -> None:
        """Remove one version of a table that turned out wrong."""
        shutil.rmtree(self.table_path(table, version), ignore_errors=True)

    # Models, quantisers and runs

    @contextmanager
    def new_model(self) -> Iterator[Path]:
        """A folder to make a model in; it is gone afterwards: see `keep_model`."""
        folder = self.root / "models" / f"_writing-{mark()}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep_model(self, folder: Path, sha256: str, file: str) -> None:
        """Move a finished model folder under its content's name.

        Where that is there already and whole it stays; where it is damaged it is replaced.

        Args:
            folder: the new one.
            sha256: of the file or directory in it that is shipped.
            file: that one's name.
        """
        final = self.model_path(sha256)
        if final.is_dir() and not _holds(final / file, sha256):
            shutil.rmtree(final)
        _rename_unless_there(folder, final)

    def model_path(self, sha256: str) -> Path:
        """The folder of a model."""
        return self.root / "models" / sha256[:16]

    def model_file(self, record: Record) -> Path:
        """The file or directory that a training's record is of, as it is shipped."""
        return self.model_path(record.outputs["sha256"]) / str(record.outputs["file"])

    def current_model(self, settings: str) -> Record | None:
        """The record of the training whose model new runs of these settings use."""
        raw = read_json(self._current_path(settings))
        return None if raw is None else self.find("train", raw["fingerprint"])

    def set_current_model(self, settings: str, fingerprint: str) -> None:
        """Let new runs of these settings use the model of this training."""
        write_json(self._current_path(settings), {"fingerprint": fingerprint}, indent=None)

    def _current_path(self, settings: str) -> Path:
        return self.root / "models" / "current" / f"{settings}.json"

    def clustered(self, table: str, version: str) -> Clustered:
        """One version of a table in the order of the lists, for reading list by list."""
        return clustered(self.table_path(table, version))

    def quantiser_path(self, fingerprint: str) -> Path:
        """The file of the centroids of the quantiser that was trained for this index."""
        return self.root / "quantisers" / f"{fingerprint}.npy"

    def quantiser_sizes_path(self, fingerprint: str) -> Path:
        """The file of how many of its training's vectors each of its lists has."""
        return self.root / "quantisers" / f"{fingerprint}.sizes.npy"

    def current_quantiser(self, key: str) -> dict[str, Any] | None:
        """What is known of the quantiser that nights of these settings use."""
        found: dict[str, Any] | None = read_json(self._current_quantiser_path(key))
        return found

    def set_current_quantiser(self, key: str, about: dict[str, Any]) -> None:
        """Let nights of these settings use this quantiser."""
        write_json(self._current_quantiser_path(key), about)

    def _current_quantiser_path(self, key: str) -> Path:
        return self.root / "quantisers" / "current" / f"{key}.json"

    def run_path(self, run_id: str) -> Path:
        """The folder of a run."""
        return self.root / "runs" / run_id


def _holds(path: Path, sha256: str) -> bool:
    try:
        return measure(path).sha256 == sha256
    except ModelError:
        return False


def _rename_unless_there(folder: Path, final: Path) -> None:
    """Give a finished folder its name; where another process was first, what it made stays."""
    try:
        folder.rename(final)
    except OSError:
        if not final.is_dir():
            raise


def spark_path(path: Path, *, literal: bool = False) -> str:
    """A local path as Spark takes it: with its scheme, and for reading with no glob in it."""
    text = str(path.absolute())
    if not literal:
        text = "".join(f"\\{char}" if char in "\\*?[]{}" else char for char in text)
    return f"file://{text}"
