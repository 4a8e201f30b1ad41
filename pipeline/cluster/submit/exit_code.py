"""The exit code of a driver in a pod.

In Kubernetes' cluster mode spark-submit ends with 0 whatever happens to the driver; it only logs
the exit codes of the pod's containers. They are read from its log, so that `submit` ends with the
verb's own exit code.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

from pipeline.errors import StageError

_CONTAINER = re.compile(r"^\s*container name: (\S+)\s*$")
_CODE = re.compile(r"^\s*exit code: (\d+)\s*$")
_WAIT = "spark.kubernetes.submission.waitAppCompletion"


def run_and_wait(command: Sequence[str], conf: Mapping[str, str]) -> int:
    """Run spark-submit to its end.

    Args:
        command: the command line.
        conf: Spark's settings.

    Returns:
        spark-submit's exit code if it is not 0; else the driver's, or 0 if the settings tell
        spark-submit not to wait for the driver.

    Raises:
        StageError: spark-submit succeeded and did not log the driver's exit code.
    """
    name = conf.get("spark.kubernetes.driver.podTemplateContainerName", "spark-kubernetes-driver")
    # spark-submit's standard input, output and signals are those of this process.
    process = subprocess.Popen(  # noqa: S603
        command, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    )
    try:
        assert process.stderr is not None  # noqa: S101
        driver_code = container_exit_code(_echo(process.stderr), name)
        submit_code = process.wait()
    except BaseException:
        process.terminate()
        raise
    if submit_code:
        return submit_code
    if conf.get(_WAIT, "true") == "false":
        return 0
    if driver_code is None:
        raise StageError(
            "spark-submit does not say how the driver ended; look at its pod, and at run.json"
        )
    return driver_code


def container_exit_code(lines: Iterable[str], container: str) -> int | None:
    """The last exit code of a container in spark-submit's log; None if there is none."""
    name, code = "", None
    for line in lines:
        if match := _CONTAINER.match(line):
            name = match[1]
        elif (match := _CODE.match(line)) and name == container:
            code = int(match[1])
    return code


def _echo(lines: Iterable[str]) -> Iterable[str]:
    """The lines, each written to standard error."""
    for line in lines:
        sys.stderr.write(line)
        sys.stderr.flush()
        yield line
