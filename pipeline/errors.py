"""What can go wrong, each with the exit code that the command ends with."""


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
