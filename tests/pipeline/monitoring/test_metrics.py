import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from pipeline.config.sections import MetricsSection
from pipeline.monitoring import metric_receivers
from pipeline.monitoring.delivery import Deadline, DeliveryError, deliver
from pipeline.monitoring.metrics import MEANINGS, Sample, prometheus_text, samples
from tests.pages import PAGES, ROOT
from tests.pipeline.monitoring import ends
from tests.pipeline.monitoring.receivers import receiver

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "nitamono.json"


def parsed(text: str) -> Values:
    """The values that Prometheus' own parser finds in a text."""
    families = list(text_string_to_metric_families(text))
    assert all(family.type == "gauge" and family.documentation for family in families)
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in families
        for one in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float:
    return values[f"nitamono_{name}", frozenset(labels.items())]


def test_prometheus_reads_what_a_run_measured() -> None:
    values = parsed(prometheus_text(samples(ends.end()), {}))
    assert value(values, "run_success") == 1
    assert value(values, "run_exit_code") == 0
    assert value(values, "run_duration_seconds") == 83.5
    assert value(values, "run_end_timestamp_seconds") == ends.STARTED.timestamp() + 83.5
    assert value(values, "published_timestamp_seconds") == ends.STARTED.timestamp() + 80
    assert value(values, "stage_duration_seconds", stage="embed") == 3.25
    assert value(values, "stage_duration_seconds", stage="train") == 0, "it was reused"
    assert value(values, "catalogue_rows") == 60
    assert value(values, "items") == 57
    assert value(values, "quarantined_rows") == 3
    assert value(values, "never_shown_items") == 4
    assert value(values, "recall_ratio") == 0.99
    assert value(values, "recall_low_ratio") == 0.98
    assert value(values, "recall_high_ratio") == 0.995
    assert value(values, "coverage_ratio") == 0.9825
    assert value(values, "churn_ratio") == 0.1
    assert value(values, "table_bytes") == 12345
    assert value(values, "written_bytes") == 23456
    assert value(values, "table_rows", variant="b") == 280
    assert value(values, "recall_ratio", variant="b") == 0.5
    assert value(values, "table_bytes", variant="b") == 678
    assert {name for name, _ in values} == set(MEANINGS)


def test_a_run_without_a_record_has_its_end() -> None:
    values = parsed(prometheus_text(samples(ends.end({}, exit_code=5, status="failed")), {}))
    assert value(values, "run_success") == 0
    assert value(values, "run_exit_code") == 5
    assert not any("recall" in name or "items" in name for name, _ in values)


def test_a_recall_that_nobody_asked_for_is_left_out() -> None:
    run = ends.full_run()
    run["recall"] |= {"queries": 0, "value": 1.0}
    values = parsed(prometheus_text(samples(ends.end(run)), {}))
    assert ("nitamono_recall_ratio", frozenset()) not in values


def test_labels_hold_any_text() -> None:
    shop = 'a "b" \\ c\nd 本屋'
    values = parsed(prometheus_text([Sample("nitamono_items", 3, {})], {"shop": shop}))
    assert value(values, "items", shop=shop) == 3


def test_the_textfile_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "nitamono.prom"
    section = MetricsSection(textfile=str(file), labels={"shop": "a"})
    for count in (1, 2):
        told = list(metric_receivers.deliveries(section, [Sample("nitamono_items", count, {})]))
        deliver(told, pytest.fail)
    assert value(parsed(file.read_text()), "items", shop="a") == 2
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_missing_folder_of_the_textfile_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="there is no folder"):
        metric_receivers.write_textfile(tmp_path / "gone" / "a.prom", b"")


def test_the_pushgateway_gets_the_same_under_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSH_AUTH", "Basic b3BzOnB3MTIz")
    with receiver() as server:
        section = MetricsSection(
            pushgateway=f"{server.url}/base/",
            authorization_env="PUSH_AUTH",
            labels={"shop": "本", "path": "a/b"},
        )
        deliver(list(metric_receivers.deliveries(section, samples(ends.end()))), pytest.fail)
    ((method, path, headers, content),) = server.received
    assert (method, path) == (
        "POST",
        "/base/metrics/job/nitamono/path@base64/YS9i/shop/%E6%9C%AC",
    )
    assert headers["Authorization"] == "Basic b3BzOnB3MTIz"
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert value(parsed(content.decode()), "items") == 57


def test_statsd_gets_gauges_by_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        section = MetricsSection(
            statsd=f"127.0.0.1:{server.getsockname()[1]}", statsd_prefix="shop.nitamono"
        )
        values = samples(ends.end())
        deliver(list(metric_receivers.deliveries(section, values)), pytest.fail, Deadline(5))
        lines: list[str] = []
        while len(lines) < len(values):
            datagram = server.recv(65536)
            assert len(datagram) <= 1432
            lines += datagram.decode().split("\n")
    assert all(re.fullmatch(r"[\w.-]+:[\d.]+(e[+-]\d+)?\|g", line) for line in lines)
    assert "shop.nitamono.items:57|g" in lines
    assert "shop.nitamono.stage_duration_seconds.embed:3.25|g" in lines
    assert "shop.nitamono.recall_ratio.b:0.5|g" in lines


def test_every_metric_is_on_the_page_with_its_meaning() -> None:
    (page,) = (page for page in PAGES if page.name == "docs/monitoring.md")
    rows = re.findall(r"^\| `(nitamono_\w+)` \| [^|]* \| ([^|]*) \|$", page.text, re.M)
    assert dict(rows) == {name: text.removesuffix(".") for name, text in MEANINGS.items()}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_the_dashboard_asks_for_what_is_written_only() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked: set[str] = set()
    for panel in panels(board):
        expressions = [target["expr"] for target in panel["targets"]]
        assert expressions, panel["title"]
        for expression in expressions:
            names = set(re.findall(r"nitamono_\w+", expression))
            assert names, expression
            asked |= names
    assert asked <= set(MEANINGS)
    annotations = [one["expr"] for one in board["annotations"]["list"]]
    noted = set(re.findall(r"nitamono_\w+", " ".join(annotations)))
    assert noted <= set(MEANINGS)
    hidden = {"nitamono_run_start_timestamp_seconds"}
    assert asked | noted == set(MEANINGS) - hidden, "what is written is shown"


def test_the_alerts_ask_for_what_is_written_only() -> None:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    for rule in rules:
        names = set(re.findall(r"nitamono_\w+", f"{rule['expr']} {rule['annotations']}"))
        assert names
        assert names <= set(MEANINGS), rule["alert"]


def test_the_dashboards_panels_lie_beside_each_other() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        own = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not own & taken, panel["title"]
        taken |= own
