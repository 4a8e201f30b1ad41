"""Export to JSON Lines: every item and every quarantined row as one object, in several files.

The files of a version are in a folder of their own, FOLDER/version=ID-N for N files.
FOLDER/manifest.json names the folder that readers read; it is written last. The same table makes
the same files, so an interrupted export is continued with the files that are missing.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.config.sections import Config
from pipeline.errors import StageError, UsageError
from pipeline.export.jsonl import lines, write
from pipeline.export.jsonl.layout import NOTES, Layout
from pipeline.export.options import Options
from pipeline.export.source import Source
from pipeline.storage.files import read_json, write_json
from pipeline.storage.paths import StoragePath, remove_tree, storage_path
from pipeline.store import lock, publications
from pipeline.store.resolve import resolve
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MANIFEST = "manifest.json"
_ITEMS_PER_FILE = 1_000_000
_TABLES = ("items", "quarantine", "short_lists")

OpenSession = Callable[[], AbstractContextManager["SparkSession"]]


def export(
    store: Store, config: Config, source: Source, options: Options, open_session: OpenSession
) -> dict[str, Any]:
    """Write the files of a version, and let the manifest name them.

    Args:
        store: where the version is.
        config: how an object store is reached.
        source: the version.
        options: the folder, the number of files, whether they are compressed.
        open_session: opens a Spark session; it is called only if files are missing.

    Returns:
        fields of the verb's result.

    Raises:
        UsageError: the items of this version are not in the store any more.
        StageError: the files do not hold what the tables do; readers read what they read before.
        LockedError: another export to this folder is under way.
    """
    out = storage_path(options.out, config.object_stores(), "--out")
    versions = _table_versions(store, source)
    counts = _row_counts(store, source, versions)
    files = options.files or -(-counts["items"] // _ITEMS_PER_FILE)
    name = f"version={source.version}-{files}{'-gzip' if options.gzip else ''}"
    layout = Layout(out / name, files, gzip=options.gzip)
    result = {"folder": str(out / name), "files": files, "items": counts["items"]}
    with lock.hold_folder(out / "_locks", "nitamono export", f"the folder {out}"):
        previous = (read_json(out / MANIFEST) or {}).get("folder")
        if previous == name and not options.again:
            return {**result, "done": "already"}
        if previous == name:
            remove_tree(layout.folder / NOTES)
        missing = layout.missing()
        if missing:
            with open_session() as spark:
                rows = lines.lines(spark, store, source.version, versions, layout, missing)
                write.write_files(rows, layout)
        notes = layout.notes()
        _verify(layout, notes, counts)
        _write_manifest(out, name, source, counts, notes)
        _remove_old_versions(out, {name, previous})
    checked = f"{counts['quarantined']:,} quarantined rows; counted"
    return {**result, "done": "exported", "checked": checked, "files_copied": len(missing)}


def _table_versions(store: Store, source: Source) -> dict[str, str]:
    """The versions of the other tables that belong to this version.

    Raises:
        UsageError: they are not in the store any more.
    """
    stages = resolve(store, source.version).stages
    versions = {table: stages.get(publications.POINTERS[table], "") for table in _TABLES}
    missing = [table for table, version in versions.items() if not store.has_table(table, version)]
    if missing:
        raise UsageError(
            f"export to jsonl: of version {source.version} the tables {', '.join(missing)} are not "
            "in the store any more; export a later version"
        )
    return versions


def _row_counts(store: Store, source: Source, versions: dict[str, str]) -> dict[str, int]:
    """The counts that the files must have, under the names that their notes use."""
    return {
        "items": store.dataset("items", versions["items"]).count_rows(),
        "quarantined": store.dataset("quarantine", versions["quarantine"]).count_rows(),
        "neighbors": source.rows,
    }


def _verify(layout: Layout, notes: list[dict[str, Any]], expected: dict[str, int]) -> None:
    """Check that the files are there and hold every row once.

    Raises:
        StageError: they do not; all files are written anew by the next export.
    """
    actual = {name: sum(note[name] for note in notes) for name in expected}
    damaged = [
        note["name"]
        for note in notes
        if not (path := layout.folder / note["name"]).is_file()
        or path.stat().st_size != note["bytes"]
    ]
    if actual != expected or damaged or len(notes) != layout.files:
        remove_tree(layout.folder / NOTES)
        hint = f" ({damaged[0]} is not as it was written: do all hosts see it?)" if damaged else ""
        raise StageError(
            f"export: the files in {layout.folder} hold {actual}, not {expected}{hint}; run it "
            "again"
        )


def _write_manifest(
    out: StoragePath,
    name: str,
    source: Source,
    counts: dict[str, int],
    notes: list[dict[str, Any]],
) -> None:
    version = {"version": source.version, "run_id": source.run_id, "folder": name}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(out / MANIFEST, {**version, **counts, "written": now, "files": notes})


def _remove_old_versions(out: StoragePath, retained: set[str | None]) -> None:
    """Remove the versions that neither this manifest nor the last one names."""
    for folder in out.iterdir():
        is_export = folder.name.startswith("version=") and (folder / NOTES).is_dir()
        if is_export and folder.name not in retained:
            remove_tree(folder)
