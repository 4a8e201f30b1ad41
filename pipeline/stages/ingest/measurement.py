"""The counts of a catalogue without its tables: what ingest would count, and nothing is written."""

from typing import TYPE_CHECKING, Any

from pipeline import catalogue
from pipeline.config.sections import Config
from pipeline.errors import InputError
from pipeline.stages.ingest import profile
from pipeline.stages.ingest.stage import no_valid_row, placeholders
from pipeline.stages.ingest.validation import checked_rows
from pipeline.store.reason_codes import QUARANTINE
from pipeline.store.schemas import items_schema

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_REASON = "reason:"


def measure(spark: "SparkSession", config: Config) -> dict[str, Any]:
    """Read a catalogue once and count.

    Args:
        spark: the session.
        config: the sections [catalogue] and [text] are read.

    Returns:
        rows_read, items, quarantined, quarantine_reasons and profile, as ingest has them.

    Raises:
        InputError: the catalogue can't be read, or has no valid row.
    """
    from pyspark.sql import functions as F

    source = catalogue.source_of(config)
    with catalogue.explained_damage(source):
        snapshot = catalogue.open_snapshot(spark, source)
        try:
            with checked_rows(spark, source, snapshot, placeholders(config)) as rows:
                is_item = F.size("reasons") == 0
                names = items_schema(source.further).names
                present = profile.columns_of(snapshot.rows, source, names)
                measures = profile.aggregates(present, is_item, profile.one_title_in(source))
                reasons = {
                    f"{_REASON}{code}": F.count_if(F.array_contains("reasons", code))
                    for code in QUARANTINE
                }
                counted = {"rows": F.count("*"), "items": F.count_if(is_item)} | reasons | measures
                first = rows.agg(*(value.alias(name) for name, value in counted.items())).first()
        finally:
            snapshot.release()
    assert first is not None  # noqa: S101 - an aggregate has one row
    found = {name.removeprefix(_REASON): first[name] for name in sorted(reasons) if first[name]}
    if not first["items"]:
        raise InputError(no_valid_row(source.label, first["rows"], found))
    return {
        "rows_read": first["rows"],
        "items": first["items"],
        "quarantined": first["rows"] - first["items"],
        "quarantine_reasons": found,
        "profile": profile.profile({name: first[name] for name in measures}),
    }
