"""What submissions are refused for: secrets on a command line, and relative paths."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline import redaction
from pipeline.config.reading import PATHS
from pipeline.config.sections import Config
from pipeline.errors import UsageError


def refuse_secrets(conf: Mapping[str, str], arguments: Iterable[str]) -> None:
    """Refuse a command line that holds secrets, as far as names tell.

    Raises:
        UsageError: it holds one; the message names the setting, not the secret.
    """
    for name, value in sorted(conf.items()):
        if redaction.holds_secret(name, value):
            raise UsageError(f"{name} is a secret, or holds one: {redaction.ADVICE}")
    if any(redaction.holds_secret("", argument) for argument in arguments):
        raise UsageError(f"an argument holds a secret: {redaction.ADVICE}")


def local_paths(config: Config) -> dict[str, str]:
    """The settings whose values are paths without a scheme, and these paths."""
    paths = {}
    for section, key in PATHS:
        value = getattr(getattr(config, section), key)
        for path in [value] if isinstance(value, str) else value:
            if path and "://" not in path:
                paths[f"{section}.{key}"] = path
    for variant in config.variant:
        path = variant.rules.deny if variant.rules else ""
        if path and "://" not in path:
            paths[f"variant {variant.name}: rules.deny"] = path
    return paths


def refuse_relative_paths(config: Config) -> None:
    """Refuse paths that a driver on another host can't find.

    Args:
        config: a config whose relative paths were not made absolute.

    Raises:
        UsageError: a path is relative to a folder of this host.
    """
    relative = [
        f"{name} = {path}"
        for name, path in local_paths(config).items()
        if not Path(path).is_absolute()
    ]
    if relative:
        raise UsageError(
            f"{'; '.join(relative)}: in cluster mode the driver runs on another host, where a "
            "relative path leads elsewhere; write an address in an object store, or the absolute "
            "path of a volume that all hosts have"
        )
