"""What the command line says of an export."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of the verb.

    Attributes:
        table: of PostgreSQL: NAME or SCHEMA.NAME.
        prefix: of redis' keys.
        out: the folder of jsonl.
        files: of jsonl; 0: by the number of items.
        gzip: whether those are compressed.
        jobs: files at a time.
        again: though this version is there already.
        swap_wait: for readers of PostgreSQL's old table, in seconds.
        keep_seconds: how long redis' old version stays; None: until the next export.
    """

    table: str = "similar_items"
    prefix: str = "similar_items"
    out: str = ""
    files: int = 0
    gzip: bool = False
    jobs: int = 4
    again: bool = False
    swap_wait: float = 300.0
    keep_seconds: int | None = None
