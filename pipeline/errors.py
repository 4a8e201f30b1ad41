"""What can go wrong, each with the exit code that the command ends with."""

import re

_LAST_ERROR = re.compile(r"^([\w.]+(?:Error|Exception|Interrupt)): (.+)$", re.M)
_LAST_JAVA_ERROR = re.compile(r"^(?:: |Caused by: )([\w.$]+(?:Error|Exception)): (.+)$", re.M)


class NitamonoError(Exception):
    """A failure with a message for the user: what is wrong, and what to do about it."""

    exit_code = 5


class UsageError(NitamonoError):
    """The command line or the config is wrong."""

    exit_code = 2


class InputError(NitamonoError):
    """The catalogue, or another file that was given, can't be used. Nothing was published."""

    exit_code = 3


class GateError(NitamonoError):
    """The table was written but held back: it failed a check of the gate."""

    exit_code = 4


class LockedError(NitamonoError):
    """Another run holds the store's lock."""

    exit_code = 5


class StageError(NitamonoError):
    """A stage failed for a reason that lies outside the input."""

    exit_code = 5


def text_of(error: Exception) -> str:
    """An exception's text; that of a Java exception can be had only while the JVM lives."""
    try:
        return str(error)
    except Exception as second:
        return f"{type(second).__name__}: {second}"


def cause(error: Exception) -> str:
    """The innermost message that a chain of Java and Python exceptions tells of."""
    text = text_of(error)
    found = _LAST_ERROR.findall(text) or _LAST_JAVA_ERROR.findall(text)
    if found:
        name, message = found[-1]
        return f"{name.rsplit('.', 1)[-1]}: {message[:500]}"
    lines = [line for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__
