"""Reading the config: TOML, then the environment, then --set."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pipeline.config.sections import Config
from pipeline.config.sections.locations import FILE_FORMATS
from pipeline.errors import UsageError
from pipeline.redaction import ADVICE, is_secret

ENVIRONMENT_PREFIX = "NITAMONO_"
# The ends of the variables that Kubernetes sets for a service.
_OF_SERVICE = re.compile(r"(service_host|(service_)?port(_.*)?)")
# Settings that have another name now.
_MOVED = {"publish.max_quarantined": "expect.max_quarantined"}
# Settings that hold paths, or lists of them.
_CATALOGUE = ("catalogue", "path")
PATHS = (
    ("store", "path"),
    _CATALOGUE,
    ("model", "path"),
    ("model", "pretrained"),
    ("model", "distilled"),
    ("rules", "deny"),
    ("edits", "path"),
    ("text", "user_dictionaries"),
    ("metrics", "textfile"),
    ("lineage", "file"),
)


class _Override(NamedTuple):
    """One setting of the environment or of --set.

    Attributes:
        source: where it stands, for messages.
        keys: the section and the names below it.
        value: as TOML has it.
    """

    source: str
    keys: list[str]
    value: Any


def load(
    path: str | Path,
    assignments: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    absolute_paths: bool = True,
) -> Config:
    """Read a TOML file, then NITAMONO_SECTION_KEY from the environment, then `section.key=value`.

    A relative path in the file is relative to the file's folder; one in the environment or in an
    assignment is relative to the working folder.

    Args:
        path: of the file.
        assignments: `section.key=value`.
        environment: its variables; None: those of this process.
        absolute_paths: whether relative paths are made absolute.

    Raises:
        UsageError: something is wrong; the message names every problem under its setting.
    """
    file = Path(path)
    folder = file.resolve().parent if absolute_paths else None
    return _validated(_read_toml(file), f"config {file}", assignments, environment, folder)


def from_mapping(raw: Mapping[str, Any], assignments: Iterable[str] = ()) -> Config:
    """The config that a mapping holds, as a TOML file would; the environment overrides it too.

    Args:
        raw: settings by section; relative paths are relative to the working folder.
        assignments: `section.key=value`.

    Raises:
        UsageError: something is wrong; the message names every problem under its setting.
    """
    settings: dict[str, Any] = {}
    for name, value in raw.items():
        section, _, key = name.partition(".")
        keys = [section, *([key] if section == "spark" else key.split("."))] if key else [section]
        _merge(settings, _nested(keys, _as_toml(value), "config"), "config")
    return _validated(settings, "config", assignments, None, Path.cwd())


def _as_toml(value: Any) -> Any:  # noqa: ANN401 - any setting
    """A setting's value as TOML would have it."""
    if isinstance(value, Mapping):
        return {str(name): _as_toml(entry) for name, entry in value.items()}
    return str(value) if isinstance(value, os.PathLike) else value


def defaults(
    assignments: Iterable[str] = (), environment: Mapping[str, str] | None = None
) -> Config:
    """The config for verbs that need no file: they read no store and no catalogue.

    Raises:
        UsageError: something is wrong; the message names every problem under its setting.
    """
    raw = {"store": {"path": "store"}, "catalogue": {"path": "catalogue"}}
    return _validated(raw, "settings", assignments, environment, Path.cwd())


def _validated(
    raw: dict[str, Any],
    name: str,
    assignments: Iterable[str],
    environment: Mapping[str, str] | None,
    folder: Path | None,
) -> Config:
    """The config of some settings, with the environment's and the assignments.

    Args:
        raw: the settings, which are changed.
        name: of what they come from, for messages.
        assignments: `section.key=value`.
        environment: its variables; None: those of this process.
        folder: what relative paths of the settings are relative to; None: they stay as they are.
    """
    overrides = [
        *_from_environment(os.environ if environment is None else environment),
        *(_from_assignment(text) for text in assignments),
    ]
    paths = [keys for keys in PATHS if keys != _CATALOGUE or _reads_files(raw, overrides)]
    if folder is not None:
        _make_paths_absolute(raw, folder, paths)
    for source, keys, value in overrides:
        layer = _nested(keys, value, source)
        if folder is not None:
            _make_paths_absolute(layer, Path.cwd(), paths)
        _merge(raw, layer, source)
    raw["spark"] = _flat_spark(raw.get("spark", {}))
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors())
        # The cause would show a notebook the whole config.
        raise UsageError(f"{name}: {problems}") from None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(f"config {file}: no such file; give one with --config FILE") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"config {file}: can't be read: {error}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"config {file}: not valid TOML: {error}") from error


def _toml_value(section: str, keys: list[str], text: str) -> Any:  # noqa: ANN401 - any TOML value
    """The value of an override: TOML; the text itself if that is no TOML, or the setting's type."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return text if not isinstance(value, str) and _is_text(section, keys) else value


def _is_text(section: str, keys: list[str]) -> bool:
    """Whether a setting's value is text."""
    if section == "spark":
        return True
    field = _fields(section).get(keys[0])
    if field is None:
        return len(keys) > 1
    return (field.annotation is str) if len(keys) == 1 else field.annotation == dict[str, str]


def _fields(section: str) -> dict[str, Any]:
    """The settings of a section by name; empty for [spark] and for what is no section."""
    annotation = Config.model_fields[section].annotation if section in Config.model_fields else None
    if _may_repeat(section):
        (annotation,) = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields
    return {}


def _may_repeat(section: str) -> bool:
    """Whether a section may come several times, as [[notify]]."""
    field = Config.model_fields.get(section)
    return field is not None and get_origin(field.annotation) is list


def environment_overrides(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that override settings."""
    overrides = {}
    for name in sorted(environment):
        section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        # The cache of models has variables of this prefix too, and Kubernetes sets some for a
        # service of such a name. What may come several times has no setting that one could name.
        is_setting = section in Config.model_fields and not _may_repeat(section)
        if name.startswith(ENVIRONMENT_PREFIX) and is_setting and not _OF_SERVICE.fullmatch(key):
            overrides[name] = environment[name]
    return overrides


def _from_environment(environment: Mapping[str, str]) -> Iterable[_Override]:
    for name, text in environment_overrides(environment).items():
        section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        key = key.replace("_", ".") if section == "spark" else key
        value = _toml_value(section, [key], text)
        yield _Override(f"environment variable {name}", [section, key], value)


def _from_assignment(text: str) -> _Override:
    name, equals, value = text.partition("=")
    section, _, key = name.strip().partition(".")
    if not equals or not key:
        # What stands after the name may be a secret.
        shown = " ".join(name.split()[:1])
        raise UsageError(f"--set {shown}: write it as --set section.key=value")
    # Spark's own names hold dots; below them nothing is nested.
    keys = [key] if section == "spark" else key.split(".", 1)
    return _Override(
        f"--set {name.strip()}", [section, *keys], _toml_value(section, keys, value.strip())
    )


def _nested(keys: list[str], value: Any, source: str) -> dict[str, Any]:  # noqa: ANN401
    """A value under its keys, one mapping in another."""
    if not all(keys):
        raise UsageError(f"{source}: names no setting; write section and key")
    for key in reversed(keys):
        value = {key: value}
    nested: dict[str, Any] = value
    return nested


def _merge(target: dict[str, Any], layer: dict[str, Any], source: str) -> None:
    """Put a layer's settings into a config in place; a mapping is merged, not replaced."""
    for key, value in layer.items():
        if isinstance(value, dict):
            section = target.setdefault(key, {})
            if not isinstance(section, dict):
                raise UsageError(f"{source}: {key} is not a section")
            _merge(section, value, source)
        else:
            target[key] = value


def _reads_files(raw: dict[str, Any], overrides: Iterable[_Override]) -> bool:
    """Whether catalogue.path is a path; what a connector loads may be none."""
    section = raw.get("catalogue")
    formats = [section.get("format", "auto") if isinstance(section, dict) else "auto"]
    formats += [value for _, keys, value in overrides if keys == ["catalogue", "format"]]
    return formats[-1] in ("auto", *FILE_FORMATS)


def _make_paths_absolute(
    raw: dict[str, Any], folder: Path, paths: Iterable[tuple[str, str]]
) -> None:
    """Make relative paths absolute, in place: those of some settings."""
    for section, key in paths:
        values = raw.get(section)
        if not isinstance(values, dict):
            continue
        value = values.get(key)
        if isinstance(value, str):
            values[key] = _absolute(value, folder, f"{section}.{key}")
        elif isinstance(value, list):
            values[key] = [
                _absolute(one, folder, f"{section}.{key}") if isinstance(one, str) else one
                for one in value
            ]
    for variant in raw.get("variant") or ():
        if isinstance(variant, dict):
            _make_paths_absolute(variant, folder, [("rules", "deny")])


def _absolute(value: str, folder: Path, setting: str) -> str:
    if "\0" in value:
        raise UsageError(f"{setting}: {value!r} holds a NUL character, which no path can have")
    if not value or "://" in value:
        return value
    try:
        return os.path.normpath(folder / Path(value).expanduser())
    except RuntimeError as error:
        raise UsageError(f"{setting}: {value}: {error}") from error


def _flat_spark(raw: object, prefix: str = "") -> Any:  # noqa: ANN401 - validated by the caller
    """[spark]'s settings under their full names; dots, nesting and the prefix are all accepted."""
    if not isinstance(raw, dict):
        return raw
    flat: dict[str, str] = {}
    for key, value in raw.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= _flat_spark(value, f"{name}.")
        else:
            full_name = name if name.startswith("spark.") else f"spark.{name}"
            flat[full_name] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def _problem(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """A problem that pydantic reports, in one phrase."""
    location = [str(part) for part in item["loc"]]
    name = ".".join(location)
    if item["type"] == "extra_forbidden":
        return f"{name}: unknown {'setting' if len(location) > 1 else 'section'}{_hint(location)}"
    if item["type"] == "missing":
        return f"{name}: must be given"
    message = item["msg"].removeprefix("Value error, ")
    value = "" if isinstance(item["input"], dict | list) else f" (it is {item['input']!r})"
    # It may be a secret, or an address with one.
    may_be_secret = location[:1] in (["spark"], ["notify"]) or name.endswith("_env")
    may_be_secret |= location[:2] == ["catalogue", "options"]
    value = "" if may_be_secret or "@" in value else value
    # A problem between two sections has no location.
    return f"{name and f'{name}: '}{message[0].lower()}{message[1:]}{value}"


def _hint(location: list[str]) -> str:
    if is_secret(location[-1], "unknown"):
        return f"; {ADVICE}"
    if moved := _MOVED.get(".".join(location)):
        return f"; it is {moved} now"
    names = _fields(location[0]) if len(location) > 1 else Config.model_fields
    similar = difflib.get_close_matches(location[-1], names, n=1)
    if similar:
        return f"; did you mean {similar[0]}?"
    return f"; known are {', '.join(names)}"
