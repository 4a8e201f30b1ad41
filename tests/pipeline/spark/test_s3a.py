from pathlib import Path
from typing import Any

import pytest

from pipeline.config.sections import Config
from pipeline.spark import s3a

PREFIX = "spark.hadoop.fs.s3a."


def config(store: str = "s3a://shop/store", **more: Any) -> Config:
    return Config.model_validate({"store": {"path": store}, "catalogue": {"path": "c.csv"}} | more)


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The jars of a Spark that has Hadoop 3.4.2."""
    folder = tmp_path / "jars"
    folder.mkdir()
    (folder / "hadoop-client-api-3.4.2.jar").touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    return folder


def test_without_an_object_store_nothing_is_added(jars: Path) -> None:
    section = {"spark.executor.cores": "4"}
    assert s3a.spark_settings(config("store", spark=section)) == section


@pytest.mark.usefixtures("jars")
@pytest.mark.parametrize(
    "more",
    [
        {"catalogue": {"path": "s3://shop/c.csv"}},
        {"rules": {"deny": "s3a://shop/deny.csv"}},
    ],
)
def test_whatever_is_in_an_object_store_takes_its_settings(more: dict[str, Any]) -> None:
    assert f"{PREFIX}path.style.access" in s3a.spark_settings(config("store", **more))


def test_hadoop_aws_is_that_of_sparks_hadoop_with_the_sdk_it_was_built_with(jars: Path) -> None:
    packages = s3a.spark_settings(config())["spark.jars.packages"].split(",")
    assert packages[0] == "org.apache.hadoop:hadoop-aws:3.4.2"
    assert "software.amazon.awssdk:s3:2.29.52" in packages
    assert "bundle" in s3a.spark_settings(config())["spark.jars.excludes"]
    (jars / "hadoop-client-api-3.4.2.jar").rename(jars / "hadoop-client-api-3.9.9.jar")
    newer = s3a.spark_settings(config())
    # For an unknown release all dependencies of hadoop-aws are fetched.
    assert newer["spark.jars.packages"] == "org.apache.hadoop:hadoop-aws:3.9.9"
    assert "spark.jars.excludes" not in newer


def test_nothing_is_fetched_that_is_there_or_given(jars: Path) -> None:
    for name in ("spark.jars", "spark.jars.packages"):
        settings = s3a.spark_settings(config(spark={name: "mine"}))
        assert settings[name] == "mine"
        assert "spark.jars.excludes" not in settings
    (jars / "hadoop-aws-3.4.2.jar").touch()
    assert "spark.jars.packages" not in s3a.spark_settings(config())


@pytest.mark.usefixtures("jars")
def test_how_the_store_is_reached_is_told_and_the_users_word_is_the_last() -> None:
    s3 = {"endpoint": "http://store:9000", "region": "tokyo", "profile": "shop"}
    settings = s3a.spark_settings(config(s3=s3, spark={f"{PREFIX}connection.maximum": "7"}))
    assert {name.removeprefix(PREFIX): value for name, value in settings.items()}.items() >= {
        ("endpoint", "http://store:9000"),
        ("endpoint.region", "tokyo"),
        ("path.style.access", "true"),
        ("connection.ssl.enabled", "false"),
        ("connection.maximum", "7"),
        ("spark.executorEnv.AWS_PROFILE", "shop"),
    }
    off = {"endpoint": "https://store", "path_style": "off"}
    settings = s3a.spark_settings(config(s3=off, spark={f"{PREFIX}endpoint": "https://other"}))
    assert settings[f"{PREFIX}path.style.access"] == "false"
    assert settings[f"{PREFIX}endpoint"] == "https://other"
    assert not any("secret" in name or "access.key" in name for name in settings)
