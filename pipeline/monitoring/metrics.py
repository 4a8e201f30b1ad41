"""The metrics of a run: their names, units and labels; docs/monitoring.md lists them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import __version__
from pipeline.monitoring.run_events import RunEnd, measured

# What each metric means; all are gauges. The unit is the last part of the name.
MEANINGS = {
    "nitamono_run_success": "Whether the last run did what it was to do: 1 or 0.",
    "nitamono_run_exit_code": "Exit code of the last run; 0: done.",
    "nitamono_run_start_timestamp_seconds": "When the last run started.",
    "nitamono_run_end_timestamp_seconds": "When the last run ended.",
    "nitamono_run_duration_seconds": "How long the last run took.",
    "nitamono_stage_duration_seconds": "How long each stage of the last run took; 0: reused.",
    "nitamono_published_timestamp_seconds": "When the table of LATEST was published, also anew.",
    "nitamono_unmet_expectations": "What the last catalogue was not as [expect] wants it.",
    "nitamono_build_info": "Always 1; the version of nitamono is a label.",
    "nitamono_catalogue_rows": "Rows of the catalogue that were read.",
    "nitamono_items": "Items: rows of the catalogue that can be used.",
    "nitamono_quarantined_rows": "Rows of the catalogue that can't be used.",
    "nitamono_short_lists": "Items with fewer than k neighbours.",
    "nitamono_never_shown_items": "Items that are in no list.",
    "nitamono_recall_ratio": "Measured share of the true neighbours that the table has.",
    "nitamono_recall_low_ratio": "Lower end of the 95% interval of the recall.",
    "nitamono_recall_high_ratio": "Upper end of the 95% interval of the recall.",
    "nitamono_coverage_ratio": "Share of the items that have neighbours.",
    "nitamono_churn_ratio": "Share of the neighbours replaced since the published version.",
    "nitamono_table_rows": "Rows of the similar-item table.",
    "nitamono_table_bytes": "Size of the similar-item table's files.",
    "nitamono_written_bytes": "Size of the tables and the model that the last run wrote.",
}
# In the values of labels.
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True)
class Sample:
    """A value of a metric.

    Attributes:
        name: one of MEANINGS.
        value: the value.
        labels: stage, variant or version; empty for most.
    """

    name: str
    value: float
    labels: Mapping[str, str]


def samples(end: RunEnd) -> list[Sample]:
    """The metrics of a run; those that it did not come to are left out."""
    return [*_of_run(end), *_of_table(end)]


def _of_run(end: RunEnd) -> Iterator[Sample]:
    none: dict[str, str] = {}
    yield Sample("nitamono_run_success", int(end.succeeded), none)
    yield Sample("nitamono_run_exit_code", end.exit_code, none)
    yield Sample("nitamono_run_start_timestamp_seconds", end.start.time.timestamp(), none)
    yield Sample("nitamono_run_end_timestamp_seconds", end.time.timestamp(), none)
    yield Sample("nitamono_run_duration_seconds", end.seconds, none)
    for stage, seconds in end.stage_seconds.items():
        yield Sample("nitamono_stage_duration_seconds", seconds, {"stage": stage})
    if end.published is not None:
        yield Sample("nitamono_published_timestamp_seconds", end.published.timestamp(), none)
    if (expected := end.counts.get("expectations")) is not None:
        unmet = sum(not one["met"] for one in expected)
        yield Sample("nitamono_unmet_expectations", unmet, none)
    yield Sample("nitamono_build_info", 1, {"version": __version__})


def _of_table(end: RunEnd) -> Iterator[Sample]:
    variants = end.counts.get("variants", {})
    for name, counts in {"": end.counts, **variants}.items():
        recall = measured(counts.get("recall")) if name else end.recall
        values = {**_of_counts(counts), **_of_recall(recall)}
        labels = {"variant": name} if name else {}
        for metric, value in values.items():
            if value is not None:
                yield Sample(metric, value, labels)


def _of_counts(counts: Mapping[str, Any]) -> dict[str, float | None]:
    quality = counts.get("quality", {})
    return {
        "nitamono_catalogue_rows": counts.get("rows_read"),
        "nitamono_items": counts.get("items"),
        "nitamono_quarantined_rows": counts.get("quarantined"),
        "nitamono_short_lists": counts.get("short_lists"),
        "nitamono_never_shown_items": quality.get("hubs", {}).get("never_shown"),
        "nitamono_coverage_ratio": quality.get("coverage"),
        "nitamono_churn_ratio": counts.get("gate", {}).get("churn"),
        "nitamono_table_rows": counts.get("rows"),
        "nitamono_table_bytes": counts.get("table_bytes"),
        "nitamono_written_bytes": counts.get("written_bytes"),
    }


def _of_recall(recall: Mapping[str, Any] | None) -> dict[str, float | None]:
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"nitamono_recall{end}_ratio": recall[key] if recall else None for end, key in ends.items()
    }


def prometheus_text(values: Iterable[Sample], labels: Mapping[str, str]) -> str:
    """The metrics in Prometheus' text format.

    Args:
        values: the metrics.
        labels: further labels of every metric.
    """
    by_name: dict[str, list[Sample]] = {}
    for sample in values:
        by_name.setdefault(sample.name, []).append(sample)
    lines = []
    for name, of_name in by_name.items():
        lines += [f"# HELP {name} {MEANINGS[name]}", f"# TYPE {name} gauge"]
        lines += [f"{name}{_label_text({**labels, **one.labels})} {one.value}" for one in of_name]
    return "\n".join([*lines, ""])


def _label_text(labels: Mapping[str, str]) -> str:
    pairs = [f'{name}="{text.translate(_ESCAPES)}"' for name, text in sorted(labels.items())]
    return f"{{{','.join(pairs)}}}" if pairs else ""
