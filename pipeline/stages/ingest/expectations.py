"""Expectations: what the config wants a catalogue to be like, and what the catalogue is like.

They are checked before anything dear is computed. What they look at is in the counts of ingest, so
that a run that reuses an earlier ingest checks the same without reading anything.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.config.sections import ExpectSection
from pipeline.stages.ingest.profile import TEXTS

AT_LEAST, AT_MOST = "least", "most"
# What a value is: a share of 1, a number of things, or a distance.
SHARE, COUNT, DISTANCE = "share", "count", "distance"


@dataclass(frozen=True)
class Expectation:
    """A limit of [expect], and what was found.

    Attributes:
        name: what is limited, as run.json and the page call it.
        what: the same in words.
        value: what was found.
        limit: the limit.
        side: whether the limit is the least or the greatest value.
        setting: the setting that has the limit.
        unit: SHARE, COUNT or DISTANCE.
        column: the column, if the limit is a column's.
        advice: what to look at where it is not met.
    """

    name: str
    what: str
    value: float
    limit: float
    side: str
    setting: str
    unit: str = SHARE
    column: str = ""
    advice: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        if self.side == AT_LEAST:
            return self.value >= self.limit
        return self.value <= self.limit

    def counts(self) -> dict[str, Any]:
        """The expectation as run.json has it."""
        fields = asdict(self)
        del fields["what"], fields["advice"]
        return fields | {"met": self.is_met}

    def problem(self) -> str:
        """What is wrong, in words, with the limit, the value and the setting."""
        side = "at least" if self.side == AT_LEAST else "at most"
        value, limit = _shown(self.value, self.limit, self.unit)
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.what}: {value}, {side} {limit} is expected ({self.setting}{advice})"


def _shown(value: float, limit: float, unit: str) -> tuple[str, str]:
    """A value and its limit, with so many digits that they do not look the same."""
    texts = ("", "")
    for digits in range(4, 16):
        if unit == COUNT:
            texts = (f"{value:,.0f}", f"{limit:,.0f}")
        elif unit == SHARE:
            texts = (f"{100 * value:.{digits}g}%", f"{100 * limit:.{digits}g}%")
        else:
            texts = (f"{value:.{digits}f}", f"{limit:.{digits}f}")
        if texts[0] != texts[1]:
            break
    return texts


@dataclass(frozen=True)
class Before:
    """The published night's items, which today's are compared with.

    Attributes:
        items: how many they were.
        changes: how many were added, changed and removed since; None where nobody asked.
    """

    items: int
    changes: Mapping[str, int] | None = None


def of_catalogue(
    limits: ExpectSection,
    counts: Mapping[str, Any],
    before: Before | None,
    *,
    min_rows: float,
    advice: str = "",
) -> list[Expectation]:
    """What is expected of a catalogue, and what it is.

    Args:
        limits: of the config. Those that are off are left out.
        counts: of the stage ingest.
        before: the published night's items; None if there is nothing to compare with.
        min_rows: what stands for expect.min_rows = -1.
        advice: what to say of the rows in quarantine.
    """
    return [
        *(_of_changes(limits, counts["items"], before, min_rows) if before else ()),
        *_of_rows(limits, counts, advice),
        *(_of_profile(limits, counts["profile"], counts["items"]) if "profile" in counts else ()),
    ]


def _of_changes(
    limits: ExpectSection, items: int, before: Before, min_rows: float
) -> Iterator[Expectation]:
    follows = limits.min_rows < 0
    least = min_rows if follows else limits.min_rows
    setting = "publish.min_rows" if follows else "expect.min_rows"
    if before.items:
        share, what = items / before.items, f"items, of the published night's {before.items:,}"
        if least > 0:
            yield Expectation("rows", what, share, least, AT_LEAST, setting)
        if limits.max_rows > 0:
            yield Expectation("rows", what, share, limits.max_rows, AT_MOST, "expect.max_rows")
    if before.changes is None:
        return
    for name, what, kind, of in (
        ("new", "new items", "added", items),
        ("changed", "items with another title or description", "changed", before.items),
        ("gone", "items that are gone", "removed", before.items),
    ):
        limit = getattr(limits, f"max_{name}")
        if limit < 1 and of:
            share = before.changes[kind] / of
            yield Expectation(name, what, share, limit, AT_MOST, f"expect.max_{name}")


def _of_rows(
    limits: ExpectSection, counts: Mapping[str, Any], advice: str
) -> Iterator[Expectation]:
    if limits.max_quarantined < 1 and counts["rows_read"]:
        yield Expectation(
            "quarantined",
            f"{counts['quarantined']:,} of {counts['rows_read']:,} rows in quarantine",
            counts["quarantined"] / counts["rows_read"],
            limits.max_quarantined,
            AT_MOST,
            "expect.max_quarantined",
            advice=advice,
        )


def _of_profile(
    limits: ExpectSection, profile: Mapping[str, Any], items: int
) -> Iterator[Expectation]:
    # A column that the catalogue does not have is null everywhere.
    missing = {"null": items, "distinct": 0, "longest": 0}
    columns = {name: missing | found for name, found in profile["columns"].items()}
    nulls = {
        f"empty_{text}s": (text, getattr(limits, f"max_empty_{text}s"), f"max_empty_{text}s")
        for text in TEXTS
    }
    for name, (column, limit, setting) in nulls.items():
        if limit < 1:
            share, what = columns.get(column, missing)["null"] / items, f"items without a {column}"
            yield Expectation(name, what, share, limit, AT_MOST, f"expect.{setting}")
    for column, limit in sorted(limits.max_null.items()):
        share, what = columns.get(column, missing)["null"] / items, f"items without {column}"
        setting = f"expect.max_null.{column}"
        yield Expectation("null", what, share, limit, AT_MOST, setting, column=column)
    for side, setting, wanted in (
        (AT_LEAST, "min_distinct", limits.min_distinct),
        (AT_MOST, "max_distinct", limits.max_distinct),
    ):
        for column, limit in sorted(wanted.items()):
            value, what = columns.get(column, missing)["distinct"], f"different values of {column}"
            name = f"expect.{setting}.{column}"
            yield Expectation("distinct", what, value, limit, side, name, COUNT, column)
    if limits.max_text_length:
        column = max(TEXTS, key=lambda text: columns.get(text, missing)["longest"])
        yield Expectation(
            "text_length",
            f"characters of the longest {column}",
            columns.get(column, missing)["longest"],
            limits.max_text_length,
            AT_MOST,
            "expect.max_text_length",
            COUNT,
        )
    yield from _of_language(limits, profile)


def _of_language(limits: ExpectSection, profile: Mapping[str, Any]) -> Iterator[Expectation]:
    # Titles of numbers alone have no letters.
    if not profile["letters"]:
        return
    share, what = profile["japanese_letters"] / profile["letters"], "kana and kanji among letters"
    for side, setting, limit, is_on in (
        (AT_LEAST, "min_japanese", limits.min_japanese, limits.min_japanese > 0),
        (AT_MOST, "max_japanese", limits.max_japanese, limits.max_japanese < 1),
    ):
        if is_on:
            yield Expectation("japanese", what, share, limit, side, f"expect.{setting}")


def message(failed: Iterable[Expectation], label: str) -> str:
    """The message of a catalogue that is not as expected: all that is wrong, and what to do.

    Args:
        failed: the expectations that are not met.
        label: the catalogue.
    """
    problems = list(failed)
    waivers = {one.setting: _waiver(one) for one in problems}
    if "publish.min_rows" in waivers:
        # The gate looks at both when the night is done.
        waivers["publish.min_coverage"] = waivers["publish.min_rows"]
    sets = " ".join(f"--set {setting}={value}" for setting, value in waivers.items())
    return (
        f"{label}: not as expected: {'; '.join(one.problem() for one in problems)}. The published "
        "table stays. Mend the catalogue and run again; or, if it is meant to be so, say so: "
        f"{sets}"
    )


def _waiver(expectation: Expectation) -> str:
    """The value of a setting with which an expectation would be met: two digits, rounded away."""
    if expectation.unit == COUNT:
        return f"{expectation.value:.0f}"
    round_away = math.floor if expectation.side == AT_LEAST else math.ceil
    return f"{round_away(100 * expectation.value) / 100:g}"


def rounded_ids(counts: Mapping[str, Any]) -> str:
    """What to say of ids that a spreadsheet has rounded, and what to do; empty if there are none.

    Args:
        counts: of the stage ingest.
    """
    rounded = counts.get("rows_with_rounded_ids", 0)
    if not rounded:
        return ""
    share = rounded / counts["rows_read"]
    return (
        f"{rounded:,} rows ({share:.1%}) have ids like 4.90178E+12, which look like numbers that "
        "a spreadsheet has rounded: export the column of the ids as text"
    )
