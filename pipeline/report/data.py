"""What a run's page shows, as data: of run.json, and of the table of examples."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.config.sections import Config
from pipeline.report import checks, sample
from pipeline.stages.publish import stage as publish
from pipeline.stages.publish.examples import TABLE
from pipeline.store.store import Store

_SECRET = re.compile(r"secret|password|token|credential|access\.?key|sas\b", re.I)
# As much of a text as is read on a page.
_MESSAGE, _SETTING = 4000, 300
_NO_SAMPLE: dict[str, Any] = {"items": [], "shown": [], "of": 0, "map": []}


def gather(store: Store, about: dict[str, Any], map_items: int) -> dict[str, Any]:
    """All that the page of a run shows; numbers and codes, no words.

    Args:
        store: of the run.
        about: its run.json.
        map_items: so many at most are on the map.
    """
    counts, gate = about["counts"], about["counts"].get("gate", {})
    return {
        "run": {
            "run_id": about["run_id"],
            "status": about["status"],
            "message": about["message"][:_MESSAGE],
            "started": about["started"],
            "seconds": about["seconds"],
            "nitamono": about.get("nitamono", ""),
            "version": (about.get("published") or {}).get("version"),
            "table": about["fingerprints"].get(publish.NAME),
            "k": about["settings"].get("neighbors", {}).get("k"),
        },
        "checks": checks.checks(about),
        "flow": list(_flow(counts)),
        "reasons": {
            "quarantine": counts.get("quarantine_reasons", {}),
            "short_lists": counts.get("short_list_reasons", {}),
        },
        "notices": {
            name: counts[name]
            for name in ("rows_with_lost_numbers", "items_with_garbled_text")
            if counts.get(name)
        },
        "counts": {
            name: counts[name]
            for name in ("items", "items_with_neighbors", "short_lists", "rows", "pairs", "lists")
            if name in counts
        },
        "stages": about.get("stages", []),
        "recall": about["recall"],
        "least_recall": checks.least_recall(about),
        "quality": counts.get("quality"),
        "gate": gate or None,
        "settings": list(_settings(about["settings"])),
        "sample": _sample(store, about, map_items),
    }


def _flow(counts: dict[str, Any]) -> Iterator[list[Any]]:
    """How many there were on each step: name and number."""
    for name, key in (
        ("read", "rows_read"),
        ("quarantined", "quarantined"),
        ("items", "items"),
        ("embedded", "vectors"),
    ):
        if key in counts:
            yield [name, counts[key]]
    if "quality" in counts and "items" in counts:
        # Of all items of the table: those that this run asked for may be some only.
        listed = counts.get("gate", {}).get("items")
        yield ["listed", listed or round(counts["quality"]["coverage"] * counts["items"])]
    if "rows" in counts:
        yield ["rows", counts["rows"]]


def _settings(settings: dict[str, Any]) -> Iterator[list[Any]]:
    """Name, value, and whether it is another than the default; values of secrets are left out."""
    known = Config.model_fields
    for section, values in sorted(settings.items()):
        kind = known[section].annotation if section in known else None
        fields = getattr(kind, "model_fields", {})
        for name, value in sorted(values.items() if isinstance(values, dict) else ()):
            full = name if section == "spark" else f"{section}.{name}"
            said = "…" if _SECRET.search(full) else str(value)
            default = (
                fields[name].get_default(call_default_factory=True) if name in fields else None
            )
            said = said if len(said) <= _SETTING else f"{said[: _SETTING - 1]}…"
            yield [full, said, name not in fields or value != default]


def _sample(store: Store, about: dict[str, Any], map_items: int) -> dict[str, Any]:
    record = store.find(publish.NAME, about["fingerprints"].get(publish.NAME, ""))
    # A table that gc has removed, or one of a release that made no examples.
    if record is None or TABLE not in record.tables:
        return _NO_SAMPLE
    return sample.read(store, record, map_items)
