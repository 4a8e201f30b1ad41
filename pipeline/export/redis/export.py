"""Export to redis: one key for each item under the version's name, and a pointer that is set last.

PREFIX:LATEST is the version that readers read. PREFIX:VERSION:ITEM_ID is an item's list in JSON:
[[similar_id, score], ...], the best first. PREFIX:VERSIONS is the set of the versions that have
keys, PREFIX:PROGRESS:VERSION says which files have been written. Writing a list twice does no harm,
so a file whose writing was interrupted is written again.
"""

import os
from typing import Any

from pipeline.export.address import Address
from pipeline.export.options import Options
from pipeline.export.parallel import Meter, for_each_file
from pipeline.export.redis.keys import Keys, as_text, prepare_version, remove_version
from pipeline.export.redis.lists import ListWriter
from pipeline.export.redis.lock import hold_lock
from pipeline.export.redis.server import PASSWORD, check_server, connect, server_errors
from pipeline.export.source import Source
from pipeline.terminal.progress import StageLine


def export(source: Source, address: Address, options: Options, line: StageLine) -> dict[str, Any]:
    """Make the lists of a version those that readers read.

    Returns:
        fields of the verb's result.

    Raises:
        StageError: the server fails; readers read what they read before.
        LockedError: another export to this prefix is under way.
    """
    address = address.with_secrets(os.environ, PASSWORD)
    keys, meter = Keys(options.prefix), Meter(line, source.rows)
    with server_errors(address), connect(address) as client:
        check_server(client, address)
        with hold_lock(client, keys.lock, meter.stop) as lock:
            result: dict[str, Any] = {"prefix": keys.prefix, "files": len(source.files)}
            published = as_text(client.get(keys.latest))
            if published == source.version and not options.again:
                return {**result, "done": "already"}
            line.note = "removing versions that nobody reads"
            prepare_version(client, keys, source, published)
            writer = ListWriter(source, client, keys)
            written = writer.written_files()
            meter.resume(sum(rows for rows, _ in written.values()))
            unfinished = source.unfinished(written)
            for_each_file(
                unfinished, lambda number: writer.write(number, meter), options.jobs, meter
            )
            line.note = "comparing lists with the store's"
            items, compared = writer.verify()
            lock.set_pointer(keys.latest, source.version)
            if published and published != source.version and options.keep_seconds is not None:
                line.note = "letting the old version expire"
                remove_version(client, keys, published, options.keep_seconds)
    return {
        **result,
        "done": "exported",
        "items": items,
        "checked": f"counted, and {compared:,} lists read back and compared",
        "files_copied": len(unfinished),
    }
