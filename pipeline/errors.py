"""The errors of nitamono, each with the exit code of the command."""

import re

from pipeline.redaction import mask

_ERROR_LINE = re.compile(r"^([\w.]+(?:Error|Exception|Interrupt)): (.+)$", re.M)
_JAVA_ERROR_LINE = re.compile(r"^(?:: |Caused by: )([\w.$]+(?:Error|Exception)): (.+)$", re.M)


class NitamonoError(Exception):
    """An error with a message for the user: what happened, why, and what to do."""

    exit_code = 5

    def __init__(self, message: str = "") -> None:
        """Take the message; secrets in it are masked."""
        super().__init__(mask(message))


class UsageError(NitamonoError):
    """The command line or the config is wrong."""

    exit_code = 2


class InputError(NitamonoError):
    """The catalogue or another input file can't be used. Nothing was published."""

    exit_code = 3


class GateError(NitamonoError):
    """The table was written, but not published: it failed a check of the gate."""

    exit_code = 4


class LockedError(NitamonoError):
    """Another process holds the store's lock."""

    exit_code = 5


class StageError(NitamonoError):
    """A stage failed, and not because of the catalogue or the config."""

    exit_code = 5


class DamagedError(StageError):
    """A file of the store is damaged or missing.

    Attributes:
        what: which file, and what is wrong with it: the message without the remedy.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}; {remedy}" if remedy else what)
        self.what = what


def text_of(error: Exception) -> str:
    """The text of an exception without secrets; a Java one has it only while the JVM lives."""
    try:
        return mask(str(error))
    except Exception as second:
        return f"{type(second).__name__}: {second}"


def cause(error: Exception) -> str:
    """The innermost message of a chain of Java and Python exceptions, in one line."""
    text = text_of(error)
    messages = _ERROR_LINE.findall(text) or _JAVA_ERROR_LINE.findall(text)
    if messages:
        name, message = messages[-1]
        return f"{name.rsplit('.', 1)[-1]}: {message[:500]}"
    lines = [line for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__
