"""Failures of a run: what Spark, a model or the disk raises becomes a StageError with its cause."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from models import ModelError
from pipeline.errors import NitamonoError, StageError
from pipeline.redaction import mask
from pipeline.stages.context import Job
from pipeline.storage.paths import StoragePath


@contextmanager
def explained_failures(stage: str, job: Job) -> Iterator[None]:
    """Turn every error of a stage into a NitamonoError.

    Raises:
        StageError: the cause in one line, and the folder with the traceback.
    """
    try:
        yield
    except NitamonoError:
        raise
    except ModelError as error:
        raise StageError(f"{stage}: {error}") from error
    except Exception as error:
        folder = write_traceback(job).parent
        raise StageError(
            f"{stage} failed: {job.explain_error(error)}. More is in {folder}"
        ) from error


def write_traceback(job: Job) -> StoragePath:
    """Write the traceback of the error that is being handled into the run's folder.

    Returns:
        the file; it is missing if it can't be written.
    """
    file = job.store.run_path(job.run_id) / "error.txt"
    # If the disk is full, the user must still be told the cause.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(mask(traceback.format_exc()), encoding="utf-8")
    return file
