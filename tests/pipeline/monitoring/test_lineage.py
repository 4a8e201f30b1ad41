"""Events as the classes of OpenLineage's own client take them, which are made from its schema."""

import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attr
import pytest
from openlineage.client import generated
from openlineage.client.generated import base, lifecycle_state_change_dataset

from pipeline.monitoring import lineage
from pipeline.monitoring.delivery import deliver
from tests.pipeline.monitoring import ends
from tests.pipeline.monitoring.receivers import receiver

# nitamono's own facet of a run.
OWN = {"nitamono_run"}


def facet_classes() -> dict[str, Any]:
    """The classes of facets by the names of their schemas."""
    modules = (module.name for module in pkgutil.iter_modules(generated.__path__))
    classes: dict[str, Any] = {}
    for name in modules:
        module = import_module(f"openlineage.client.generated.{name}")
        classes |= {key: one for key, one in vars(module).items() if attr.has(one)}
    return classes


FACETS = facet_classes()


def check_facets(facets: dict[str, Any], kind: type) -> Iterator[str]:
    """Make each facet with its class, which refuses unknown and missing fields."""
    for name, content in facets.items():
        fields = dict(content)
        producer, schema = fields.pop("_producer"), fields.pop("_schemaURL")
        assert urlsplit(producer).scheme
        if name in OWN:
            assert urlsplit(schema).scheme
            yield name
            continue
        cls = FACETS[schema.rpartition("/")[2]]
        assert issubclass(cls, kind), f"{name} does not belong here"
        made = cls(**{key: checked(cls, key, value) for key, value in fields.items()})
        assert major(schema) == major(made._get_schema())
        yield name


def major(schema: str) -> tuple[str, str]:
    """The first number of a schema's version, and its name."""
    *_, version, name = schema.split("#")[0].split("/")
    return version.split("-")[0], name


def checked(cls: type, key: str, value: Any) -> Any:
    """A field's value; where it is a list of objects, each is made with its class too."""
    names = {
        "assertions": "Assertion",
        "tests": "TestExecution",
        "fields": "SchemaDatasetFacetFields",
    }
    if key in names:
        for entry in value:
            FACETS[names[key]](**entry)
    if key == "lifecycleStateChange":
        return lifecycle_state_change_dataset.LifecycleStateChange(value)
    return value


def check(event: dict[str, Any]) -> None:
    """See that an event is one of OpenLineage."""
    event = json.loads(json.dumps(event))
    run, job = dict(event["run"]), dict(event["job"])
    list(check_facets(run["facets"], base.RunFacet))
    list(check_facets(job["facets"], base.JobFacet))
    for dataset in event["inputs"]:
        assert set(dataset) <= {"namespace", "name", "facets", "inputFacets"}
        list(check_facets(dataset["facets"], base.DatasetFacet))
        list(check_facets(dataset.get("inputFacets", {}), base.InputDatasetFacet))
    for dataset in event["outputs"]:
        assert set(dataset) <= {"namespace", "name", "facets", "outputFacets"}
        list(check_facets(dataset["facets"], base.DatasetFacet))
        facets = dict(dataset.get("outputFacets", {}))
        # Its schema is that of a facet of inputs; OpenLineage takes any facet here.
        assertions = facets.pop("dataQualityAssertions", None)
        list(check_facets(facets, base.OutputDatasetFacet))
        if assertions:
            list(check_facets({"dataQualityAssertions": assertions}, base.InputDatasetFacet))
    made = base.RunEvent(
        eventType=base.EventType(event["eventType"]),
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=base.Run(**run),
        job=base.Job(**job),
        inputs=[base.InputDataset(**dataset) for dataset in event["inputs"]],
        outputs=[base.OutputDataset(**dataset) for dataset in event["outputs"]],
    )
    assert made.schemaURL == event["schemaURL"]
    assert set(event) == {field.name for field in attr.fields(base.RunEvent)}


def test_a_run_that_publishes_starts_and_completes() -> None:
    start, end = lineage.of_start(ends.start()), lineage.of_end(ends.end())
    check(start)
    check(end)
    assert [start["eventType"], end["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == end["run"]["runId"]
    assert start["job"]["name"] == end["job"]["name"] == "similar_items"
    (catalogue,) = end["inputs"]
    assert (catalogue["namespace"], catalogue["name"]) == ("file", "/data/items.csv")
    assert catalogue["inputFacets"]["inputStatistics"]["rowCount"] == 60
    assert catalogue["inputFacets"]["dataQualityAssertions"]["assertions"] == [
        {
            "assertion": "expected_quarantined.max",
            "success": True,
            "severity": "error",
            "expected": "<= 0.05",
            "actual": "0.05",
        },
        {
            "assertion": "expected_null.max.brand",
            "success": False,
            "severity": "error",
            "expected": "<= 0.1",
            "actual": "0.5",
        },
    ]
    table, variant = end["outputs"]
    assert (table["namespace"], table["name"]) == ("file", "/data/store/tables/similar_items")
    assert variant["name"] == "/data/store/tables/similar_items@b"
    assert table["facets"]["version"]["datasetVersion"] == "0123456789abcdef"
    statistics = table["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (560, 12345)
    names = [one["name"] for one in end["run"]["facets"]["test"]["tests"]]
    assert {"gate.recall", "gate.churn", "gate.rows"} <= set(names)


def test_a_table_that_is_held_back_fails_with_the_check_that_it_failed() -> None:
    run = ends.full_run()
    run["recall"]["value"], run["status"] = 0.5, "held_back"
    event = lineage.of_end(
        ends.end(run, exit_code=4, status="held_back", message="recall is 0.5000")
    )
    check(event)
    assert event["eventType"] == "FAIL"
    assert event["run"]["facets"]["errorMessage"]["message"] == "recall is 0.5000"
    tests = {one["name"]: one["status"] for one in event["run"]["facets"]["test"]["tests"]}
    assert tests["gate.recall"] == "fail"
    assert tests["gate.churn"] == "pass"
    assert "lifecycleStateChange" not in event["outputs"][0]["facets"]


def test_a_run_without_a_record_fails_and_an_interrupted_one_is_aborted() -> None:
    failed = lineage.of_end(ends.end({}, exit_code=5, status="failed", message="no store"))
    aborted = lineage.of_end(ends.end({}, exit_code=130, status="failed", message="interrupted"))
    for event in (failed, aborted):
        check(event)
        assert event["outputs"] == []
    assert [failed["eventType"], aborted["eventType"]] == ["FAIL", "ABORT"]


@pytest.mark.parametrize(
    ("catalogue", "store", "expected"),
    [
        (
            {"path": "s3a://bucket/in/items.parquet"},
            "s3a://bucket/store",
            [("s3://bucket", "in/items.parquet"), ("s3://bucket", "store/tables/similar_items")],
        ),
        (
            {"path": "gs://bucket"},
            "abfss://c@account.dfs.core.windows.net/store",
            [
                ("gs://bucket", "/"),
                ("abfss://c@account.dfs.core.windows.net", "store/tables/similar_items"),
            ],
        ),
        (
            {"table": "lake.shop.items"},
            "/data/store",
            [("shops", "lake.shop.items"), ("file", "/data/store/tables/similar_items")],
        ),
        (
            {"format": "jdbc", "options": {"dbtable": "public.items"}},
            "/data/store",
            [("shops", "public.items"), ("file", "/data/store/tables/similar_items")],
        ),
        ({"path": "/in/{date}"}, "/s", [("file", "/s/tables/similar_items")]),
        ({"query": "SELECT 1"}, "/s", [("file", "/s/tables/similar_items")]),
    ],
)
def test_datasets_are_named_as_openlineage_names_them(
    catalogue: dict[str, Any], store: str, expected: list[tuple[str, str]]
) -> None:
    sections: dict[str, Any] = {
        "catalogue": catalogue,
        "store": {"path": store},
        "lineage": {"namespace": "shops"},
    }
    event = lineage.of_start(ends.start(**sections))
    check(event)
    datasets = [*event["inputs"], *event["outputs"]]
    assert [(one["namespace"], one["name"]) for one in datasets] == expected


def test_a_part_of_the_chain_is_a_job_of_its_own() -> None:
    assert lineage.of_start(ends.start("ingest"))["job"]["name"] == "similar_items.ingest"
    assert lineage.of_start(ends.start("ingest"))["outputs"] == []


def test_events_go_to_a_file_line_by_line_and_to_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINEAGE_AUTH", "Bearer k3y-of-lineage")
    file = tmp_path / "events.jsonl"
    with receiver() as server:
        section = {
            "file": str(file),
            "url": f"{server.url}/api/v1/lineage",
            "authorization_env": "LINEAGE_AUTH",
        }
        start = ends.start(lineage=section)
        events = [lineage.of_start(start), lineage.of_end(ends.end(start=start))]
        for event in events:
            deliver(list(lineage.deliveries(start.config.lineage, event)), pytest.fail)
    assert [json.loads(line) for line in file.read_text("utf-8").splitlines()] == events
    assert server.contents == events
    assert {headers["Authorization"] for _, _, headers, _ in server.received} == {
        "Bearer k3y-of-lineage"
    }
