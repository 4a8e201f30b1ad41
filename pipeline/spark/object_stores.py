"""Spark's access to object stores: the jars that it lacks, and the settings of each connector.

No setting holds a secret. What Hadoop can read from the environment only by a setting is written as
${env.NAME}, which Hadoop resolves on each host.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from models.stores.address import AZURE_SCHEMES, GCS_SCHEME, S3_SCHEMES, Address
from models.stores.azure import KEY_VARIABLE
from pipeline.config.sections import Config
from pipeline.spark import connectors
from pipeline.storage.paths import is_remote

# The AWS SDK that each release of Hadoop is built with (aws-java-sdk-v2.version of hadoop-project).
# The modules that s3a needs are 15 MB; the bundle of all modules, which hadoop-aws asks for, is
# 686 MB.
SDK = {"3.4.2": "2.29.52", "3.5.0": "2.35.4"}
_MODULES = ("s3", "s3-transfer-manager", "sts")
# Spark brings its own copies of the last two; the modules above replace the first.
EXCLUDED = ("software.amazon.awssdk:bundle", "io.netty:*", "org.slf4j:*")
# Spark brings these too, and in one folder there may be one copy only.
EXCLUDED_BESIDE_SPARK = ("commons-codec:*", "commons-logging:*", "org.apache.httpcomponents:*")
# Google's connector belongs to no release of Hadoop's. Its jar with all that it needs has a
# classifier, for which spark.jars.packages has no place. Of newer releases Maven Central lacks the
# parent's pom.
GCS_CONNECTOR = "com.google.cloud.bigdataoss:gcs-connector:4.0.4:shaded"
_MAVEN = "https://repo1.maven.org/maven2"
_S3A = "spark.hadoop.fs.s3a."
_GS = "spark.hadoop.fs.gs."
_AZURE = "spark.hadoop.fs.azure."
_S3_PROVIDERS = (
    "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider",
    "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    # The environment, a web identity, AWS's shared files, the host's role; Hadoop's own list has
    # no web identity, which pods on EKS have.
    "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
)
# Hadoop 3.5 has defaults with units for a connector of its own, which Google's can't read.
_GCS_SIZES = {
    "block.size": 64 << 20,
    "rewrite.max.chunk.size": 512 << 20,
    "outputstream.buffer.size": 8 << 20,
    "inputstream.inplace.seek.limit": 8 << 20,
    "inputstream.min.range.request.size": 2 << 20,
}


def spark_settings(config: Config) -> dict[str, str]:
    """The settings of [spark], and those that the object stores of the config need."""
    addresses = _addresses(config)
    schemes = {address.scheme for address in addresses}
    settings: dict[str, str] = {}
    if schemes.intersection(S3_SCHEMES):
        settings |= _s3_settings(config)
    if GCS_SCHEME in schemes:
        settings |= _gcs_settings(config.gcs.endpoint)
    if schemes.intersection(AZURE_SCHEMES):
        settings |= _azure_settings(config.azure.endpoint, addresses)
    return settings | package_settings(config) | config.spark


def package_settings(config: Config) -> dict[str, str]:
    """The settings that let Spark fetch the connectors that the config needs and Spark lacks."""
    user_jars = "spark.jars" in config.spark or "spark.jars.packages" in config.spark
    if user_jars:
        return {}
    schemes = {address.scheme for address in _addresses(config)}
    stores = [
        *(s3_packages() if schemes.intersection(S3_SCHEMES) else ()),
        *(azure_packages() if schemes.intersection(AZURE_SCHEMES) else ()),
    ]
    settings = {}
    if artifacts := [*stores, *connectors.packages(config)]:
        settings["spark.jars.packages"] = ",".join(artifacts)
    if len(stores) > 1 or schemes.intersection(AZURE_SCHEMES):
        settings["spark.jars.excludes"] = ",".join(EXCLUDED)
    if GCS_SCHEME in schemes and gcs_packages():
        settings["spark.jars"] = maven_url(GCS_CONNECTOR)
    return settings


def _addresses(config: Config) -> list[Address]:
    paths = (config.store.path, config.catalogue.path, config.rules.deny, config.edits.path)
    return [Address.parse(path) for path in paths if is_remote(path)]


def _s3_settings(config: Config) -> dict[str, str]:
    section = config.s3
    settings = {
        f"{_S3A}path.style.access": str(section.options().uses_path_style).lower(),
        f"{_S3A}aws.credentials.provider": ",".join(_S3_PROVIDERS),
        # Not every object store can delete several objects in one request, and few are deleted.
        f"{_S3A}multiobjectdelete.enable": "false",
    }
    if section.endpoint:
        settings[f"{_S3A}endpoint"] = section.endpoint
        secure = not section.endpoint.startswith("http://")
        settings[f"{_S3A}connection.ssl.enabled"] = str(secure).lower()
    if section.region:
        settings[f"{_S3A}endpoint.region"] = section.region
    elif section.endpoint:
        # Without a region the SDK asks AWS for that of the bucket.
        settings[f"{_S3A}endpoint.region"] = "us-east-1"
    if section.profile:
        settings["spark.executorEnv.AWS_PROFILE"] = section.profile
    return settings


def _gcs_settings(endpoint: str) -> dict[str, str]:
    package = "com.google.cloud.hadoop.fs.gcs"
    settings = {
        f"{_GS}impl": f"{package}.GoogleHadoopFileSystem",
        "spark.hadoop.fs.AbstractFileSystem.gs.impl": f"{package}.GoogleHadoopFS",
        f"{_GS}auth.type": "APPLICATION_DEFAULT",
    } | {f"{_GS}{name}": str(size) for name, size in _GCS_SIZES.items()}
    if endpoint:
        settings[f"{_GS}storage.root.url"] = endpoint
    if endpoint.startswith("http://"):
        settings[f"{_GS}auth.type"] = "UNAUTHENTICATED"
    return settings


def _azure_settings(endpoint: str, addresses: list[Address]) -> dict[str, str]:
    settings = _azure_identity(addresses)
    if endpoint:
        url = urlsplit(endpoint)
        settings |= {
            f"{_AZURE}abfs.endpoint": url.netloc if url.port else f"{url.netloc}:443",
            # A store that is not Azure's has no directories, and the protocol of blobs only.
            f"{_AZURE}account.hns.enabled": "false",
            f"{_AZURE}fns.account.service.type": "BLOB",
            f"{_AZURE}ingress.service.type": "BLOB",
        }
    if endpoint.startswith("http://"):
        settings |= {
            f"{_AZURE}always.use.https": "false",
            # abfss:// means TLS to Hadoop, whatever the endpoint is.
            "spark.hadoop.fs.abfss.impl": "org.apache.hadoop.fs.azurebfs.AzureBlobFileSystem",
            # The other library wants TLS always.
            f"{_AZURE}networking.library": "JDK_HTTP_URL_CONNECTION",
        }
    return settings


def _azure_identity(addresses: list[Address]) -> dict[str, str]:
    """Where Hadoop finds Azure's credentials: in the same places as the other clients."""
    if os.environ.get(KEY_VARIABLE):
        hosts = {a.bucket.partition("@")[2] for a in addresses if a.scheme in AZURE_SCHEMES}
        keys = {f"{_AZURE}account.key.{host}": f"${{env.{KEY_VARIABLE}}}" for host in hosts}
        return {f"{_AZURE}account.auth.type": "SharedKey"} | keys
    provider, settings = "MsiTokenProvider", {}
    if os.environ.get("AZURE_CLIENT_ID"):
        settings["client.id"] = "${env.AZURE_CLIENT_ID}"
    if os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        provider = "WorkloadIdentityTokenProvider"
        settings["token.file"] = "${env.AZURE_FEDERATED_TOKEN_FILE}"
        settings["msi.tenant"] = "${env.AZURE_TENANT_ID}"
    elif os.environ.get("AZURE_CLIENT_SECRET"):
        provider = "ClientCredsTokenProvider"
        settings["client.secret"] = "${env.AZURE_CLIENT_SECRET}"
        settings["client.endpoint"] = (
            "https://login.microsoftonline.com/${env.AZURE_TENANT_ID}/oauth2/token"
        )
    return {
        f"{_AZURE}account.auth.type": "OAuth",
        f"{_AZURE}account.oauth.provider.type": f"org.apache.hadoop.fs.azurebfs.oauth2.{provider}",
    } | {f"{_AZURE}account.oauth2.{name}": value for name, value in settings.items()}


def s3_packages() -> list[str]:
    """The artifacts of hadoop-aws for Spark's release of Hadoop; none if Spark has hadoop-aws."""
    version = _hadoop_version()
    if not version or _has_jar("hadoop-aws"):
        return []
    artifacts = [f"org.apache.hadoop:hadoop-aws:{version}"]
    if version in SDK:
        artifacts += [f"software.amazon.awssdk:{module}:{SDK[version]}" for module in _MODULES]
    return artifacts


def azure_packages() -> list[str]:
    """The artifact of hadoop-azure for Spark's release of Hadoop; none if Spark has it."""
    version = _hadoop_version()
    if not version or _has_jar("hadoop-azure"):
        return []
    return [f"org.apache.hadoop:hadoop-azure:{version}"]


def gcs_packages() -> list[str]:
    """The artifact of Google's connector; none if Spark has one."""
    return [] if _has_jar("gcs-connector") else [GCS_CONNECTOR]


def maven_url(artifact: str) -> str:
    """Where a jar lies on Maven Central.

    Args:
        artifact: group:name:version:classifier.
    """
    group, name, version, classifier = artifact.split(":")
    folder = f"{group.replace('.', '/')}/{name}/{version}"
    return f"{_MAVEN}/{folder}/{name}-{version}-{classifier}.jar"


def _has_jar(name: str) -> bool:
    return any(spark_jars().glob(f"{name}-*.jar"))


def _hadoop_version() -> str:
    """The version of Spark's Hadoop; empty if Spark has none."""
    jars = sorted(path.name for path in spark_jars().glob("hadoop-client-api-*.jar"))
    return jars[0].removeprefix("hadoop-client-api-").removesuffix(".jar") if jars else ""


def spark_jars() -> Path:
    """The folder of the jars of the Spark that will be started."""
    import pyspark

    package = Path(pyspark.__file__).parent
    # Installed by pip, Spark lies in the package; of Spark's own archive the package is a part.
    homes = [os.environ.get("SPARK_HOME") or package, package, package.parents[1]]
    folders = [Path(home) / "jars" for home in homes]
    return next((folder for folder in folders if folder.is_dir()), folders[0])
