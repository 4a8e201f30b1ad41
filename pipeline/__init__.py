"""The application: from a catalogue to a published similar-item table."""


def __getattr__(name: str) -> str:
    """The package's version, looked up when first needed: that takes longer than `nitamono --help`.

    Raises:
        AttributeError: another name than __version__.
    """
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata

    return metadata.version("nitamono")
