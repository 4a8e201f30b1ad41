"""What can go wrong while a published version is read, told to its user."""

from collections.abc import Iterator
from contextlib import contextmanager

from models import ModelError
from pipeline.errors import StageError, UsageError
from pipeline.query.published import Published


@contextmanager
def whole(published: Published) -> Iterator[None]:
    """Say what is meant where a version goes while it is read, or its model can't be used.

    Raises:
        UsageError: a file of it is gone.
        StageError: the model fails.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(
            f"version {published.version} is not whole any more: {error}; nitamono gc deletes old "
            "versions: ask again, or choose another"
        ) from error
    except ModelError as error:
        raise StageError(f"the model of version {published.version}: {error}") from error
