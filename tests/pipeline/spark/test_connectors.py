"""The releases of Spark's connectors: what a config asks for, the docs, Maven Central."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import reading
from pipeline.spark import connectors, jars
from tests.pages import ROOT

RELEASES = [artifact for of_line in connectors.PACKAGES.values() for artifact in of_line.values()]


def packages(spark: dict[str, str], **catalogue: Any) -> list[str]:
    where = catalogue or {"path": "items.csv"}
    raw = {"store": {"path": "store"}, "catalogue": where, "spark": spark}
    return connectors.packages(reading.from_mapping(raw))


def test_only_what_the_config_asks_for_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectors, "release_line", lambda: "4.1")
    known = connectors.PACKAGES["4.1"]
    assert packages({}) == []
    iceberg = {"spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog"}
    delta = {"spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension"}
    assert packages(iceberg) == [known["iceberg"]]
    assert packages(delta) == [known["delta"]]
    assert packages(iceberg | delta) == [known["delta"], known["iceberg"]]
    assert packages({}, path="items", format="avro") == [known["avro"]]


def test_what_is_not_released_for_a_spark_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectors, "release_line", lambda: "4.2")
    assert packages({"spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog"}) == []
    assert "iceberg" not in connectors.advice()


@pytest.mark.parametrize("artifact", RELEASES)
def test_the_page_names_each_release(artifact: str) -> None:
    assert f"`{artifact}`" in (ROOT / "docs" / "lakehouse.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("artifact", RELEASES)
def test_each_release_is_there(artifact: str, tmp_path: Path) -> None:
    jars.fetch([artifact], tmp_path, transitive=False)
    name, version = artifact.split(":")[1:]
    assert (tmp_path / f"{name}-{version}.jar").stat().st_size > 10_000
