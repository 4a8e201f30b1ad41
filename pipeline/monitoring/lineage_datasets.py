"""Lineage: what a run reads and writes, as datasets of OpenLineage.

Names of files follow OpenLineage's rules: `file` and the path, or `s3://BUCKET` and the key.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pipeline.config.sections import Config
from pipeline.monitoring.lineage_facets import facet
from pipeline.monitoring.run_events import RunEnd
from pipeline.report import checks
from pipeline.store import run_records
from pipeline.store.schemas import SIMILAR_ITEMS

Dataset = dict[str, Any]
_LIFECYCLE = "LifecycleStateChangeDatasetFacet"


def inputs(config: Config, end: RunEnd | None) -> list[Dataset]:
    """The catalogue, with the rows that were read and what the gate says of them.

    Args:
        config: the config.
        end: the run's end; None at its start.
    """
    # With the date of the night, which the config of the run's start may not have.
    settings = (
        end.run["settings"]["catalogue"] if end and end.run else config.catalogue.model_dump()
    )
    place = _catalogue(settings, config.lineage.namespace)
    if place is None:
        return []
    dataset = _dataset(*place)
    rows = end.counts.get("rows_read") if end else None
    if end is None or rows is None:
        return [dataset]
    statistics = facet("InputStatisticsInputDatasetFacet", "1-0-0", rowCount=rows)
    dataset["inputFacets"] = {"inputStatistics": statistics} | _assertions(end, of_input=True)
    return [dataset]


def outputs(end: RunEnd) -> list[Dataset]:
    """The similar-item tables that the run made, each with its version and its size."""
    config, run = end.start.config, end.run
    if end.version is None:
        return []
    datasets = []
    variants = end.counts.get("variants", {})
    for name, counts in {"": end.counts, **variants}.items():
        version = run["fingerprints"].get(f"publish@{name}" if name else "publish")
        if version is not None:
            datasets.append(_written(end, table(config, name), version, counts, name))
    if config.publish.table and end.status == run_records.PUBLISHED:
        dataset = _dataset(config.lineage.namespace, config.publish.table)
        datasets.append(_written(end, dataset, end.version, end.counts, ""))
    return datasets


def table(config: Config, variant: str = "") -> Dataset:
    """The similar-item table of the store, or of a variant, without a version."""
    namespace, folder = _place(config.store.path)
    name = f"similar_items@{variant}" if variant else "similar_items"
    return _dataset(namespace, f"{folder}/tables/{name}".lstrip("/" if namespace != "file" else ""))


def _written(
    end: RunEnd, dataset: Dataset, version: str, counts: dict[str, Any], variant: str
) -> Dataset:
    fields = [{"name": field.name, "type": str(field.type)} for field in SIMILAR_ITEMS]
    dataset["facets"] |= {
        "schema": facet("SchemaDatasetFacet", "1-2-0", fields=fields),
        "version": facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=version),
    }
    if end.status == run_records.PUBLISHED:
        change = facet(_LIFECYCLE, "1-0-1", lifecycleStateChange="OVERWRITE")
        dataset["facets"]["lifecycleStateChange"] = change
    statistics = facet(
        "OutputStatisticsOutputDatasetFacet",
        "1-0-2",
        rowCount=counts.get("rows"),
        size=counts.get("table_bytes"),
    )
    dataset["outputFacets"] = {"outputStatistics": statistics}
    if not variant:
        dataset["outputFacets"] |= _assertions(end, of_input=False)
    return dataset


def tests(end: RunEnd) -> Iterator[dict[str, Any]]:
    """The checks of the catalogue and of the gate, with their limits and what was measured."""
    for check in checks.checks(end.run) if end.run else ():
        sign = ">=" if check["side"] == checks.AT_LEAST else "<="
        is_good = check["state"] == checks.GOOD
        of_catalogue = check["name"].startswith(checks.EXPECTED)
        column = check.get("column")
        # Of a figure there may be a least and a greatest value.
        bound = f"{check['name']}.{'min' if check['side'] == checks.AT_LEAST else 'max'}"
        name = check["name"] if not of_catalogue else f"{bound}.{column}" if column else bound
        yield {
            "name": name if of_catalogue else f"gate.{name}",
            "status": "pass" if is_good else "fail",
            # What the run was told to let through is a warning.
            "severity": "warn" if check["state"] == checks.WAIVED else "error",
            "type": name,
            "expected": f"{sign} {check['limit']}",
            "actual": str(check["value"]),
        }


def _assertions(end: RunEnd, *, of_input: bool) -> dict[str, Any]:
    assertions = [
        {
            "assertion": test["type"],
            "success": test["status"] == "pass",
            "severity": test["severity"],
            "expected": test["expected"],
            "actual": test["actual"],
        }
        for test in tests(end)
        if test["type"].startswith(checks.EXPECTED) == of_input
    ]
    if not assertions:
        return {}
    name = "DataQualityAssertionsDatasetFacet"
    return {"dataQualityAssertions": facet(name, "1-1-0", assertions=assertions)}


def _dataset(namespace: str, name: str) -> Dataset:
    source = name if namespace == "file" else f"{namespace}/{name}"
    uri = f"file://{source}" if namespace == "file" else source
    facets = {"dataSource": facet("DatasourceDatasetFacet", "1-0-1", name=namespace, uri=uri)}
    return {"namespace": namespace, "name": name, "facets": facets}


def _catalogue(settings: dict[str, Any], namespace: str) -> tuple[str, str] | None:
    """Namespace and name of the catalogue; None for a query, or while its date is not known."""
    if settings["query"] or "{date}" in settings["path"]:
        return None
    if settings["table"]:
        return namespace, settings["table"]
    if not settings["path"]:
        return namespace, settings["options"].get("dbtable") or settings["format"]
    return _place(settings["path"])


def _place(path: str) -> tuple[str, str]:
    """Namespace and name of a path or an address in an object store."""
    parts = urlsplit(path)
    if "://" not in path or not parts.netloc:
        return "file", path
    scheme = {"s3a": "s3", "s3n": "s3"}.get(parts.scheme, parts.scheme)
    return f"{scheme}://{parts.netloc}", parts.path.strip("/") or "/"
