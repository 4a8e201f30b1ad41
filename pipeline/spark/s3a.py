"""Spark's settings for reading and writing an object store through s3a://."""

import os
from pathlib import Path

from pipeline.config.sections import Config
from pipeline.spark import connectors
from pipeline.storage.paths import is_remote

# The AWS SDK that each release of Hadoop is built with (aws-java-sdk-v2.version of hadoop-project).
# The modules that s3a needs are 15 MB; the bundle of all modules, which hadoop-aws asks for, is
# 686 MB.
_SDK = {"3.4.1": "2.24.6", "3.4.2": "2.29.52", "3.5.0": "2.35.4"}
_MODULES = ("s3", "s3-transfer-manager", "sts")
# Spark brings its own copies of the last two; the modules above replace the first.
EXCLUDED = ("software.amazon.awssdk:bundle", "io.netty:*", "org.slf4j:*")
_PREFIX = "spark.hadoop.fs.s3a."
_PROVIDERS = (
    "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider",
    "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    # The environment, a web identity, AWS's shared files, the host's role; Hadoop's own list has
    # no web identity, which pods on EKS have.
    "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
)


def spark_settings(config: Config) -> dict[str, str]:
    """The settings of [spark]; where the config uses an object store, also those that it needs."""
    if not _uses_object_store(config):
        return package_settings(config) | config.spark
    section = config.s3
    settings = {
        f"{_PREFIX}path.style.access": str(section.options().uses_path_style).lower(),
        f"{_PREFIX}aws.credentials.provider": ",".join(_PROVIDERS),
        # Not every object store can delete several objects in one request, and few are deleted.
        f"{_PREFIX}multiobjectdelete.enable": "false",
    }
    if section.endpoint:
        settings[f"{_PREFIX}endpoint"] = section.endpoint
        secure = not section.endpoint.startswith("http://")
        settings[f"{_PREFIX}connection.ssl.enabled"] = str(secure).lower()
    if section.region:
        settings[f"{_PREFIX}endpoint.region"] = section.region
    elif section.endpoint:
        # Without a region the SDK asks AWS for that of the bucket.
        settings[f"{_PREFIX}endpoint.region"] = "us-east-1"
    if section.profile:
        settings["spark.executorEnv.AWS_PROFILE"] = section.profile
    return settings | package_settings(config) | config.spark


def package_settings(config: Config) -> dict[str, str]:
    """The settings that let Spark fetch the connectors that the config needs and Spark lacks."""
    user_jars = "spark.jars" in config.spark or "spark.jars.packages" in config.spark
    if user_jars:
        return {}
    stores = packages() if _uses_object_store(config) else []
    artifacts = [*stores, *connectors.packages(config)]
    if not artifacts:
        return {}
    settings = {"spark.jars.packages": ",".join(artifacts)}
    return settings | ({"spark.jars.excludes": ",".join(EXCLUDED)} if len(stores) > 1 else {})


def _uses_object_store(config: Config) -> bool:
    return any(map(is_remote, (config.store.path, config.catalogue.path, config.rules.deny)))


def packages() -> list[str]:
    """The artifacts of hadoop-aws for Spark's release of Hadoop; none if Spark has hadoop-aws."""
    jars = [path.name for path in spark_jars().glob("*.jar")]
    hadoop = next((name for name in jars if name.startswith("hadoop-client-api-")), "")
    if not hadoop or any(name.startswith("hadoop-aws-") for name in jars):
        return []
    version = hadoop.removeprefix("hadoop-client-api-").removesuffix(".jar")
    artifacts = [f"org.apache.hadoop:hadoop-aws:{version}"]
    if version in _SDK:
        artifacts += [f"software.amazon.awssdk:{module}:{_SDK[version]}" for module in _MODULES]
    return artifacts


def spark_jars() -> Path:
    """The folder of the jars of the Spark that will be started."""
    import pyspark

    package = Path(pyspark.__file__).parent
    # Installed by pip, Spark lies in the package; of Spark's own archive the package is a part.
    homes = [os.environ.get("SPARK_HOME") or package, package, package.parents[1]]
    folders = [Path(home) / "jars" for home in homes]
    return next((folder for folder in folders if folder.is_dir()), folders[0])
