"""The data of a run's page, from run.json and the table of examples."""

from collections.abc import Iterator
from typing import Any

from pipeline.config.sections import Config
from pipeline.redaction import mask, mask_settings
from pipeline.report import checks, sample
from pipeline.stages.publish import stage as publish
from pipeline.stages.publish.examples import TABLE
from pipeline.store.store import Store

# Longer texts are cut.
_MAX_MESSAGE, _MAX_SETTING = 4000, 300
_EMPTY_SAMPLE: dict[str, Any] = {"items": [], "shown": [], "of": 0, "map": []}
_NOTICES = (
    "rows_with_lost_numbers",
    "items_with_garbled_text",
    "rows_with_rounded_ids",
    "placeholder_titles",
    "placeholder_descriptions",
    "unused_headwords",
    "rejected_edits",
)
_COUNTS = (
    *("items", "items_with_neighbors", "short_lists", "rows", "pairs", "lists"),
    *("filled_rows", "filled_items", "filled_by", "short_after_filling"),
)


def page_data(store: Store, run_json: dict[str, Any], map_items: int) -> dict[str, Any]:
    """The data of a run's page: numbers and codes, no words.

    Args:
        store: the store that holds the run.
        run_json: the run's run.json.
        map_items: maximum number of items on the map.
    """
    counts = run_json["counts"]
    return {
        "run": _run(run_json),
        "checks": checks.checks(run_json),
        "flow": list(_flow(counts)),
        "reasons": {
            "quarantine": counts.get("quarantine_reasons", {}),
            "short_lists": counts.get("short_list_reasons", {}),
        },
        "notices": {name: counts[name] for name in _NOTICES if counts.get(name)},
        "counts": {name: counts[name] for name in _COUNTS if name in counts},
        "stages": run_json.get("stages", []),
        "recall": run_json["recall"],
        "least_recall": checks.min_recall(run_json["settings"]),
        "quality": counts.get("quality"),
        "gate": counts.get("gate", {}) or None,
        "rank": run_json["settings"].get("rank"),
        "variants": list(_variants(counts.get("variants", {}))),
        "settings": list(_settings(run_json["settings"])),
        "sample": _sample(store, run_json, map_items),
    }


def _run(run_json: dict[str, Any]) -> dict[str, Any]:
    return {
        "run_id": run_json["run_id"],
        "status": run_json["status"],
        "message": mask(run_json["message"])[:_MAX_MESSAGE],
        "started": run_json["started"],
        "seconds": run_json["seconds"],
        "nitamono": run_json.get("nitamono", ""),
        "version": (run_json.get("published") or {}).get("version"),
        "table": run_json["fingerprints"].get(publish.NAME),
        "k": run_json["settings"].get("neighbors", {}).get("k"),
    }


def _flow(counts: dict[str, Any]) -> Iterator[list[Any]]:
    """Name and number of rows or items of each step."""
    for name, key in (
        ("read", "rows_read"),
        ("quarantined", "quarantined"),
        ("items", "items"),
        ("embedded", "vectors"),
    ):
        if key in counts:
            yield [name, counts[key]]
    if "quality" in counts and "items" in counts:
        # All items of the table; this run may have searched for some of them only.
        listed = counts.get("gate", {}).get("items")
        yield ["listed", listed or round(counts["quality"]["coverage"] * counts["items"])]
    if "rows" in counts:
        yield ["rows", counts["rows"]]


def _settings(settings: dict[str, Any]) -> Iterator[list[Any]]:
    """Name, value, and whether it differs from the default; values of secrets are hidden."""
    sections = Config.model_fields
    variants = settings.get("variant") or ()
    named = {f"variant {one['name']}": one for one in variants if isinstance(one, dict)}
    for section, values in sorted({**settings, **named}.items()):
        model = sections[section].annotation if section in sections else None
        fields = getattr(model, "model_fields", {})
        for key, value in sorted(values.items() if isinstance(values, dict) else ()):
            name = key if section == "spark" else f"{section}.{key}"
            text = str(mask_settings(value, name))
            default = fields[key].get_default(call_default_factory=True) if key in fields else None
            text = text if len(text) <= _MAX_SETTING else f"{text[: _MAX_SETTING - 1]}…"
            yield [name, text, key not in fields or value != default]


def _variants(variants: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What the page tells of each variant: name, rows, coverage and recall."""
    for name, counts in sorted(variants.items()):
        yield {
            "name": name,
            "rows": counts.get("rows"),
            "coverage": counts.get("quality", {}).get("coverage"),
            "recall": (counts.get("recall") or {}).get("value"),
        }


def _sample(store: Store, run_json: dict[str, Any], map_items: int) -> dict[str, Any]:
    record = store.find_record(publish.NAME, run_json["fingerprints"].get(publish.NAME, ""))
    # The table was removed by gc, or is of a release that made no examples.
    if record is None or TABLE not in record.tables:
        return _EMPTY_SAMPLE
    return sample.read_sample(store, record, map_items)
