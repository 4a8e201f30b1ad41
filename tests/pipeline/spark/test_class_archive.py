"""The archive of Spark's classes: what a JVM is told of it, and that Java makes and takes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.spark import class_archive
from pipeline.spark.session import LONG_JVM, settings

OPTIONS = "spark.driver.extraJavaOptions"


def test_sessions_of_this_host_map_the_archive_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert settings({})[OPTIONS] == " ".join(LONG_JVM)
    archive = class_archive.path()
    assert archive.is_relative_to(tmp_path)
    archive.parent.mkdir(parents=True)
    archive.touch()
    assert settings({})[OPTIONS].startswith(f"-XX:SharedArchiveFile={archive} ")
    brief = settings({}, brief=True)[OPTIONS]
    assert brief.startswith(f"-XX:SharedArchiveFile={archive} ")
    assert "-XX:TieredStopAtLevel=1" in brief
    assert settings({OPTIONS: "-Xss2m"}, brief=True)[OPTIONS] == "-Xss2m"
    assert OPTIONS not in settings({"spark.master": "yarn"}, brief=True)
    # That of another Java is not this one's.
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch(mode=0o755)
    assert settings({})[OPTIONS] == " ".join(LONG_JVM)


@pytest.mark.processes
@pytest.mark.slow
def test_java_makes_the_archive_and_takes_it(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from pipeline.spark import class_archive, session
from pipeline.spark.log import SparkLog

sys.prefix = {str(tmp_path)!r}
if sys.argv[1] == "make":
    class_archive.make()
else:
    options = [*class_archive.options(), *session.LONG_JVM]
    options.append("-Xlog:class+load:file={tmp_path}/loads.txt")
    settings = {{"spark.driver.extraJavaOptions": " ".join(options)}}
    session.start(settings, SparkLog(Path("{tmp_path}/spark.log")))
"""
    # Java archives nothing if a folder with files is on its class path, such as that of settings.
    env = {name: value for name, value in os.environ.items() if name != "SPARK_CONF_DIR"}
    for what in ("make", "use"):
        subprocess.run([sys.executable, "-c", script, what], check=True, env=env)
    assert len(list((tmp_path / "share" / "nitamono").iterdir())) == 1
    loads = (tmp_path / "loads.txt").read_text()
    assert "org.apache.spark.SparkContext source: shared objects file (top)" in loads
