"""The form of run.json: what every release has written, and what is read of its parts."""

from datetime import datetime
from types import UnionType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from pipeline.errors import DamagedError
from pipeline.storage.files import read_object
from pipeline.storage.paths import StoragePath

# The type of each field that every release has written.
RUN_FIELDS: dict[str, type | UnionType] = {
    "run_id": str,
    "started": str,
    "status": str,
    "message": str,
    "seconds": int | float,
    "counts": dict,
    "settings": dict,
    "fingerprints": dict,
    "recall": dict | None,
    "published": dict | None,
}


class _Part(BaseModel):
    """A part of run.json. What is not read may have any form."""

    model_config = ConfigDict(strict=True)


class _Gate(_Part):
    churn: float | None = None


class _Quality(_Part):
    coverage: float | None = None


class _Counts(_Part):
    items: int | None = None
    rows: int | None = None
    rows_read: int = 0
    quarantined: int = 0
    table_bytes: int | None = None
    written_bytes: int | None = None
    gate: _Gate = _Gate()
    quality: _Quality | None = None


class _Recall(_Part):
    queries: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


class _Published(_Part):
    version: str


class _Stage(_Part):
    stage: str
    status: str
    seconds: float


class _Process(_Part):
    model_config = ConfigDict(extra="forbid")

    machine: str
    pid: int
    started: int


class _Settings(_Part):
    publish: dict[str, Any] = {}
    expect: dict[str, Any] = {}


class _Run(_Part):
    started: Annotated[str, AfterValidator(datetime.fromisoformat)]
    counts: _Counts
    settings: _Settings
    recall: _Recall | None
    published: _Published | None
    stages: list[_Stage] = []
    uses: list[str] = []
    process: _Process | None = None
    publishing: bool = True


def read(path: StoragePath) -> dict[str, Any] | None:
    """The content of a run.json; None if there is no such file.

    Raises:
        DamagedError: it is no JSON, or a part that is read has another form.
    """
    content = read_object(path, **RUN_FIELDS)
    if content is None:
        return None
    try:
        _Run.model_validate(content)
    except ValidationError as error:
        name = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise DamagedError(f"{path}: damaged: it holds no valid {name}") from error
    return content
