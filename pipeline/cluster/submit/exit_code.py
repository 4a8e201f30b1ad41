"""How a driver ended that ran in a pod.

In Kubernetes' cluster mode spark-submit ends with 0 whatever became of the driver; it only logs how
the pod's containers ended. That is read here, so that the verb's own exit code comes out.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

from pipeline.errors import StageError

_CONTAINER = re.compile(r"^\s*container name: (\S+)\s*$")
_CODE = re.compile(r"^\s*exit code: (\d+)\s*$")
_WAITS = "spark.kubernetes.submission.waitAppCompletion"


def of_driver(line: Sequence[str], conf: Mapping[str, str]) -> int:
    """Run spark-submit to its end, and say how the driver ended.

    Args:
        line: the command.
        conf: Spark's settings.

    Returns:
        spark-submit's exit code if that is not 0; else the driver's, or 0 if the settings say not
        to wait for it.

    Raises:
        StageError: spark-submit ended well and does not say how the driver did.
    """
    name = conf.get("spark.kubernetes.driver.podTemplateContainerName", "spark-kubernetes-driver")
    # spark-submit's standard input, output and signals are those of this process.
    process = subprocess.Popen(  # noqa: S603
        line, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    )
    try:
        assert process.stderr is not None  # noqa: S101
        found = logged(_shown(process.stderr), name)
        ended = process.wait()
    except BaseException:
        process.terminate()
        raise
    if ended:
        return ended
    if conf.get(_WAITS, "true") == "false":
        return 0
    if found is None:
        raise StageError(
            "spark-submit does not say how the driver ended; look at its pod, and at run.json"
        )
    return found


def logged(lines: Iterable[str], container: str) -> int | None:
    """The exit code of a container in what spark-submit logs, the last one; None: there is none."""
    name, code = "", None
    for line in lines:
        if found := _CONTAINER.match(line):
            name = found[1]
        elif (found := _CODE.match(line)) and name == container:
            code = int(found[1])
    return code


def _shown(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        sys.stderr.write(line)
        sys.stderr.flush()
        yield line
