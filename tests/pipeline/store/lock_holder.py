"""A process that takes a store's lock; its arguments are the store, its name and what it does.

hold    says so and holds it until its input ends
contend waits for the file `go` in the store, and kills itself as soon as it has been alone in there
"""

import os
import signal
import sys
import time
from pathlib import Path

from pipeline.errors import LockedError
from pipeline.store import lock
from pipeline.store.store import Store


def main() -> None:
    """Take the lock."""
    folder, name, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    store = Store(str(folder))
    if what == "hold":
        try:
            with lock.hold_store(store, name):
                sys.stdout.write("held\n")
                sys.stdout.flush()
                sys.stdin.read()
        except LockedError as error:
            sys.stdout.write(f"{error}\n")
        return
    lock._POLL_SECONDS = 0.001
    while not (folder / "go").exists():
        pass
    with lock.hold_store(store, name, wait=60):
        # Nobody else may be between these two.
        os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
        time.sleep(0.002)
        with (folder / "log").open("a") as log:
            log.write(f"{name}\n")
        (folder / "inside").unlink()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
