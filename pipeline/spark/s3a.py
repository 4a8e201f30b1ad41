"""What Spark has to be told to read and write an object store."""

from pathlib import Path

from pipeline.config.sections import Config
from pipeline.storage.paths import is_remote

# The AWS SDK that each release of Hadoop is built with (aws-java-sdk-v2.version of hadoop-project).
# Its modules that s3a needs are 15 MB; the bundle of all, which hadoop-aws asks for, has 686.
_SDK = {"3.4.1": "2.24.6", "3.4.2": "2.29.52", "3.5.0": "2.35.4"}
_MODULES = ("s3", "s3-transfer-manager", "sts")
# Spark has its own of these.
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
    """[spark] of a config, under which lies what its object store takes, if it has one."""
    if not _used(config):
        return config.spark
    section = config.s3
    found = {
        f"{_PREFIX}path.style.access": str(section.options().uses_path_style).lower(),
        f"{_PREFIX}aws.credentials.provider": ",".join(_PROVIDERS),
        # Not every store can delete several objects at once, and few are deleted.
        f"{_PREFIX}multiobjectdelete.enable": "false",
    }
    if section.endpoint:
        found[f"{_PREFIX}endpoint"] = section.endpoint
        secure = not section.endpoint.startswith("http://")
        found[f"{_PREFIX}connection.ssl.enabled"] = str(secure).lower()
    if section.region:
        found[f"{_PREFIX}endpoint.region"] = section.region
    elif section.endpoint:
        # Without one the SDK asks AWS for the bucket's.
        found[f"{_PREFIX}endpoint.region"] = "us-east-1"
    if section.profile:
        found["spark.executorEnv.AWS_PROFILE"] = section.profile
    return found | fetched(config) | config.spark


def fetched(config: Config) -> dict[str, str]:
    """The settings that let Spark fetch hadoop-aws, where it takes it and has it not."""
    given = "spark.jars" in config.spark or "spark.jars.packages" in config.spark
    wanted = packages() if _used(config) and not given else []
    if not wanted:
        return {}
    found = {"spark.jars.packages": ",".join(wanted)}
    return found | ({"spark.jars.excludes": ",".join(EXCLUDED)} if len(wanted) > 1 else {})


def _used(config: Config) -> bool:
    return any(map(is_remote, (config.store.path, config.catalogue.path, config.rules.deny)))


def packages() -> list[str]:
    """hadoop-aws of the Hadoop that Spark has, and what it takes; none where that is there."""
    jars = [path.name for path in spark_jars().glob("*.jar")]
    hadoop = next((name for name in jars if name.startswith("hadoop-client-api-")), "")
    if not hadoop or any(name.startswith("hadoop-aws-") for name in jars):
        return []
    version = hadoop.removeprefix("hadoop-client-api-").removesuffix(".jar")
    found = [f"org.apache.hadoop:hadoop-aws:{version}"]
    if version in _SDK:
        found += [f"software.amazon.awssdk:{module}:{_SDK[version]}" for module in _MODULES]
    return found


def spark_jars() -> Path:
    """The folder of the jars of the Spark that will be started."""
    from pyspark.find_spark_home import _find_spark_home

    return Path(_find_spark_home()) / "jars"
