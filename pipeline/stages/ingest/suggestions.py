"""Suggested limits of [expect] for a catalogue: what it has, and some room."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.stages.ingest.profile import TEXTS

# How different the catalogue may be from the published night's: a guess, before there are nights to
# look at.
_AGAINST_PUBLISHED = {
    "min_rows": 0.9,
    "max_rows": 1.5,
    "max_new": 0.25,
    "max_changed": 0.5,
    "max_gone": 0.1,
    "max_word_drift": 0.1,
}
# A share may become half as large again, and one in a hundred more.
_ROOM, _MORE = 1.5, 0.01
# A column of at most so many values, each of ten items on average, is one of kinds: new kinds are
# few.
_MAX_KINDS, _ITEMS_OF_A_KIND = 1000, 10
_LANGUAGE_ROOM = 0.1


class Limit(NamedTuple):
    """A suggested limit.

    Attributes:
        setting: its name below [expect].
        column: the column, if the setting is a table of columns; else empty.
        value: the limit.
        now: what the catalogue has, in words.
    """

    setting: str
    column: str
    value: float
    now: str


def suggest(counts: Mapping[str, Any]) -> list[Limit]:
    """Limits that the catalogue itself meets.

    Args:
        counts: of the stage ingest, or of `measurement.measure`.
    """
    items, columns = counts["items"], counts["profile"]["columns"]
    return [
        *(Limit(name, "", value, "") for name, value in _AGAINST_PUBLISHED.items()),
        *_share("max_quarantined", "", counts["quarantined"] / counts["rows_read"]),
        *_texts(columns, items),
        *_language(counts["profile"]),
        *_nulls(columns, items),
        *_distinct(columns, items),
    ]


def _share(setting: str, column: str, share: float) -> Iterator[Limit]:
    limit = min(1.0, _rounded_up(_ROOM * share + _MORE))
    # 1 is no limit: it is needed where the default is one.
    if limit < 1 or not column:
        yield Limit(setting, column, limit, f"{100 * share:.3g}%")


def _rounded_up(share: float) -> float:
    return math.ceil(round(100 * share, 6)) / 100


def _texts(columns: Mapping[str, Any], items: int) -> Iterator[Limit]:
    present = [text for text in TEXTS if text in columns]
    for text in present:
        yield from _share(f"max_empty_{text}s", "", columns[text]["null"] / items)
    longest = max(columns[text]["longest"] for text in present)
    step: int = 10 ** max(0, len(str(2 * longest)) - 2)
    limit = math.ceil(2 * longest / step) * step
    yield Limit("max_text_length", "", limit, f"{longest:,}")


def _language(profile: Mapping[str, Any]) -> Iterator[Limit]:
    if not profile["letters"]:
        return
    share = profile["japanese_letters"] / profile["letters"]
    now = f"{100 * share:.3g}%"
    least, most = share - _LANGUAGE_ROOM, _rounded_up(share + _LANGUAGE_ROOM)
    if least > _LANGUAGE_ROOM:
        yield Limit("min_japanese", "", math.floor(100 * least) / 100, now)
    if most < 1:
        yield Limit("max_japanese", "", most, now)


def _nulls(columns: Mapping[str, Any], items: int) -> Iterator[Limit]:
    for name, found in columns.items():
        if name not in ("item_id", *TEXTS):
            yield from _share("max_null", name, found["null"] / items)


def _distinct(columns: Mapping[str, Any], items: int) -> Iterator[Limit]:
    counted = {name: found["distinct"] for name, found in columns.items() if "distinct" in found}
    for name, values in counted.items():
        if values > 1:
            yield Limit("min_distinct", name, values // 2, f"{values:,}")
    for name, values in counted.items():
        if 1 < values <= min(_MAX_KINDS, items / _ITEMS_OF_A_KIND):
            yield Limit("max_distinct", name, 2 * values, f"{values:,}")


def as_toml(limits: list[Limit]) -> Iterator[str]:
    """The limits as lines of a config, with what the catalogue has as comments."""
    section = ""
    for limit in limits:
        header = f"[expect.{limit.setting}]" if limit.column else "[expect]"
        if header != section:
            yield from ([] if not section else [""])
            yield header
            section = header
        whole = limit.value > 1 and float(limit.value).is_integer()
        value = f"{limit.value:.0f}" if whole else f"{limit.value:g}"
        now = f"now {limit.now}" if limit.now else "against the published night"
        yield f"{f'{limit.column or limit.setting} = {value}':<32}# {now}"


def as_settings(limits: list[Limit]) -> dict[str, Any]:
    """The limits as a config has them below [expect]."""
    settings: dict[str, Any] = {}
    for limit in limits:
        if limit.column:
            settings.setdefault(limit.setting, {})[limit.column] = limit.value
        else:
            settings[limit.setting] = limit.value
    return settings
