"""Reading the config: TOML, then the environment, then --set."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.config.sections import Config
from pipeline.errors import UsageError

ENVIRONMENT_PREFIX = "NITAMONO_"
# Settings that hold paths, or lists of them.
PATHS = (
    ("store", "path"),
    ("catalogue", "path"),
    ("model", "path"),
    ("rules", "deny"),
    ("text", "user_dictionaries"),
)


def load(
    path: str | Path,
    assignments: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    anchored: bool = True,
) -> Config:
    """Read a TOML file, then NITAMONO_SECTION_KEY from the environment, then `section.key=value`.

    A relative path in the file is relative to the file's folder; one given in the environment or
    an assignment is relative to the working folder.

    Args:
        path: of the file.
        assignments: `section.key=value`.
        environment: its variables; else this process's.
        anchored: whether relative paths are made absolute.

    Raises:
        UsageError: with every problem found, each under the name of its setting.
    """
    file = Path(path)
    raw = _read_toml(file)
    if anchored:
        _anchor_paths(raw, file.resolve().parent)
    return _built(raw, f"config {file}", assignments, environment, anchored=anchored)


def from_mapping(raw: Mapping[str, Any], assignments: Iterable[str] = ()) -> Config:
    """The config that a mapping holds, as a TOML file would; the environment overrides it too.

    Args:
        raw: settings by section; relative paths are relative to the working folder.
        assignments: `section.key=value`.

    Raises:
        UsageError: with every problem found, each under the name of its setting.
    """
    copied: dict[str, Any] = {}
    for name, value in raw.items():
        section, _, key = name.partition(".")
        keys = [section, *([key] if section == "spark" else key.split("."))] if key else [section]
        layer: dict[str, Any] = {}
        _put(layer, keys, _plain(value), "config")
        _merge(copied, layer, "config")
    _anchor_paths(copied, Path.cwd())
    return _built(copied, "config", assignments, None, anchored=True)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any setting
    """A setting's value as TOML would have it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(below) for name, below in value.items()}
    return str(value) if isinstance(value, os.PathLike) else value


def defaults(
    assignments: Iterable[str] = (), environment: Mapping[str, str] | None = None
) -> Config:
    """The config where no file is given: nothing is to be read from its store and catalogue.

    Raises:
        UsageError: with every problem found, each under the name of its setting.
    """
    raw = {"store": {"path": "store"}, "catalogue": {"path": "catalogue"}}
    return _built(raw, "settings", assignments, environment, anchored=True)


def _built(
    raw: dict[str, Any],
    name: str,
    assignments: Iterable[str],
    environment: Mapping[str, str] | None,
    *,
    anchored: bool,
) -> Config:
    overrides = [
        *_from_environment(os.environ if environment is None else environment),
        *(_from_assignment(text) for text in assignments),
    ]
    for source, keys, value in overrides:
        layer: dict[str, Any] = {}
        _put(layer, keys, value, source)
        if anchored:
            _anchor_paths(layer, Path.cwd())
        _merge(raw, layer, source)
    raw["spark"] = _flat_spark(raw.get("spark", {}))
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors())
        raise UsageError(f"{name}: {problems}") from error


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
    """The value of an override: TOML; the text itself where that is none, or text is wanted."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return text if not isinstance(value, str) and _wants_text(section, keys) else value


def _wants_text(section: str, keys: list[str]) -> bool:
    if section == "spark" or len(keys) > 1:
        return True
    kind = Config.model_fields[section].annotation if section in Config.model_fields else None
    fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
    return keys[0] in fields and fields[keys[0]].annotation is str


def environment_overrides(environment: Mapping[str, str]) -> dict[str, str]:
    """Those variables of an environment that override settings."""
    found = {}
    for name in sorted(environment):
        section = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")[0]
        # The models' cache has such names too, and Kubernetes sets some for a service.
        if name.startswith(ENVIRONMENT_PREFIX) and section in Config.model_fields:
            found[name] = environment[name]
    return found


def _from_environment(
    environment: Mapping[str, str],
) -> Iterable[tuple[str, list[str], Any]]:
    for name, text in environment_overrides(environment).items():
        section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        key = key.replace("_", ".") if section == "spark" else key
        value = _toml_value(section, [key], text)
        yield f"environment variable {name}", [section, key], value


def _from_assignment(text: str) -> tuple[str, list[str], Any]:
    name, equals, value = text.partition("=")
    section, _, key = name.strip().partition(".")
    if not equals or not key:
        raise UsageError(f"--set {text}: write it as --set section.key=value")
    # Spark's own names hold dots; below them nothing is nested.
    keys = [key] if section == "spark" else key.split(".", 1)
    return f"--set {text}", [section, *keys], _toml_value(section, keys, value.strip())


def _put(target: dict[str, Any], keys: list[str], value: object, source: str) -> None:
    if not all(keys):
        raise UsageError(f"{source}: names no setting; write section and key")
    for key in keys[:-1]:
        target = target.setdefault(key, {})
    target[keys[-1]] = value


def _merge(target: dict[str, Any], layer: dict[str, Any], source: str) -> None:
    for key, value in layer.items():
        if isinstance(value, dict):
            below = target.setdefault(key, {})
            if not isinstance(below, dict):
                raise UsageError(f"{source}: {key} is not a section")
            _merge(below, value, source)
        else:
            target[key] = value


def _anchor_paths(raw: dict[str, Any], folder: Path) -> None:
    """Make the relative paths of the settings that hold paths absolute."""
    for section, key in PATHS:
        values = raw.get(section)
        if not isinstance(values, dict):
            continue
        value = values.get(key)
        if isinstance(value, str):
            values[key] = _anchored(value, folder)
        elif isinstance(value, list):
            values[key] = [_anchored(v, folder) if isinstance(v, str) else v for v in value]


def _anchored(value: str, folder: Path) -> str:
    if not value or "://" in value:
        return value
    try:
        return os.path.normpath(folder / Path(value).expanduser())
    except RuntimeError as error:
        raise UsageError(f"{value}: {error}") from error


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
            full = name if name.startswith("spark.") else f"spark.{name}"
            flat[full] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def _problem(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    location = [str(part) for part in item["loc"]]
    name = ".".join(location)
    if item["type"] == "extra_forbidden":
        return f"{name}: unknown {'setting' if len(location) > 1 else 'section'}{_hint(location)}"
    if item["type"] == "missing":
        return f"{name}: must be given"
    message = item["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(item["input"], dict) else f" (it is {item['input']!r})"
    # What concerns two sections is of neither.
    return f"{name and f'{name}: '}{message[0].lower()}{message[1:]}{shown}"


def _hint(location: list[str]) -> str:
    fields = Config.model_fields
    if len(location) > 1:
        section = fields[location[0]].annotation
        fields = (
            section.model_fields
            if isinstance(section, type) and issubclass(section, BaseModel)
            else {}
        )
    close = difflib.get_close_matches(location[-1], fields, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(fields)}"
