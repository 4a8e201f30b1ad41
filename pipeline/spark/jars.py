"""Fetching jars with Ivy, which Spark brings along: for images, and for what tests start.

    python -m pipeline.spark.jars FOLDER

brings what s3a:// takes into a folder. Behind a proxy JAVA_TOOL_OPTIONS reaches the JVM
(-Dhttps.proxyHost=...), and IVY_SETTINGS names a file of Ivy's settings with other repositories.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import StageError
from pipeline.spark import s3a

_SECONDS = 600


def fetch(
    artifacts: Sequence[str],
    folder: Path,
    *,
    excluded: Sequence[str] = (),
    transitive: bool = True,
) -> None:
    """Bring jars into a folder; Ivy keeps them for the next time.

    Args:
        artifacts: group:name:version of each.
        folder: it is there.
        excluded: group:name of what they ask for and is not wanted; * for any name.
        transitive: whether what they ask for comes too.

    Raises:
        StageError: with Ivy's own words, or because Java is missing.
    """
    found = (artifact.split(":") for artifact in artifacts)
    conf = "default->default" if transitive else "default->master"
    wanted = "".join(
        f'<dependency org="{org}" name="{name}" rev="{rev}" '
        f'transitive="{str(transitive).lower()}" conf="{conf}"/>'
        for org, name, rev in found
    )
    left_out = "".join(
        f'<exclude org="{org}" module="{name}"/>'
        for org, name in (module.split(":") for module in excluded)
    )
    with tempfile.TemporaryDirectory(prefix="nitamono-ivy-") as room:
        module = Path(room) / "ivy.xml"
        module.write_text(
            '<ivy-module version="2.0"><info organisation="nitamono" module="jars"/>'
            '<configurations><conf name="default"/></configurations>'
            f"<dependencies>{wanted}{left_out}</dependencies></ivy-module>"
        )
        _run(module, folder, len(artifacts))


def _run(module: Path, folder: Path, least: int) -> None:
    settings = os.environ.get("IVY_SETTINGS")
    command = [
        *(_java(), "-cp", str(s3a.spark_jars() / "*"), "org.apache.ivy.Main", "-ivy", str(module)),
        *(("-settings", settings) if settings else ()),
        *("-confs", "default", "-retrieve", str(folder / "[artifact]-[revision].[ext]")),
        *("-types", "jar", "bundle"),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - what is run is Ivy
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StageError(f"jars: not fetched within {_SECONDS} s; is there a proxy?") from error
    if done.returncode or len(list(folder.glob("*.jar"))) < least:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        said = [line for line in lines if "not found" in line or "ERROR" in line] or lines
        raise StageError(f"jars: can't be fetched: {'; '.join(said[-3:])}")


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home else shutil.which("java")
    if not found:
        raise StageError("jars: no java on PATH; install Java 17 or later")
    return found


if __name__ == "__main__":
    fetch(s3a.packages(), Path(sys.argv[1]), excluded=s3a.EXCLUDED)
