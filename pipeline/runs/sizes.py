"""Sizes of what a run writes, from the lists of files that are written beside the tables."""

from contextlib import suppress

from pipeline.errors import DamagedError
from pipeline.store import file_list
from pipeline.store.file_list import File
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store


def written_bytes(store: Store, record: StageRecord) -> int:
    """The size of the files that a stage has written: of its tables, and of its model.

    What a table shares with the night before was written then, and does not count.
    """
    files = [file for table in record.tables for file in _files(store, table, record)]
    model: int = record.counts.get("model_bytes", 0)
    return model + sum(file.bytes for file in files if not file.folder)


def table_bytes(store: Store, record: StageRecord) -> int:
    """The size of the similar-item table that a record of publish is of; 0 if it is not known."""
    return sum(file.bytes for file in _files(store, "similar_items", record))


def _files(store: Store, table: str, record: StageRecord) -> tuple[File, ...]:
    # Whoever reads the table says that it is damaged.
    with suppress(DamagedError):
        listed = file_list.read(store.table_path(table, record.version(table)))
        return listed.files if listed else ()
    return ()
