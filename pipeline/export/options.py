"""The options of the verb export."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of the verb; each target reads its own.

    Attributes:
        table: name of the table in PostgreSQL, NAME or SCHEMA.NAME, or of a catalog; empty: the
            target's default.
        prefix: prefix of all keys in redis.
        out: folder of the JSON Lines files.
        files: number of JSON Lines files; 0: decided by the number of items.
        gzip: whether the JSON Lines files are compressed.
        jobs: number of files that are exported at the same time.
        again: export even if the target already has this version.
        swap_wait: seconds to wait for readers of the old table in PostgreSQL.
        keep_seconds: how long the old version stays in redis; None: until the next export.
    """

    table: str = ""
    prefix: str = "similar_items"
    out: str = ""
    files: int = 0
    gzip: bool = False
    jobs: int = 4
    again: bool = False
    swap_wait: float = 300.0
    keep_seconds: int | None = None
