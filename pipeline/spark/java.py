"""Java, as the host has it."""

import os
import shutil

from pipeline.errors import StageError


def find_java() -> str:
    """The program java: that of JAVA_HOME, or without it the first on PATH.

    Raises:
        StageError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if not java:
        where = f"in JAVA_HOME ({home})" if home else "on PATH"
        raise StageError(f"no java {where}; install Java 17 or later (make setup does)")
    return java
