"""The last resort: the traceback of an error that no verb has explained is kept in a file."""

import tempfile
from argparse import Namespace
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipeline.storage.paths import StoragePath
from pipeline.storage.tracebacks import write_traceback


def keep_traceback(arguments: Namespace | None) -> StoragePath:
    """Keep the traceback of the error that is being handled.

    Args:
        arguments: those of the verb; None if the command line was not understood.

    Returns:
        the file: in the store's folder of runs if the verb has a config and its store can be
        written to, else in a temporary folder.
    """
    verb = getattr(arguments, "verb", "") or "nitamono"
    # Whatever is wrong with the store, it must not hide the error.
    with suppress(Exception):
        return _in_store(arguments, verb)
    return write_traceback(Path(tempfile.mkdtemp(prefix=f"nitamono-{verb}-")))


def _in_store(arguments: Namespace | None, verb: str) -> StoragePath:
    from pipeline.config import reading
    from pipeline.store.store import Store
    from pipeline.store.store_format import FIRST_FORMAT

    if arguments is None:
        raise FileNotFoundError
    config = reading.load(arguments.config, arguments.assignments)
    store = Store.of(config, make=False)
    if store.format == FIRST_FORMAT and not (store.root / "runs").is_dir():
        # A store that holds nothing yet would be taken for one of an earlier release.
        raise FileNotFoundError
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    file = write_traceback(store.run_path(f"{moment}Z-{verb}"))
    if not file.is_file():
        raise FileNotFoundError
    return file
