"""What submissions are refused for: secrets on a command line, and relative paths."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.config.reading import PATHS
from pipeline.config.sections import Config
from pipeline.errors import UsageError

# Spark's own pattern (spark.redaction.regex), and the clouds' names for secrets.
_SECRET_NAME = re.compile(
    r"secret|password|passphrase|token|access[._-]?key|(account|private|api)[._-]?key", re.I
)
# Names that say where a secret is, or how one is obtained.
_REFERENCE_NAME = re.compile(
    r"spark\.kubernetes\.(driver|executor)\.(secrets|secretKeyRef)\."
    r"|(file|path|provider|class|binding|endpoint|kind|url)$",
    re.I,
)
_HARMLESS_VALUE = re.compile(r"(true|false|\d+[a-z]*)?", re.I)
_JAVA_OPTION = re.compile(rf"-D\S*?(?:{_SECRET_NAME.pattern})[^\s=]*=\S", re.I)
_ADDRESS_WITH_PASSWORD = re.compile(r"\w://[^/\s:@]+:[^/\s@]+@")
_ADVICE = (
    "other users of the machine, logs and web pages show command lines; take it out of [spark] and "
    "--conf and leave credentials to the role of the host or pod, or to the environment (on "
    "Kubernetes spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY=SECRET:KEY, and the "
    "same of executor)"
)


def refuse_secrets(conf: Mapping[str, str], arguments: Iterable[str]) -> None:
    """Refuse a command line that holds secrets, as far as names tell.

    Raises:
        UsageError: it holds one; the message names the setting, not the secret.
    """
    for name, value in sorted(conf.items()):
        is_secret = (
            _SECRET_NAME.search(name)
            and not _REFERENCE_NAME.search(name)
            and not _HARMLESS_VALUE.fullmatch(value)
        )
        if is_secret or _JAVA_OPTION.search(value) or _ADDRESS_WITH_PASSWORD.search(value):
            raise UsageError(f"{name} is a secret, or holds one: {_ADVICE}")
    if any(_ADDRESS_WITH_PASSWORD.search(argument) for argument in arguments):
        raise UsageError(f"an address with a password is a secret: {_ADVICE}")


def local_paths(config: Config) -> dict[str, str]:
    """The settings whose values are paths without a scheme, and these paths."""
    paths = {}
    for section, key in PATHS:
        value = getattr(getattr(config, section), key)
        for path in [value] if isinstance(value, str) else value:
            if path and "://" not in path:
                paths[f"{section}.{key}"] = path
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
            "relative path leads elsewhere; write an s3a:// address, or the absolute path of a "
            "volume that all hosts have"
        )
