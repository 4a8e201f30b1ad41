"""The application: from a catalogue to a published similar-item table."""

from importlib import metadata

__version__ = metadata.version("nitamono")
