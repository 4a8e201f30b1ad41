import os
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from pipeline.config.sections import Config
from pipeline.spark import jars as ivy
from pipeline.spark import object_stores

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
    assert object_stores.spark_settings(config("store", spark=section)) == section


@pytest.mark.usefixtures("jars")
@pytest.mark.parametrize(
    "more",
    [
        {"catalogue": {"path": "s3://shop/c.csv"}},
        {"rules": {"deny": "s3a://shop/deny.csv"}},
    ],
)
def test_whatever_is_in_an_object_store_takes_its_settings(more: dict[str, Any]) -> None:
    assert f"{PREFIX}path.style.access" in object_stores.spark_settings(config("store", **more))


def test_hadoop_aws_is_that_of_sparks_hadoop_with_the_sdk_it_was_built_with(jars: Path) -> None:
    packages = object_stores.spark_settings(config())["spark.jars.packages"].split(",")
    assert packages[0] == "org.apache.hadoop:hadoop-aws:3.4.2"
    assert "software.amazon.awssdk:s3:2.29.52" in packages
    assert "bundle" in object_stores.spark_settings(config())["spark.jars.excludes"]
    (jars / "hadoop-client-api-3.4.2.jar").rename(jars / "hadoop-client-api-3.9.9.jar")
    newer = object_stores.spark_settings(config())
    # For an unknown release all dependencies of hadoop-aws are fetched.
    assert newer["spark.jars.packages"] == "org.apache.hadoop:hadoop-aws:3.9.9"
    assert "spark.jars.excludes" not in newer


def test_nothing_is_fetched_that_is_there_or_given(jars: Path) -> None:
    for name in ("spark.jars", "spark.jars.packages"):
        settings = object_stores.spark_settings(config(spark={name: "mine"}))
        assert settings[name] == "mine"
        assert "spark.jars.excludes" not in settings
    (jars / "hadoop-aws-3.4.2.jar").touch()
    assert "spark.jars.packages" not in object_stores.spark_settings(config())


@pytest.mark.usefixtures("jars")
def test_how_the_store_is_reached_is_told_and_the_users_word_is_the_last() -> None:
    s3 = {"endpoint": "http://store:9000", "region": "tokyo", "profile": "shop"}
    settings = object_stores.spark_settings(
        config(s3=s3, spark={f"{PREFIX}connection.maximum": "7"})
    )
    assert {name.removeprefix(PREFIX): value for name, value in settings.items()}.items() >= {
        ("endpoint", "http://store:9000"),
        ("endpoint.region", "tokyo"),
        ("path.style.access", "true"),
        ("connection.ssl.enabled", "false"),
        ("connection.maximum", "7"),
        ("spark.executorEnv.AWS_PROFILE", "shop"),
    }
    off = {"endpoint": "https://store", "path_style": "off"}
    settings = object_stores.spark_settings(
        config(s3=off, spark={f"{PREFIX}endpoint": "https://other"})
    )
    assert settings[f"{PREFIX}path.style.access"] == "false"
    assert settings[f"{PREFIX}endpoint"] == "https://other"
    assert not any("secret" in name or "access.key" in name for name in settings)


AZURE = "abfss://shop@account.dfs.core.windows.net"


@pytest.fixture
def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AZURE_"):
            monkeypatch.delenv(name)


def test_google_cloud_takes_its_connector_and_credentials_by_default(jars: Path) -> None:
    settings = object_stores.spark_settings(config("gs://shop/store"))
    assert settings["spark.hadoop.fs.gs.auth.type"] == "APPLICATION_DEFAULT"
    assert settings["spark.jars"].endswith("-shaded.jar")
    assert not any(name.startswith(PREFIX) for name in settings)
    emulator = config("gs://shop/store", gcs={"endpoint": "http://store:9"}, spark={"a": "b"})
    settings = object_stores.spark_settings(emulator)
    assert settings["spark.hadoop.fs.gs.auth.type"] == "UNAUTHENTICATED"
    assert settings["spark.hadoop.fs.gs.storage.root.url"] == "http://store:9"
    assert settings["a"] == "b"
    (jars / "gcs-connector-4.0.4-shaded.jar").touch()
    assert "spark.jars" not in object_stores.spark_settings(config("gs://shop/store"))
    given = config("gs://shop/store", spark={"spark.jars": "mine.jar"})
    assert object_stores.spark_settings(given)["spark.jars"] == "mine.jar"


@pytest.mark.usefixtures("no_identity")
def test_azure_takes_the_connector_of_sparks_hadoop(jars: Path) -> None:
    settings = object_stores.spark_settings(config(f"{AZURE}/store"))
    assert settings["spark.jars.packages"] == "org.apache.hadoop:hadoop-azure:3.4.2"
    (jars / "hadoop-azure-3.4.2.jar").touch()
    assert "spark.jars.packages" not in object_stores.spark_settings(config(f"{AZURE}/store"))


@pytest.mark.usefixtures("jars", "no_identity")
@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, "MsiTokenProvider"),
        ({"AZURE_CLIENT_ID": "i"}, "MsiTokenProvider"),
        ({"AZURE_CLIENT_ID": "i", "AZURE_CLIENT_SECRET": "hidden-1"}, "ClientCredsTokenProvider"),
        ({"AZURE_FEDERATED_TOKEN_FILE": "/hidden-2"}, "WorkloadIdentityTokenProvider"),
        ({"AZURE_STORAGE_ACCOUNT_KEY": "hidden-3"}, ""),
    ],
)
def test_azures_credentials_are_named_and_never_copied(
    variables: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = object_stores.spark_settings(config(f"{AZURE}/store"))
    provider = settings.get("spark.hadoop.fs.azure.account.oauth.provider.type", "")
    assert provider.rpartition(".")[2] == kind
    assert "hidden" not in " ".join(settings.values())
    for name in variables:
        assert any(f"${{env.{name}}}" in value for value in settings.values())
    if not kind:
        assert "spark.hadoop.fs.azure.account.key.account.dfs.core.windows.net" in settings


@pytest.mark.usefixtures("jars", "no_identity")
def test_azures_endpoint_is_that_of_a_flat_store() -> None:
    endpoint = {"endpoint": "http://store:9"}
    settings = object_stores.spark_settings(config(f"{AZURE}/store", azure=endpoint))
    assert settings["spark.hadoop.fs.azure.abfs.endpoint"] == "store:9"
    assert settings["spark.hadoop.fs.azure.fns.account.service.type"] == "BLOB"
    assert settings["spark.hadoop.fs.azure.always.use.https"] == "false"
    endpoint = {"endpoint": "https://store"}
    settings = object_stores.spark_settings(config(f"{AZURE}/store", azure=endpoint))
    assert settings["spark.hadoop.fs.azure.abfs.endpoint"] == "store:443"
    assert "spark.hadoop.fs.azure.always.use.https" not in settings


@pytest.mark.slow
@pytest.mark.parametrize("hadoop", object_stores.SDK)
def test_each_release_of_a_connector_is_there(
    hadoop: str, jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (jars / "hadoop-client-api-3.4.2.jar").rename(jars / f"hadoop-client-api-{hadoop}.jar")
    wanted = [
        *object_stores.s3_packages(),
        *object_stores.azure_packages(),
        *object_stores.gcs_packages(),
    ]
    monkeypatch.undo()
    target = tmp_path / "fetched"
    target.mkdir()
    ivy.fetch(wanted, target, transitive=False)
    for artifact in wanted:
        name, version = artifact.split(":")[1:3]
        assert (target / f"{name}-{version}.jar").stat().st_size > 10_000
    # With all that it needs.
    assert next(target.glob("gcs-connector-*.jar")).stat().st_size > 30 << 20


@pytest.mark.slow
def test_googles_connector_is_where_spark_fetches_it() -> None:
    request = Request(object_stores.maven_url(object_stores.GCS_CONNECTOR), method="HEAD")  # noqa: S310
    with urlopen(request, timeout=60) as answer:  # noqa: S310
        assert int(answer.headers["Content-Length"]) > 30 << 20
