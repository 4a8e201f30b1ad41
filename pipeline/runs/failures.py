"""Failures of a run: what Spark, a model or the disk raises becomes a StageError with its cause."""

from collections.abc import Iterator
from contextlib import contextmanager

from models import ModelError
from pipeline.errors import NitamonoError, StageError
from pipeline.stages.context import Job
from pipeline.storage.tracebacks import write_traceback


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
        folder = write_traceback(job.store.run_path(job.run_id)).parent
        raise StageError(
            f"{stage} failed: {job.explain_error(error)}. More is in {folder}"
        ) from error
