"""Errors while a published version is read, as messages to the user."""

from collections.abc import Iterator
from contextlib import contextmanager

from models import ModelError
from pipeline.errors import StageError, UsageError
from pipeline.query.published import Published


@contextmanager
def user_errors(published: Published) -> Iterator[None]:
    """Replace errors of reading a version by errors that tell the user what to do.

    Raises:
        UsageError: a file of the version is gone.
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
