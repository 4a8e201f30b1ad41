"""Where tonight's catalogue is: {date} and {latest} in its path or query, and waiting for it."""

import re
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.catalogue.names import is_hidden
from pipeline.config.sections import CatalogueSection, Config, RankSection
from pipeline.errors import InputError, UsageError
from pipeline.storage.paths import StoragePath, storage_path

LATEST = "{latest}"
_DATE = re.compile(r"\{date(?::([^{}]*))?\}")
_SUCCESS, _UNFINISHED = "_SUCCESS", "_temporary"
# Spark's and Hive's folder of the rows without a value.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_POLL_SECONDS = 10.0
# Folders that a message names.
_MAX_NAMES = 3


def resolve(
    config: Config, day: str = "", wait: float = 0.0, say: Callable[[str], None] = print
) -> Config:
    """The config with the path or query of one night in place of {date} and {latest}.

    Args:
        config: the config.
        day: the date, YYYY-MM-DD; empty: today in catalogue.timezone.
        wait: seconds to wait for a folder that is missing or not complete.
        say: prints a line.

    Raises:
        UsageError: the date is none, or there is nothing to wait for.
        InputError: the folder is missing or not complete.
    """
    section = config.catalogue
    night = _parse(day) if day else today(section)
    changes: dict[str, Any] = {
        name: _with_date(getattr(section, name), night) for name in ("path", "query")
    }
    changes["options"] = {name: _with_date(text, night) for name, text in section.options.items()}
    dated = section.model_copy(update=changes)
    dated_config = with_dates(config, night)
    if day and dated == section and dated_config == config:
        raise UsageError(
            f"--date {day}: {{date}} stands neither in catalogue.path nor in .query or .options, "
            "and neither rank.fresh nor [edits] goes by it"
        )
    config = dated_config
    if wait and not section.uses_files:
        raise UsageError("--wait-for-input waits for files; set catalogue.path")
    is_changing = dated != section or LATEST in section.path or section.require_success
    if not section.uses_files or not (is_changing or wait):
        return config.model_copy(update={"catalogue": dated})
    path = _wait(lambda: _complete_path(config, dated), wait, say)
    if path != dated.path:
        say(f"catalogue.path {LATEST} is {path}")
    return config.model_copy(update={"catalogue": dated.model_copy(update={"path": path})})


def with_dates(config: Config, night: date) -> Config:
    """The config with the day of rank.fresh and of [edits], where they name none themselves."""
    day = {"date": night.isoformat()}

    def dated(rank: RankSection) -> RankSection:
        if rank.fresh is None or rank.fresh.date:
            return rank
        return rank.model_copy(update={"fresh": rank.fresh.model_copy(update=day)})

    variants = [
        one.model_copy(update={"rank": one.rank and dated(one.rank)}) for one in config.variant
    ]
    config = config.model_copy(update={"rank": dated(config.rank), "variant": variants})
    if config.edits.exists and not config.edits.date:
        config = config.model_copy(update={"edits": config.edits.model_copy(update=day)})
    return config


def today(section: CatalogueSection) -> date:
    """Today's date in catalogue.timezone."""
    return datetime.now(ZoneInfo(section.timezone)).date()


def _parse(day: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise UsageError(f"--date {day}: no date; write YYYY-MM-DD") from error


def _with_date(text: str, night: date) -> str:
    return _DATE.sub(lambda match: night.strftime(match[1] or "%Y-%m-%d"), text)


def _wait(find: Callable[[], str], wait: float, say: Callable[[str], None]) -> str:
    """What `find` returns; as long as it raises InputError, it is called again for some time."""
    end, has_said = time.monotonic() + wait, False
    while True:
        try:
            return find()
        except InputError as error:
            left = end - time.monotonic()
            if left <= 0:
                raise
            if not has_said:
                say(f"waiting up to {wait:g} s: {error}")
                has_said = True
            time.sleep(min(_POLL_SECONDS, left))


def _complete_path(config: Config, section: CatalogueSection) -> str:
    """The path of the night, if it is complete.

    Raises:
        InputError: it is not, or it is not there.
    """
    if LATEST in section.path:
        return _newest(config, section)
    root = _path(config, section.path)
    if why := _why_incomplete(root, needs_success=section.require_success):
        raise InputError(f"catalogue.path {root}: {why}")
    return section.path


def _newest(config: Config, section: CatalogueSection) -> str:
    """The path with the newest complete folder in place of {latest}: the last one by name."""
    before, _, after = section.path.partition(LATEST)
    folder_text, _, prefix = before.rpartition("/")
    suffix, slash, rest = after.partition("/")
    folder = _path(config, folder_text)
    if not folder.is_dir():
        raise InputError(f"catalogue.path {section.path}: {folder} is no folder")
    pattern = re.compile(re.escape(prefix) + "(.+)" + re.escape(suffix))
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    found = (pattern.fullmatch(name) for name in names if not is_hidden(PurePath(name)))
    matches = sorted((match[1], match[0]) for match in found if match and match[1] != _NO_VALUE)
    reasons = []
    for _, name in reversed(matches):
        path = f"{folder_text}/{name}{slash}{rest}"
        why = _why_incomplete(_path(config, path), needs_success=section.require_success)
        if not why:
            return path
        reasons.append(f"{name}: {why}")
    more = f"; and {len(reasons) - _MAX_NAMES} more" if len(reasons) > _MAX_NAMES else ""
    what = "; ".join(reasons[:_MAX_NAMES]) or f"it has none named {prefix}*{suffix}"
    raise InputError(
        f"catalogue.path {section.path}: {folder} has no complete folder: {what}{more}"
    )


def _why_incomplete(root: StoragePath, *, needs_success: bool) -> str:
    """Why a catalogue's file or folder can't be read yet; empty if it can."""
    if root.is_file():
        return ""
    if not root.is_dir():
        return "not there yet; --wait-for-input SECONDS waits for it, --date names another night"
    if not any(path.is_file() for path in root.rglob("*")):
        return "it holds no file; --wait-for-input SECONDS waits for one"
    if (root / _UNFINISHED).is_dir():
        return f"it holds {_UNFINISHED}: a job is writing it, or was broken off"
    if needs_success and not (root / _SUCCESS).is_file():
        return (
            f"it holds no {_SUCCESS}, so it is not written to its end "
            "(catalogue.require_success); --wait-for-input SECONDS waits for it"
        )
    return ""


def _path(config: Config, text: str) -> StoragePath:
    return storage_path(text, config.object_stores(), "catalogue.path")
