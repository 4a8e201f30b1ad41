"""The log on stderr: text for people, or one JSON object a line for programs."""

import json
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from pipeline.redaction import mask_settings
from pipeline.terminal.escapes import escape_json

LogFormat = Literal["text", "json"]
FORMATS: tuple[str, ...] = get_args(LogFormat)


class _Log:
    """How this process writes its log.

    Attributes:
        format: text or json.
        run_id: the run under way; empty if there is none.
    """

    def __init__(self) -> None:
        self.format: LogFormat = "text"
        self.run_id = ""


LOG = _Log()


def json_line(event: str, text: str | None, stage: str = "", **numbers: Any) -> str:  # noqa: ANN401 - JSON
    """An event as one line of JSON, without its line break.

    Args:
        event: what has happened: message, stage_started, stage_ended, ...
        text: what the log of text says of it; None if that says nothing.
        stage: the stage, or another part of the work, that it belongs to.
        numbers: further fields.
    """
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "run_id": LOG.run_id or None,
        "stage": stage or None,
        "event": event,
        **numbers,
        **({} if text is None else {"text": text}),
    }
    return escape_json(json.dumps(mask_settings(entry), ensure_ascii=False, default=str))
