"""Fetching jars with Ivy, which comes with Spark: for images, and for the servers of tests.

    python -m pipeline.spark.jars FOLDER

fetches the jars that s3a://, abfss:// and gs:// need into the folder of Spark's jars. Behind a
proxy JAVA_TOOL_OPTIONS reaches the JVM (-Dhttps.proxyHost=...), and IVY_SETTINGS names a file of
Ivy's settings with other repositories.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import StageError
from pipeline.spark import object_stores
from pipeline.spark.java import find_java

_SECONDS = 600


def fetch(
    artifacts: Sequence[str],
    folder: Path,
    *,
    excluded: Sequence[str] = (),
    transitive: bool = True,
) -> None:
    """Fetch jars into a folder; Ivy keeps a copy in its cache.

    Args:
        artifacts: group:name:version of each, or group:name:version:classifier.
        folder: an existing one.
        excluded: group:name of dependencies to leave out; * for any name.
        transitive: whether their dependencies are fetched too.

    Raises:
        StageError: Ivy fails, with its messages, or Java is missing.
    """
    conf = "default->default" if transitive else "default->master"
    dependencies = "".join(_dependency(artifact, conf, transitive) for artifact in artifacts)
    exclusions = "".join(
        f'<exclude org="{org}" module="{name}"/>'
        for org, name in (module.split(":") for module in excluded)
    )
    with tempfile.TemporaryDirectory(prefix="nitamono-ivy-") as room:
        module = Path(room) / "ivy.xml"
        module.write_text(
            '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">'
            '<info organisation="nitamono" module="jars"/>'
            '<configurations><conf name="default"/></configurations>'
            f"<dependencies>{dependencies}{exclusions}</dependencies></ivy-module>"
        )
        _run(module, folder, len(artifacts))


def _dependency(artifact: str, conf: str, transitive: bool) -> str:
    org, name, rev, *classifier = artifact.split(":")
    part = "".join(
        f'<artifact name="{name}" type="jar" ext="jar" m:classifier="{text}"/>'
        for text in classifier
    )
    return (
        f'<dependency org="{org}" name="{name}" rev="{rev}" '
        f'transitive="{str(transitive).lower()}" conf="{conf}">{part}</dependency>'
    )


def _run(module: Path, folder: Path, min_jars: int) -> None:
    settings, jars = os.environ.get("IVY_SETTINGS"), object_stores.spark_jars() / "*"
    command = [
        *(find_java(), "-cp", str(jars), "org.apache.ivy.Main", "-ivy", str(module)),
        *(("-settings", settings) if settings else ()),
        *("-confs", "default", "-retrieve", str(folder / "[artifact]-[revision].[ext]")),
        *("-types", "jar", "bundle"),
    ]
    try:
        process = subprocess.run(  # noqa: S603 - the program is Ivy
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StageError(f"jars: not fetched within {_SECONDS} s; is there a proxy?") from error
    if process.returncode or len(list(folder.glob("*.jar"))) < min_jars:
        lines = [line.strip() for line in (process.stdout + process.stderr).splitlines()]
        errors = [line for line in lines if "not found" in line or "ERROR" in line] or lines
        raise StageError(f"jars: can't be fetched: {'; '.join(errors[-3:])}")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    hadoop = [*object_stores.s3_packages(), *object_stores.azure_packages()]
    excluded = [*object_stores.EXCLUDED, *object_stores.EXCLUDED_BESIDE_SPARK]
    fetch(hadoop, target, excluded=excluded)
    fetch(object_stores.gcs_packages(), target, transitive=False)
