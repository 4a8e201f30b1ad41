"""The store: immutable versions of tables, the pointers to them, stage records and run folders."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from models import ModelError
from models.stores import StoreOptions
from pipeline.config.sections import Config
from pipeline.errors import DamagedError, UsageError
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.files import read_object, write_json
from pipeline.storage.paths import StoragePath, storage_path
from pipeline.store import store_format
from pipeline.store.model_folders import ModelFolders
from pipeline.store.names import check_name
from pipeline.store.quantisers import Quantisers
from pipeline.store.stage_record import RECORD_FIELDS, StageRecord
from pipeline.store.tables import Tables
from pipeline.store.versions import open_versions
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_DEFAULT_STORES = StoreOptions()


class Store(Tables):
    """A folder with tables/, models/, quantisers/, stages/ and runs/.

    Attributes:
        root: the folder.
        versions: the versions of its tables.
        format: the number of its format; see pipeline.store.store_format.
        models: its models.
        quantisers: its quantisers.
        verifies: whether the checksums of a table are verified before this process first reads it.
            Otherwise only the sizes of its files are, and the pages that are read.
        print_line: prints what `say` says.
    """

    def __init__(
        self,
        path: str,
        stores: StoreOptions = _DEFAULT_STORES,
        *,
        make: bool = True,
        mark: bool = True,
    ) -> None:
        """Open a store.

        Args:
            path: a folder, or an address in an object store.
            stores: how to reach the object stores.
            make: whether to create a missing folder, and to check that it can be written.
            mark: whether a new store gets the file that says its format.

        Raises:
            UsageError: the path is on a file system that is not supported, can't be written, or is
                missing and `make` is false; or a later nitamono has made the store.
            DamagedError: the file that says its format is damaged.
        """
        super().__init__()
        self.print_line: Callable[[str], None] = _print_line
        self._said: set[str] = set()
        try:
            self.root = storage_path(path, stores, "store.path")
            self.versions = open_versions(self.root)
            self.models = ModelFolders(self.root / "models")
            self.quantisers = Quantisers(self.root / "quantisers")
            if not make:
                self._check_exists(path)
            self.format = store_format.read(self.root)
            if make:
                self._check_writable()
            if make and mark:
                self._mark_if_new()
        except (OSError, ValueError, ModelError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"store.path {path}: can't be {'written' if make else 'read'} ({why}); "
                "choose another folder"
            ) from error

    @classmethod
    def of(cls, config: Config, *, make: bool = True, mark: bool = True) -> "Store":
        """The store that a config names.

        Raises:
            UsageError: the store can't be used.
        """
        return cls(config.store.path, config.object_stores(), make=make, mark=mark)

    def _check_exists(self, path: str) -> None:
        if not self.root.is_dir():
            raise UsageError(
                f"store.path {path}: no such folder; correct it, or run: nitamono run --config FILE"
            )

    def _check_writable(self) -> None:
        """Check that the store can be written; it is made if it is not there."""
        self.root.mkdir(parents=True, exist_ok=True)
        probe = self.root / f".probe-{owner_tag()}"
        probe.write_bytes(b"")
        probe.unlink()

    def _mark_if_new(self) -> None:
        if self.format == store_format.FIRST_FORMAT and store_format.mark_if_new(self.root):
            self.format = store_format.FORMAT

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

    # Pointers

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

    def latest_variants(self, table: str = "similar_items") -> dict[str, str]:
        """The version of each published variant of a table, by its name."""
        content: dict[str, Any] = self.latest(table) or {}
        return {name: one["version"] for name, one in content.get("variants", {}).items()}

    def set_latest(
        self, table: str, version: str, run_id: str, variants: Mapping[str, str] | None = None
    ) -> None:
        """Publish a version of a table.

        Args:
            table: the table.
            version: the version.
            run_id: the run that publishes it.
            variants: the version of each variant that is published with it, by its name.
        """
        content: dict[str, Any] = {"version": version, "run_id": run_id}
        content["path"] = str(self.table_path(table, version))
        if variants:
            content["variants"] = {
                name: {"version": one, "path": str(self.table_path(table, one))}
                for name, one in sorted(variants.items())
            }
        write_json(self.root / "tables" / table / "LATEST", content, indent=None)

    def clear_latest(self, table: str) -> None:
        """Let no version of a table be published."""
        (self.root / "tables" / table / "LATEST").unlink(missing_ok=True)

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
    Progress().print(f"nitamono: {text}")
