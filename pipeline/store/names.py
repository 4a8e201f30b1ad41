"""Names of runs and versions, which are names of folders and never paths."""

import re

from pipeline.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CHARACTERS = "letters, digits, '.', '_' and '-', at most 100, a letter or digit first"


# In commands it stands for what is published now.
LATEST = "LATEST"


def check_name(name: str) -> str:
    """The name of a run or version, if it can be one.

    Raises:
        UsageError: it is a path, or no run or version can have this name.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{ascii(name)[1:-1]} is no name of a run or version: names have {_CHARACTERS}; "
            "nitamono runs lists the runs"
        )
    return name


def check_new_name(name: str) -> str:
    """The name of a new run, if it can be one.

    Raises:
        UsageError: as `check_name`; or it is LATEST, which stands for another run.
    """
    if name == LATEST:
        raise UsageError(f"--run-id {name}: this name stands for what is published; choose another")
    return check_name(name)
