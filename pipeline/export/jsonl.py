"""Export to JSON Lines: every item and every quarantined row as one object, in some files.

The files of a version are in a folder of their own, FOLDER/version=ID-N for N files; which one
readers take, FOLDER/manifest.json says, which is written last. The same table makes the same files,
so an export that is broken off goes on with those that it lacks.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.config.sections import Config
from pipeline.errors import StageError, UsageError
from pipeline.export import jsonl_files
from pipeline.export.jsonl_files import NOTES, Layout
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
_ITEMS_A_FILE = 1_000_000
_TABLES = ("items", "quarantine", "short_lists")

Spark = Callable[[], AbstractContextManager["SparkSession"]]


def export(
    store: Store, settings: Config, source: Source, options: Options, spark: Spark
) -> dict[str, Any]:
    """Write the files of a version, and let the manifest name them.

    Args:
        store: that it is in.
        settings: for reaching an object store.
        source: the version.
        options: the folder, the number of files, whether they are compressed.
        spark: a session, started when it is needed.

    Returns:
        what was done, for the result.

    Raises:
        UsageError: the items of this version are not in the store any more.
        StageError: the files do not hold what the tables do; readers take what they took before.
        LockedError: another export to this folder is under way.
    """
    out = storage_path(options.out, settings.s3.options(), "--out")
    versions = _versions(store, source)
    wanted = {
        "items": store.dataset("items", versions["items"]).count_rows(),
        "quarantined": store.dataset("quarantine", versions["quarantine"]).count_rows(),
        "neighbors": source.rows,
    }
    files = options.files or -(-wanted["items"] // _ITEMS_A_FILE)
    name = f"version={source.version}-{files}{'-gzip' if options.gzip else ''}"
    layout = Layout(out / name, files, gzip=options.gzip)
    with lock.hold_folder(out / "_locks", "nitamono export", f"the folder {out}"):
        before = (read_json(out / MANIFEST) or {}).get("folder")
        shown = {"folder": str(out / name), "files": files, "items": wanted["items"]}
        if before == name and not options.again:
            return {**shown, "done": "already"}
        if before == name:
            remove_tree(layout.folder / NOTES)
        missing = layout.missing()
        if missing:
            with spark() as session:
                lines = jsonl_files.lines(session, store, source.version, versions, layout, missing)
                jsonl_files.write(lines, layout)
        made = layout.made()
        _check(layout, made, wanted)
        about = {"version": source.version, "run_id": source.run_id, "folder": name, **wanted}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(out / MANIFEST, {**about, "written": now, "files": made})
        _remove_others(out, {name, before})
    checked = f"{wanted['quarantined']:,} quarantined rows; counted"
    return {**shown, "done": "exported", "checked": checked, "files_copied": len(missing)}


def _versions(store: Store, source: Source) -> dict[str, str]:
    """Which versions of the other tables belong to this one."""
    stages = resolve(store, source.version).stages
    versions = {table: stages.get(publications.POINTERS[table], "") for table in _TABLES}
    missing = [table for table, version in versions.items() if not store.has_table(table, version)]
    if missing:
        raise UsageError(
            f"export to jsonl: of version {source.version} the tables {', '.join(missing)} are not "
            "in the store any more; export a later version"
        )
    return versions


def _check(layout: Layout, made: list[dict[str, Any]], wanted: dict[str, int]) -> None:
    """See that the files hold every row once, and are where they should be."""
    found = {name: sum(file[name] for file in made) for name in wanted}
    gone = [
        file["name"]
        for file in made
        if not (path := layout.folder / file["name"]).is_file()
        or path.stat().st_size != file["bytes"]
    ]
    if found != wanted or gone or len(made) != layout.files:
        remove_tree(layout.folder / NOTES)
        seen = f" ({gone[0]} is not as it was written: do all hosts see it?)" if gone else ""
        raise StageError(
            f"export: the files in {layout.folder} hold {found}, not {wanted}{seen}; run it again"
        )


def _remove_others(out: StoragePath, kept: set[str | None]) -> None:
    """Remove versions that neither this manifest nor the last one names."""
    for folder in out.iterdir():
        ours = folder.name.startswith("version=") and (folder / NOTES).is_dir()
        if ours and folder.name not in kept:
            remove_tree(folder)
