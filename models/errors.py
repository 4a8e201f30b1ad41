"""The error that models raise."""


class ModelError(Exception):
    """A model can't be read, trained, shipped or loaded; the message says which and why."""
