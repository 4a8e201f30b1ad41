"""A driver: upgrades of a store in processes that are killed wherever they change the store.

Its argument is the config. An upgrade is killed at the first change of a kind that none before it
was killed at, until one comes through. It prints the kinds as JSON.
"""

import json
import os
import signal
import sys
from pathlib import Path

from pipeline.cli.main import execute
from tests.pipeline.killer import Killer, wait

# Locks are for the runs that are killed (tests.pipeline.killed_runs); of tables some are enough.
SKIPPED = "locks/|tables/(?!items|embeddings|similar_items)"


def main() -> None:
    """Upgrades of one store, each killed, and the last one not."""
    config = Path(sys.argv[1])
    note, seen = config.parent / "killed", set[str]()
    arguments = ["upgrade", "--config", str(config)]
    sys.stdout, result = sys.stderr, sys.stdout
    # What it needs is loaded once for all.
    execute([*arguments, "--dry-run"])
    while True:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                Killer(config.parent / "store", seen, SKIPPED, note).arm()
                execute(arguments)
                code = 0
            finally:
                os._exit(code)
        status = wait(pid)
        if status != -signal.SIGKILL:
            break
        seen.add(note.read_text())
    result.write(json.dumps(sorted(seen)))
    sys.exit(status)


if __name__ == "__main__":
    main()
