"""The format of a store: store.json says which one it has, and which nitamono made it so.

The number is raised when an earlier nitamono would misread what a later one writes. Then the later
one reads the earlier format, or asks for `nitamono upgrade`; the earlier one refuses the store.
"""

from pipeline import __version__
from pipeline.errors import DamagedError, UsageError
from pipeline.storage.files import read_object, write_json
from pipeline.storage.paths import StoragePath

NAME = "store.json"
# What this nitamono writes, and the greatest that it reads.
FORMAT = 1
# That of the stores of releases up to 0.2, which wrote no store.json.
FIRST_FORMAT = 0
ADVICE = (
    "an earlier nitamono made this store; it can be used as it is. To give it the present format, "
    "once: nitamono upgrade --config FILE"
)
_CONTENTS = ("tables", "stages", "runs", "models")


def read(root: StoragePath) -> int:
    """The format of a store.

    Raises:
        UsageError: a later nitamono has made the store; this one can't read it.
        DamagedError: store.json is damaged.
    """
    try:
        content = read_object(root / NAME, format=int, nitamono=str)
    except DamagedError as error:
        remedy = "put its copy of a backup in its place; or delete it and run: nitamono upgrade"
        raise DamagedError(error.what, f"{remedy} --config FILE") from error
    if content is None:
        return FIRST_FORMAT
    number: int = content["format"]
    if number > FORMAT:
        raise UsageError(
            f"{root}: nitamono {content['nitamono']} made this store, in format {number}; this is "
            f"nitamono {__version__}, which knows formats up to {FORMAT}: install nitamono "
            f"{content['nitamono']} or a later one"
        )
    return number


def mark(root: StoragePath) -> None:
    """Write store.json: all of the store has this format."""
    write_json(root / NAME, {"format": FORMAT, "nitamono": __version__}, indent=None)


def mark_if_new(root: StoragePath) -> bool:
    """The same, for a store that holds nothing yet; every process would write the same.

    Returns:
        whether it holds nothing yet.
    """
    is_new = not any((root / name).is_dir() for name in _CONTENTS)
    if is_new:
        mark(root)
    return is_new
