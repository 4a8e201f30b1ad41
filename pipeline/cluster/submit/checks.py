"""What a submission is refused for: secrets on a command line, paths that lead nowhere."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.config.reading import PATHS
from pipeline.config.sections import Config
from pipeline.errors import UsageError

# Spark's own pattern (spark.redaction.regex), and what the clouds call theirs.
_SECRET = re.compile(
    r"secret|password|passphrase|token|access[._-]?key|(account|private|api)[._-]?key", re.I
)
# Names that say where a secret is, or how one is had.
_WHERE = re.compile(
    r"spark\.kubernetes\.(driver|executor)\.(secrets|secretKeyRef)\."
    r"|(file|path|provider|class|binding|endpoint|kind|url)$",
    re.I,
)
_HARMLESS = re.compile(r"(true|false|\d+[a-z]*)?", re.I)
_IN_VALUE = re.compile(rf"-D\S*?(?:{_SECRET.pattern})[^\s=]*=\S", re.I)
_IN_ADDRESS = re.compile(r"\w://[^/\s:@]+:[^/\s@]+@")
_WHERE_TO = (
    "other users of the machine, logs and web pages show command lines; take it out of [spark] and "
    "--conf and leave credentials to the role of the host or pod, or to the environment (on "
    "Kubernetes spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY=SECRET:KEY, and the "
    "same of executor)"
)


def no_secrets(conf: Mapping[str, str], arguments: Iterable[str]) -> None:
    """See that a command line holds no secrets, as far as names tell.

    Raises:
        UsageError: it does; the message names the setting, not the secret.
    """
    for name, value in sorted(conf.items()):
        named = _SECRET.search(name) and not _WHERE.search(name) and not _HARMLESS.fullmatch(value)
        if named or _IN_VALUE.search(value) or _IN_ADDRESS.search(value):
            raise UsageError(f"{name} is a secret, or holds one: {_WHERE_TO}")
    if any(_IN_ADDRESS.search(argument) for argument in arguments):
        raise UsageError(f"an address with a password is a secret: {_WHERE_TO}")


def local_paths(settings: Config) -> dict[str, str]:
    """The settings that name a path without a scheme, and these paths."""
    found = {}
    for section, key in PATHS:
        value = getattr(getattr(settings, section), key)
        for path in [value] if isinstance(value, str) else value:
            if path and "://" not in path:
                found[f"{section}.{key}"] = path
    return found


def no_relative_paths(settings: Config) -> None:
    """See that a driver on another host finds what the config names.

    Args:
        settings: whose relative paths were not made absolute.

    Raises:
        UsageError: a path is relative to a folder of this host.
    """
    relative = [
        f"{name} = {path}"
        for name, path in local_paths(settings).items()
        if not Path(path).is_absolute()
    ]
    if relative:
        raise UsageError(
            f"{'; '.join(relative)}: in cluster mode the driver runs on another host, where a "
            "relative path leads elsewhere; write an s3a:// address, or the absolute path of a "
            "volume that all hosts have"
        )
